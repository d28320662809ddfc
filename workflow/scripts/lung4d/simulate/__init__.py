"""The built-in cohort: simulated chest CT of pulmonary fibrosis, with its truth.

cohort        who is in it, when they are scanned, and what becomes of them; no image library is imported
patient       all scans of one patient, and the truth about them
anatomy       a procedural thorax
trees         arteries, veins and airways in it
real_chest    a thorax taken from a CT
disease       the lung's tissue, healthy and ill
motion        where each point lies at a visit
scene         a chest at one visit
acquisition   what a scanner makes of it
grids         regular grids and sampling
dicom         a scan as a DICOM series
writing       NIfTI files whose bytes depend on their content alone
"""
