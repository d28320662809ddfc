"""DICOM files of a folder to one image: which slices belong together, and which series is the lung scan.

headers    where each slice lies
lattice    which positions are one place, and which continue each other
stacks     slices that can be stacked, whatever series they name
choice     which series is the lung scan
passes     one scan of copies, overlapping passes and phases
volume     slices put in order and stacked
sentences  why no series is taken, and what is said of one that is
"""
