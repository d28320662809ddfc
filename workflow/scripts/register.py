"""Bring one scan to its patient's baseline: the displacement field, a warped scan to look at, and the numbers."""

import SimpleITK as sitk

from lung4d import files, logs
from lung4d.corrfield import quality, registration, replacement
from lung4d.corrfield.registration import Settings

logger = logs.start(snakemake.log[0])
source, output = snakemake.input, snakemake.output
registration.use_threads(snakemake.threads)


def run() -> files.Status:
    failure = files.first_failure(source.baseline_status, source.status)
    if failure:
        return failure
    baseline, baseline_mask = sitk.ReadImage(source.baseline_ct), sitk.ReadImage(source.baseline_mask)
    scan, mask = sitk.ReadImage(source.ct), sitk.ReadImage(source.mask)
    settings = Settings.from_params(snakemake.params)
    try:
        if snakemake.params.is_baseline:
            found = registration.stay(mask, settings)
        else:
            found = registration.register(baseline, baseline_mask, scan, mask, settings)
    except files.UnusableScan as reason:
        return files.Status(ok=False, stage="register", reason=str(reason))
    replacement.write_image(replacement.replace_non_lung(scan, found.field, baseline, baseline_mask), output.warped)
    replacement.write_image(found.field, output.field)
    replacement.write_image(found.inverse, output.inverse)
    replacement.write_image(quality.log_jacobian(found.field, baseline_mask), output.log_jacobian)
    return files.Status(ok=True, stage="register", metrics=found.metrics, flags=found.flags)


status = run()
logger.info("%s", status)
if not status.ok:
    files.leave_empty(output.warped, output.field, output.inverse, output.log_jacobian)
files.write_status(status, output.status, output, [source.status, source.baseline_status])
