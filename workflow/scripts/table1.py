"""Table 1 of the paper on this cohort: every row's disease model on withheld visits, beside all baselines."""

from lung4d.evaluate.comparison import ScoredModel, score_models
from lung4d.evaluate.forecasters import CachedDecoder, decodings_of, forecaster_of
from lung4d.evaluate.scoring import Scorer
from lung4d.evaluate.table1 import as_page, fill_table
from lung4d.evaluate.tuning import fit_baselines
from lung4d.evaluate.variants import OWN, TABLE1
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

own = load_ode(files.ode, device, stage_1)
rivals = {
    row.name: ScoredModel(load_ode(path, device, stage_1), ("pure",))
    for row, path in zip(TABLE1, files.models, strict=True)
}
rivals[OWN] = ScoredModel(own, decodings_of(own))

patients = find_patients(read_table(files.split), folders["resample"], folders["extract_latents"], window)
forecast = forecaster_of(CachedDecoder(vqgan), own, ("pure", "residual"))
fitted = fit_baselines(patients, forecast, params.blur_sigmas, params.slope_sigmas, params.seed)
ruler = Scorer(window, params.low_pass)
forecasts = score_models(patients, rivals, vqgan, fitted, ruler, given_too=params.given_too)

table = fill_table(forecasts, params.given_too)
page = as_page(table)
write_table(table, output.table)
write_text(page, output.page)
print(page)
