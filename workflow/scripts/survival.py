"""Survival: do the codes of real and of generated scans carry prognosis?"""

from lung4d.io.atomic import write_json
from lung4d.io.tables import read_table, write_table
from lung4d.pipeline import job
from lung4d.survival.analysis import analyse
from lung4d.survival.findings import summary
from lung4d.survival.fitting import SurvivalSettings

logger = job.start(snakemake.log[0])

settings = SurvivalSettings(**{key: getattr(snakemake.params, key) for key in SurvivalSettings.__dataclass_fields__})
results = analyse(
    read_table(snakemake.input.biomarkers),
    read_table(snakemake.input.split),
    [dict(row) for row in snakemake.params.participants],
    settings,
)
words = summary(results, settings)
for sentence in words["sentences"]:
    logger.info(sentence)

write_table(results.cindex, snakemake.output.cindex)
write_table(results.selection, snakemake.output.selection)
write_table(results.risk, snakemake.output.risk)
write_table(results.kaplan_meier, snakemake.output.kaplan_meier)
write_json(words, snakemake.output.summary)
