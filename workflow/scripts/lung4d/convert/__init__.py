"""A scan of any usual format to int16 HU, with the facts of its acquisition.

`dicom/` makes one image of a folder of DICOM files, `volumes/` reads NIfTI, MetaImage and NRRD, `tree/` the headers of
all scans below a folder.

read               any format in, one image out
archives           a zip from a stranger, unpacked; the files below a folder, through links too
acquisition_words  what headers and names say of breath, pose and contrast medium
patient_headers    who the headers name, to be compared
plausibility       whether values are HU, and what can be mended where they are not
field_of_view      padding around a round field of view
looks              what a scan shows, by which copies of it are found
"""
