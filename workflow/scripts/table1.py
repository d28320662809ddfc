"""Table 1 of the paper on this cohort: every row's disease model on withheld visits, beside all baselines."""

from lung4d.evaluate.comparison_tables import table1, table1_page, write_comparison
from lung4d.evaluate.comparisons import OWN, TABLE1
from lung4d.evaluate.forecasters import decodings_of
from lung4d.evaluate.variants import ScoredModel, load_variants, score_variants
from lung4d.io.tables import read_table
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.visits.patient import find_patients

logger = job.start(snakemake.log[0])
files, params = snakemake.input, snakemake.params

paths = {row.name: path for row, path in zip(TABLE1, files.models, strict=True)} | {OWN: files.ode}
vqgan, odes = load_variants(paths, files.vqgan, choose_device(snakemake.threads))
models = {name: ScoredModel(ode, decodings_of(ode) if name == OWN else ("pure",)) for name, ode in odes.items()}
split, folders = read_table(files.split), params.folders
patients = find_patients(split, folders["resample"], folders["extract_latents"], vqgan.settings.window)
forecasts = score_variants(models, vqgan, patients, params, given_too=params.given_too)

table = table1(forecasts, params.given_too)
write_comparison(table, table1_page(table), snakemake.output)
