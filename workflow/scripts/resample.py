"""resample: the original scan, sampled once through its displacement field, on the patient's grid."""

from lung4d.io.atomic import leave_empty
from lung4d.io.names import CT, LUNG_MASK, scan_file
from lung4d.io.nifti import read_image, write_image
from lung4d.io.status import Status, first_failure, read_status, write_status
from lung4d.pipeline import job
from lung4d.register.expansion import expansion_map, log_ratios, weigh_lungs
from lung4d.resample import resample_visit

logger = job.start(snakemake.log[0])
source, params = snakemake.input, snakemake.params

status = first_failure(source.status)
if status is not None:
    logger.warning("unusable since %s: %s", status.stage, status.reason)
    leave_empty(snakemake.output.volume, snakemake.output.mask, snakemake.output.expansion)
else:
    named = snakemake.wildcards.subject, read_status(source.status).metrics["baseline"]
    baseline = read_image(scan_file(params.folders["convert"], *named, CT))
    baseline_mask = read_image(scan_file(params.folders["segment"], *named, LUNG_MASK))
    scan = read_image(source.ct)
    margin = params.margin if params.field_of_view == "lung" else None
    result = resample_visit(scan, read_image(source.field), baseline, baseline_mask, params.shape, margin)
    write_image(result.volume, snakemake.output.volume, compress=False)
    write_image(result.mask, snakemake.output.mask)
    expansion = expansion_map(read_image(source.log_jacobian), baseline_mask, result.mask)
    write_image(expansion, snakemake.output.expansion)
    spacing = [round(value, 4) for value in result.volume.GetSpacing()]
    metrics = dict(zip(("spacing_x_mm", "spacing_y_mm", "spacing_z_mm"), spacing, strict=True))
    metrics |= log_ratios(weigh_lungs(scan, read_image(source.own_mask)), weigh_lungs(baseline, baseline_mask))
    metrics["lung_outside_percent"] = round(100 * result.outside, 3)
    flags = [f"{100 * result.outside:.1f} % of the lung lies beyond this scan's edge."] if result.outside > 0.01 else []
    status = Status(ok=True, stage="resample", metrics=metrics, flags=flags)
    logger.info("grid %s, spacing %s mm", result.volume.GetSize(), spacing)
write_status(status, snakemake.output.status, snakemake.output, [source.status])
