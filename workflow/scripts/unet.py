"""One U-Net that is told the years, beside the run's own model and every baseline, on withheld visits."""

from lung4d.evaluate.comparison_tables import write_comparison
from lung4d.evaluate.comparisons import OWN
from lung4d.evaluate.truth import truth_folders
from lung4d.evaluate.unet.comparison import unet_page, unet_table
from lung4d.evaluate.unet.forecaster import NAME, WAY, unet_forecaster
from lung4d.evaluate.unet.network import load_unet
from lung4d.evaluate.variants import Other, ScoredModel, load_variants, score_variants
from lung4d.io.tables import read_table, write_table
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.visits.patient import find_patients

logger = job.start(snakemake.log[0])
files, params, output = snakemake.input, snakemake.params, snakemake.output

device = choose_device(snakemake.threads)
vqgan, odes = load_variants({OWN: files.ode}, files.vqgan, device)
window = vqgan.settings.window
own = ScoredModel(odes[OWN], ("expected", "drawn") if odes[OWN].settings.maps else ("mix",))
others = {NAME: Other(unet_forecaster(load_unet(files.unet, window, device)), (WAY,))}
split, folders = read_table(files.split), params.folders
patients = find_patients(split, folders["resample"], folders["extract_latents"], window)
truths = truth_folders(folders.get("simulate"), patients)
forecasts = score_variants({OWN: own}, vqgan, patients, params, truths, others=others)

table = unet_table(forecasts, params.bootstrap, params.seed)
write_table(forecasts, output.forecast)
write_comparison(table, unet_page(table), output)
