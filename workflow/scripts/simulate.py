"""One patient of the built-in cohort: scans as a hospital would give them, and the truth in a folder of its own."""

from pathlib import Path

from lung4d.pipeline import job
from lung4d.simulate.patient import find_patient, write_patient

logger = job.start(snakemake.log[0])
settings = snakemake.params.settings
patient = find_patient(settings, snakemake.wildcards.subject)
logger.info("subject %s: %d visits, %s", patient.subject, len(patient.visits), "DICOM" if patient.dicom else "NIfTI")

images, truth = Path(snakemake.output.images), Path(snakemake.output.truth)
for folder in (images, truth):
    folder.mkdir(parents=True, exist_ok=True)
facts = write_patient(settings, patient, images, truth)

for visit in facts["visits"]:
    logger.info("%s", ", ".join(f"{key} {value}" for key, value in visit.items()))
