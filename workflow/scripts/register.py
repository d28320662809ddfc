"""Bring one scan to its patient's baseline: the displacement field, a warped scan to look at, and the numbers."""

from lung4d.io.atomic import leave_empty, read_json
from lung4d.io.names import CT, LUNG_MASK, SIDECAR, scan_file
from lung4d.io.nifti import read_image, write_image
from lung4d.io.status import Status, UnusableScan, first_failure, read_status, write_status
from lung4d.pipeline import job
from lung4d.register import pair_check, quality, registration, replacement
from lung4d.register.acquisition import Taken, differences, joined
from lung4d.register.registration import Registration, RegistrationSettings
from lung4d.visits.baseline import choose_baseline

logger = job.start(snakemake.log[0])
source, output, folders = snakemake.input, snakemake.output, snakemake.params.folders
subject, session = snakemake.wildcards.subject, snakemake.wildcards.session
visits = dict(zip(snakemake.params.sessions, source.statuses, strict=True))
chosen = choose_baseline((earlier, read_status(path)) for earlier, path in visits.items())
first = chosen.session or session  # its own failure is told
registration.use_threads(snakemake.threads)


def of_baseline(stage: str, ending: str):
    return scan_file(folders[stage], subject, first, ending)


def registered(scan, mask, baseline, baseline_mask) -> Registration:
    settings = RegistrationSettings.from_params(snakemake.params)
    if session == first:
        return registration.identity_registration(mask, settings)
    found = registration.register(baseline, baseline_mask, scan, mask, settings)
    return pair_check.check_pair(found, baseline, baseline_mask, scan, mask, settings)


def differences_from_baseline() -> dict[str, str]:
    """How the scan was taken otherwise than its baseline."""
    pairs = ((source.facts, visits[session]), (of_baseline("convert", SIDECAR), visits[first]))
    return differences(*(Taken(read_json(facts), read_status(status).metrics) for facts, status in pairs))


def run() -> Status:
    failure = first_failure(visits[session])
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
    other = differences_from_baseline() if session != first else {}
    flags = [*found.flags, *other.values()]
    if session == first and chosen.before:
        earlier = ", ".join(chosen.before)
        flags.append(f"It is the patient's baseline, because what comes before it cannot be used: visit {earlier}.")
    told = {"baseline": first, "differs_in": joined(other), "differences": " ".join(other.values())}
    return Status(ok=True, stage="register", metrics=found.metrics | told, flags=flags)


status = run()
logger.info("%s", status)
if not status.ok:
    leave_empty(output.warped, output.field, output.inverse, output.log_jacobian)
write_status(status, output.status, output, [visits[session], visits[first]])
