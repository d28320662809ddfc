"""What each part of the disease model is worth: the run's own settings with one change, on withheld visits."""

from lung4d.evaluate.comparison_tables import ablation, ablation_page, write_comparison
from lung4d.evaluate.comparisons import ABLATION, OWN
from lung4d.evaluate.truth import truth_folders
from lung4d.evaluate.variants import ScoredModel, load_variants, score_variants
from lung4d.io.tables import read_table
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.visits.patient import find_patients

logger = job.start(snakemake.log[0])
files, params = snakemake.input, snakemake.params

paths = {OWN: files.ode} | {row.name: path for row, path in zip(ABLATION, files.models, strict=True)}
vqgan, odes = load_variants(paths, files.vqgan, choose_device(snakemake.threads))
# Differences are to the first decoding of the run's own model, which comes first.
models = {
    name: ScoredModel(ode, ("expected", "drawn") if ode.settings.maps else ("mix",)) for name, ode in odes.items()
}
split, folders = read_table(files.split), params.folders
patients = find_patients(split, folders["resample"], folders["extract_latents"], vqgan.settings.window)
truths = truth_folders(folders.get("simulate"), patients)
forecasts = score_variants(models, vqgan, patients, params, truths)

table = ablation(forecasts, params.bootstrap, params.seed)
write_comparison(table, ablation_page(table), snakemake.output)
