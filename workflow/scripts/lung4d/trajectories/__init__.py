"""A patient's scans at any year, and what they say of themselves.

generate     from which visits, at which years, as volumes and codes
files        all files of one generated scan
provenance   what a generated volume says of itself
shrink       with the lung of the foretold volume
native_grid  on a visit's own grid, in its breathing state
dicom        as a series that is marked as derived and synthetic
strips       real above generated scans, as a picture
"""
