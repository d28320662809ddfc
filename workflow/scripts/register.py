"""Bring one scan to its patient's baseline: the displacement field, a warped scan to look at, and the numbers."""

from lung4d.io.atomic import leave_empty
from lung4d.io.nifti import read_image, write_image
from lung4d.io.status import Status, UnusableScan, first_failure, write_status
from lung4d.pipeline import job
from lung4d.register import quality, registration, replacement
from lung4d.register.registration import RegistrationSettings

logger = job.start(snakemake.log[0])
source, output = snakemake.input, snakemake.output
registration.use_threads(snakemake.threads)


def run() -> Status:
    failure = first_failure(source.baseline_status, source.status)
    if failure:
        return failure
    baseline, baseline_mask = read_image(source.baseline_ct), read_image(source.baseline_mask)
    scan, mask = read_image(source.ct), read_image(source.mask)
    settings = RegistrationSettings.from_params(snakemake.params)
    try:
        if snakemake.params.is_baseline:
            found = registration.identity_registration(mask, settings)
        else:
            found = registration.register(baseline, baseline_mask, scan, mask, settings)
    except UnusableScan as reason:
        return Status(ok=False, stage="register", reason=str(reason))
    write_image(replacement.replace_non_lung(scan, found.field, baseline, baseline_mask), output.warped)
    write_image(found.field, output.field)
    write_image(found.inverse, output.inverse)
    write_image(quality.log_jacobian(found.field, baseline_mask), output.log_jacobian)
    return Status(ok=True, stage="register", metrics=found.metrics, flags=found.flags)


status = run()
logger.info("%s", status)
if not status.ok:
    leave_empty(output.warped, output.field, output.inverse, output.log_jacobian)
write_status(status, output.status, output, [source.status, source.baseline_status])
