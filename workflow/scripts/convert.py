"""convert: one scan of any format to a NIfTI in HU, with a sidecar of acquisition facts and no identifiers."""

import SimpleITK as sitk

from lung4d.convert import read
from lung4d.io.atomic import leave_empty, write_json
from lung4d.io.nifti import write_image
from lung4d.io.status import Status, UnusableScan, write_status
from lung4d.pipeline import job

logger = job.start(snakemake.log[0])
sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's warnings repeat paths and header values

try:
    scan = read.read_scan(snakemake.params.path, snakemake.params.series)
except UnusableScan as reason:
    logger.warning("unusable: %s", reason)
    leave_empty(snakemake.output.ct, snakemake.output.sidecar)
    status = Status(ok=False, stage="convert", reason=str(reason))
else:
    write_image(scan.image, snakemake.output.ct, level=1)
    write_json(scan.facts, snakemake.output.sidecar)
    status = Status(ok=True, stage="convert", metrics=read.metrics_of(scan.facts), flags=scan.flags)
    logger.info("%s, %s voxels, %s mm", scan.facts["format"], scan.facts["size"], scan.facts["spacing_mm"])
write_status(status, snakemake.output.status, snakemake.output)
