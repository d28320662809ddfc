"""Bring one scan to its patient's baseline: the displacement field, a warped scan to look at, and the numbers."""

from lung4d import files, logs
from lung4d.corrfield import quality, registration, replacement
from lung4d.corrfield.registration import Settings
from lung4d.nifti import read_image, write_image

logger = logs.start(snakemake.log[0])
source, output = snakemake.input, snakemake.output
registration.use_threads(snakemake.threads)


def run() -> files.Status:
    failure = files.first_failure(source.baseline_status, source.status)
    if failure:
        return failure
    baseline, baseline_mask = read_image(source.baseline_ct), read_image(source.baseline_mask)
    scan, mask = read_image(source.ct), read_image(source.mask)
    settings = Settings.from_params(snakemake.params)
    try:
        if snakemake.params.is_baseline:
            found = registration.stay(mask, settings)
        else:
            found = registration.register(baseline, baseline_mask, scan, mask, settings)
    except files.UnusableScan as reason:
        return files.Status(ok=False, stage="register", reason=str(reason))
    write_image(replacement.replace_non_lung(scan, found.field, baseline, baseline_mask), output.warped)
    write_image(found.field, output.field)
    write_image(found.inverse, output.inverse)
    write_image(quality.log_jacobian(found.field, baseline_mask), output.log_jacobian)
    return files.Status(ok=True, stage="register", metrics=found.metrics, flags=found.flags)


status = run()
logger.info("%s", status)
if not status.ok:
    files.leave_empty(output.warped, output.field, output.inverse, output.log_jacobian)
files.write_status(status, output.status, output, [source.status, source.baseline_status])
