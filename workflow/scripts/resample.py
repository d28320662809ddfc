"""resample: the original scan, sampled once through its displacement field, on the patient's grid."""

import SimpleITK as sitk

from lung4d import logs
from lung4d.files import Status, atomic, first_failure, leave_empty, write_status
from lung4d.resampling import resample_visit

logger = logs.start(snakemake.log[0])
source, params = snakemake.input, snakemake.params

status = first_failure(source.status)
if status is not None:
    logger.warning("unusable since %s: %s", status.stage, status.reason)
    leave_empty(snakemake.output.volume, snakemake.output.mask)
else:
    scan, baseline, baseline_mask = (
        sitk.ReadImage(str(path)) for path in (source.ct, source.baseline_ct, source.baseline_mask)
    )
    margin = params.margin if params.field_of_view == "lung" else None
    result = resample_visit(scan, sitk.ReadImage(str(source.field)), baseline, baseline_mask, params.shape, margin)
    with atomic(snakemake.output.volume) as temporary:
        sitk.WriteImage(result.volume, str(temporary))
    with atomic(snakemake.output.mask) as temporary:
        sitk.WriteImage(result.mask, str(temporary), useCompression=True)
    spacing = [round(value, 4) for value in result.volume.GetSpacing()]
    metrics = dict(zip(("spacing_x_mm", "spacing_y_mm", "spacing_z_mm"), spacing, strict=True))
    metrics["lung_outside_percent"] = round(100 * result.outside, 3)
    flags = [f"{100 * result.outside:.1f} % of the lung lies beyond this scan's edge."] if result.outside > 0.01 else []
    status = Status(ok=True, stage="resample", metrics=metrics, flags=flags)
    logger.info("grid %s, spacing %s mm", result.volume.GetSize(), spacing)
write_status(status, snakemake.output.status, snakemake.output, [source.status])
