"""Volume files (NIfTI, MetaImage, NRRD), read where what they say twice agrees.

names              volume files by their names, and what belongs to one
files              NIfTI, MetaImage and NRRD, read when their headers agree with themselves
nifti_headers      what a NIfTI header says twice
metaimage_headers  what a MetaImage header says twice, or not at all
nrrd_headers       what an NRRD header says twice, or not at all
contents           what a file holds whatever its name says, and how long its voxels are
header_words       what the checks of headers share
sidecar            the JSON file beside a volume file, compared with it
"""
