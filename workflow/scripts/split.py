"""split: usable scans into train, val, test and external, by patient; copies among them; scans that cannot be used."""

import pandas as pd

from lung4d.io.fingerprint import unpacked
from lung4d.io.names import STATUS, scan_file
from lung4d.io.status import read_status
from lung4d.io.tables import write_table
from lung4d.pipeline import job
from lung4d.visits.copies import copies_table, find_copies, left_out, shared_sets
from lung4d.visits.scans import in_time_order
from lung4d.visits.split import one_set_each, split_scans

logger = job.start(snakemake.log[0])
params = snakemake.params

scans = pd.DataFrame(params.scans, columns=["subject", "session", "years"]).astype({"subject": str, "session": str})
scans = in_time_order(scans)
statuses = {
    scan: read_status(scan_file(params.folders["resample"], *scan, STATUS))
    for scan in zip(scans["subject"], scans["session"], strict=True)
}
failures = {scan: (status.stage, status.reason) for scan, status in statuses.items() if not status.ok}
assigned = one_set_each(params.assigned.items())

converted = {
    scan: read_status(scan_file(params.folders["convert"], *scan, STATUS))
    for scan, status in statuses.items()
    if status.ok
}
found = find_copies({scan: unpacked(status.content) for scan, status in converted.items() if status.content})
failures |= {scan: ("split", reason) for scan, reason in left_out(found).items()}
together = shared_sets(found, assigned)
usable, unusable = split_scans(scans, failures, assigned, params.seed, params.val, params.test, together)
usable["site"] = usable["subject"].map(params.sites).fillna("")
usable["digest"] = [statuses[scan].digest for scan in zip(usable["subject"], usable["session"], strict=True)]
write_table(usable, snakemake.output.split)
write_table(unusable, snakemake.output.unusable)
write_table(copies_table(found), snakemake.output.copies)

patients = usable.drop_duplicates("subject")["split"].value_counts().to_dict()
logger.info("patients per set: %s; %d usable scans, %d unusable", patients, len(usable), len(unusable))
lost = sorted({subject for subject, _ in statuses} - set(usable["subject"]))
if lost:
    logger.warning("no visit of these patients can be used: %s", ", ".join(lost))
if found:
    logger.warning("%d copies among the scans, see %s", len(found), snakemake.output.copies)
