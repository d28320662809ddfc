"""What each part of the disease model is worth: the run's own settings with one change, on withheld visits."""

from lung4d.evaluate.ablation import as_page, fill_table, scored_decodings
from lung4d.evaluate.comparison import ScoredModel, score_models
from lung4d.evaluate.forecasters import CachedDecoder, forecaster_of
from lung4d.evaluate.scoring import Scorer
from lung4d.evaluate.truth import truth_folders
from lung4d.evaluate.tuning import fit_baselines
from lung4d.evaluate.variants import ABLATION, OWN
from lung4d.io.atomic import write_text
from lung4d.io.tables import read_table, write_table
from lung4d.ode.ensemble import load_ode
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.visits.patient import find_patients
from lung4d.vqgan.model import load_vqgan, parameter_hash

logger = job.start(snakemake.log[0])
files, params, output = snakemake.input, snakemake.params, snakemake.output
folders = params.folders
device = choose_device(snakemake.threads)
vqgan = load_vqgan(files.vqgan, device)
window, stage_1 = vqgan.settings.window, parameter_hash(vqgan)

paths = {OWN: files.ode} | {row.name: path for row, path in zip(ABLATION, files.models, strict=True)}
models = {name: load_ode(path, device, stage_1) for name, path in paths.items()}
rivals = {name: ScoredModel(ode, scored_decodings(ode.settings)) for name, ode in models.items()}

patients = find_patients(read_table(files.split), folders["resample"], folders["extract_latents"], window)
forecast = forecaster_of(CachedDecoder(vqgan), models[OWN], ("pure", "residual"))
fitted = fit_baselines(patients, forecast, params.blur_sigmas, params.slope_sigmas, params.seed)
ruler, truths = Scorer(window, params.low_pass), truth_folders(folders.get("simulate"), patients)
forecasts = score_models(patients, rivals, vqgan, fitted, ruler, truths)

table = fill_table(forecasts, params.bootstrap, params.seed)
page = as_page(table)
write_table(table, output.table)
write_text(page, output.page)
print(page)
