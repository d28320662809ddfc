"""The built-in cohort: simulated chest CT of pulmonary fibrosis, with its truth.

cohort         who is in it, when they are scanned, and what becomes of them; no image library is imported
courses        how the disease goes on: stable, slow, fast and other courses
lung_function  volume at full breath, FVC and DLCO
tables         the cohort as tables: what a user would have, and the truth
patient        all scans of one patient, and the truth about them
builds         what differs between people
anatomy        a procedural thorax
trees          arteries, veins and airways in it
real_chest     a thorax taken from a CT
disease        the lung's tissue, healthy and ill
motion         where each point lies at a visit
scene          a chest at one visit
acquisition    what a scanner makes of it
grids          regular grids and sampling
dicom          a scan as a DICOM series
writing        NIfTI files whose bytes depend on their content alone
"""
