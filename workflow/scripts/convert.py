"""convert: one scan of any format to a NIfTI in HU, with a sidecar of acquisition facts and no identifiers."""

from pathlib import Path

import SimpleITK as sitk

from lung4d.convert import read
from lung4d.convert.looks import fingerprint_of
from lung4d.io.atomic import leave_empty, write_json
from lung4d.io.fingerprint import packed
from lung4d.io.nifti import write_image
from lung4d.io.status import Status, UnusableScan, write_status
from lung4d.pipeline import job
from lung4d.pipeline.patient_hashes import leave_hashes

logger = job.start(snakemake.log[0])
sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's warnings repeat paths and header values

person: dict[str, str] = {}
try:
    scan = read.read_scan(snakemake.params.path, snakemake.params.series)
except UnusableScan as reason:
    logger.warning("unusable: %s", reason)
    leave_empty(snakemake.output.ct, snakemake.output.sidecar)
    status = Status(ok=False, stage="convert", reason=str(reason))
else:
    person = scan.person
    write_image(scan.image, snakemake.output.ct, level=1)
    facts = scan.facts | {"kernel_in_table": snakemake.params.kernel}
    write_json(facts, snakemake.output.sidecar)
    content = packed(fingerprint_of(scan.image))
    status = Status(ok=True, stage="convert", metrics=read.metrics_of(facts), flags=scan.flags, content=content)
    logger.info("%s, %s voxels, %s mm", facts["format"], facts["size"], facts["spacing_mm"])
write_status(status, snakemake.output.status, snakemake.output)
leave_hashes(Path(), snakemake.wildcards, person)
