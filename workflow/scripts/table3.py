"""Table 3 of the paper on this cohort: every row's autoencoder on the held-out scans, beside the paper's numbers."""

from lung4d.evaluate.comparison_tables import table3, table3_page, write_comparison
from lung4d.evaluate.comparisons import SCORED_SETS, TABLE3
from lung4d.evaluate.reconstruction import score_autoencoder
from lung4d.io.tables import read_table
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.visits.scans import prepared_scans
from lung4d.vqgan.model import load_vqgan

logger = job.start(snakemake.log[0])
files = snakemake.input
device = choose_device(snakemake.threads)

split = read_table(files.split)
scans = prepared_scans(split[split["split"].isin(SCORED_SETS)], snakemake.params.folders["resample"])
scores = {}
for row, path in zip(TABLE3, files.models, strict=True):
    logger.info("%s", row.title)
    scores[row.name] = score_autoencoder(load_vqgan(path, device), scans)

table = table3(scores)
write_comparison(table, table3_page(table), snakemake.output)
