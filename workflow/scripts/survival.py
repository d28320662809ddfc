"""Survival: do the codes of real and of generated scans carry prognosis?"""

from lung4d import logs
from lung4d.files import write_json
from lung4d.survival.analysis import analyse
from lung4d.survival.fitting import Settings
from lung4d.survival.words import summary
from lung4d.tables import read_table, write_table

logger = logs.start(snakemake.log[0])

settings = Settings(**{key: getattr(snakemake.params, key) for key in Settings.__dataclass_fields__})
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
