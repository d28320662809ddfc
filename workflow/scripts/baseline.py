"""baseline: which of a patient's visits the others are registered to, the first that can be used."""

from lung4d.io.status import read_status
from lung4d.pipeline import job
from lung4d.visits.baseline import choose_baseline, write_baseline

logger = job.start(snakemake.log[0])

statuses = map(read_status, snakemake.input)
baseline = choose_baseline(zip(snakemake.params.sessions, statuses, strict=True))
write_baseline(baseline, snakemake.output.baseline)
if baseline.session is None:
    logger.warning("none of the patient's %d visits can be used", len(baseline.before))
else:
    logger.info("baseline %s, not usable before it: %s", baseline.session, ", ".join(baseline.before) or "none")
