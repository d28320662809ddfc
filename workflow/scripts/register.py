"""Bring one scan to its patient's baseline: the displacement field, a warped scan to look at, and the numbers."""

from lung4d.io.atomic import leave_empty, read_json
from lung4d.io.names import CT, LUNG_MASK, SIDECAR, STATUS, scan_file
from lung4d.io.nifti import read_image, write_image
from lung4d.io.status import Status, UnusableScan, first_failure, read_status, write_status
from lung4d.pipeline import job
from lung4d.register import pair_check, quality, registration, replacement
from lung4d.register.acquisition import Taken, differences, joined
from lung4d.register.registration import Registration, RegistrationSettings
from lung4d.visits.baseline import read_baseline

logger = job.start(snakemake.log[0])
source, output, folders = snakemake.input, snakemake.output, snakemake.params.folders
subject, session = snakemake.wildcards.subject, snakemake.wildcards.session
named = read_baseline(source.baseline)
registration.use_threads(snakemake.threads)


def of_baseline(stage: str, ending: str):
    return scan_file(folders[stage], subject, named.session, ending)


def registered(scan, mask, baseline, baseline_mask) -> Registration:
    settings = RegistrationSettings.from_params(snakemake.params)
    if session == named.session:
        return registration.identity_registration(mask, settings)
    found = registration.register(baseline, baseline_mask, scan, mask, settings)
    return pair_check.check_pair(found, baseline, baseline_mask, scan, mask, settings)


def differences_from_baseline() -> dict[str, str]:
    """How the scan was taken otherwise than its baseline."""
    pairs = ((source.facts, source.status), (of_baseline("convert", SIDECAR), of_baseline("segment", STATUS)))
    return differences(*(Taken(read_json(facts), read_status(status).metrics) for facts, status in pairs))


def run() -> Status:
    failure = first_failure(source.status)
    if failure:
        return failure
    baseline, baseline_mask = read_image(of_baseline("convert", CT)), read_image(of_baseline("segment", LUNG_MASK))
    scan, mask = read_image(source.ct), read_image(source.mask)
    try:
        found = registered(scan, mask, baseline, baseline_mask)
    except UnusableScan as reason:
        return Status(ok=False, stage="register", reason=str(reason))
    write_image(replacement.replace_non_lung(scan, found.field, baseline, baseline_mask), output.warped)
    write_image(found.field, output.field)
    write_image(found.inverse, output.inverse)
    write_image(quality.log_jacobian(found.field, baseline_mask), output.log_jacobian)
    other = differences_from_baseline() if session != named.session else {}
    flags = [*found.flags, *other.values()]
    if session == named.session and named.before:
        earlier = ", ".join(named.before)
        flags.append(f"It is the patient's baseline, because what comes before it cannot be used: visit {earlier}.")
    metrics = found.metrics | {"differs_in": joined(other), "differences": " ".join(other.values())}
    return Status(ok=True, stage="register", metrics=metrics, flags=flags)


status = run()
logger.info("%s", status)
if not status.ok:
    leave_empty(output.warped, output.field, output.inverse, output.log_jacobian)
statuses = [source.status, scan_file(folders["segment"], subject, named.session or session, STATUS)]
write_status(status, output.status, output, statuses)
