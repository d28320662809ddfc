"""Table 3 of the paper on this cohort: every row's autoencoder on the held-out scans, beside the paper's numbers."""

from lung4d.evaluate.autoencoders import score_autoencoder
from lung4d.evaluate.table3 import ROWS, SETS, as_page, fill_table
from lung4d.io.atomic import write_text
from lung4d.io.tables import read_table, write_table
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.visits.scans import prepared_scans
from lung4d.vqgan.model import load_vqgan

logger = job.start(snakemake.log[0])
files, output = snakemake.input, snakemake.output
device = choose_device(snakemake.threads)

split = read_table(files.split)
scans = prepared_scans(split[split["split"].isin(SETS)], snakemake.params.folders["resample"])
scores = {}
for row, path in zip(ROWS, files.models, strict=True):
    logger.info("%s", row.name)
    scores[row.name] = score_autoencoder(load_vqgan(path, device), scans)

table = fill_table(scores)
page = as_page(table)
write_table(table, output.table)
write_text(page, output.page)
print(page)
