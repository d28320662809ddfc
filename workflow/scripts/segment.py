"""segment: the lungs of one scan, right and left, with quality numbers; a user's mask wins over both methods."""

import SimpleITK as sitk

from lung4d.io.atomic import leave_empty
from lung4d.io.nifti import read_image, write_image
from lung4d.io.status import Status, UnusableScan, first_failure, write_status
from lung4d.pipeline import job
from lung4d.segment import masks, network, quality

logger = job.start(snakemake.log[0])
params, given = snakemake.params, snakemake.input.get("mask")


def segment(scan: sitk.Image) -> masks.Segmentation:
    if given:
        return masks.use_mask(given, scan)
    if params.method == "lungmask":
        return network.segment_by_network(scan, params.weights, params.weights_sha256)
    return masks.segment_by_intensity(scan)


status = first_failure(snakemake.input.status)
if status is None:
    scan = read_image(snakemake.input.ct)
    try:
        found = segment(scan)
        numbers = quality.quality(scan, found.mask)
        flags = found.flags + quality.check(numbers, params.min_volume_ml, params.max_volume_ml)
    except UnusableScan as reason:
        status = Status(ok=False, stage="segment", reason=str(reason))
    else:
        write_image(found.mask, snakemake.output.mask)
        status = Status(ok=True, stage="segment", metrics=numbers, flags=flags)
        logger.info("lungs %s", numbers)
if not status.ok:
    logger.warning("unusable since %s: %s", status.stage, status.reason)
    leave_empty(snakemake.output.mask)
write_status(status, snakemake.output.status, snakemake.output, [snakemake.input.status])
