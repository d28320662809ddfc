"""Pictures as PNG bytes: small functions of arrays and tables, drawn with matplotlib's Agg.

style     colours, type and PNG encoding
slices    volumes to tiles
mosaic    tiles laid out
views     native scans on a common grid
scans     masks, registration, reconstruction
strip     a patient's trajectory
codes     the codebook
readouts  density and volume over the years
charts    curves and intervals, in a light and a dark palette
progress  the course of a training
previews  what a training makes of a held-out scan
"""
