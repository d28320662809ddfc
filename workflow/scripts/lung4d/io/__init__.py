"""Files of the results, whole or absent.

atomic        whole files or none, JSON, and what is said of a damaged one
status        what became of a scan in a stage
names         file names in the style of BIDS
fingerprint   what a scan shows, by which copies of it are found
tables        tables as parquet with a TSV twin
records       frozen dataclasses as JSON and back
nifti         images on their own grids
hounsfield    the scale of CT
volumes       preprocessed volumes and masks, memory-mapped, and the HU window
latents       codes and embeddings of a scan
masks         morphology of masks, with radii in mm
dicom_series  a volume as a DICOM series
"""
