"""The built-in cohort's tables: scans and participants as a user would have them, outcomes as the truth."""

from lung4d.io.tables import write_table
from lung4d.pipeline import job
from lung4d.simulate.cohort import simulate_cohort
from lung4d.simulate.tables import count_cohort, simulate_tables

logger = job.start(snakemake.log[0])
settings = snakemake.params.settings
scans, participants, outcomes = simulate_tables(settings)
write_table(scans, snakemake.output.scans)
write_table(participants, snakemake.output.participants)
write_table(outcomes, snakemake.output.outcomes)

for what, number in count_cohort(simulate_cohort(settings)).items():
    logger.info("%s: %d", what, number)
