"""A scan of any usual format to int16 HU, with the facts of its acquisition.

read           any format in, one image out
archives       a zip from a stranger, unpacked
dicom_headers  where each slice lies
dicom_choice   which series is the lung scan
dicom_volume   slices put in order and stacked
"""
