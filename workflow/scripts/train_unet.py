"""Stage train_unet: one plain U-Net that is told the years, on scans alone, with the disease model's budget."""

from functools import partial
from pathlib import Path

from lung4d.evaluate.unet.network import save_unet
from lung4d.evaluate.unet.training import start_unet, train
from lung4d.figures.progress import plot_progress
from lung4d.io.tables import read_table
from lung4d.ode.observed import VisitTensors
from lung4d.ode.options import ODETraining
from lung4d.pipeline import job
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.device import choose_device
from lung4d.training.digest import training_digest
from lung4d.training.lock import Lock
from lung4d.training.stopping import Stopper
from lung4d.visits.patient import find_patients
from lung4d.visits.scans import encoded_scans
from lung4d.vqgan.model import load_vqgan

logger = job.start(snakemake.log[0])
params, output = dict(snakemake.params.items()), snakemake.output
record = Path(snakemake.log[0]).with_suffix(".jobs.json")

with Stopper() as stopper, Lock(params["checkpoints"], lambda: stopper.requested, record=record) as lock:
    device = choose_device(snakemake.threads)
    split = read_table(snakemake.input.split).query("split in ['train', 'val']")  # the test patients stay unseen
    window = load_vqgan(snakemake.input.vqgan).settings.window
    places = params["folders"]["resample"], params["folders"]["extract_latents"]
    patients = [VisitTensors.read(visits, params["latents"]) for visits in find_patients(split, *places, window)]
    scans = encoded_scans(split, *places)
    read = [snakemake.input.vqgan, *(file for scan in scans for file in (scan.latents, scan.volume, scan.mask))]
    checkpoints = Checkpoints(params["checkpoints"], training_digest(params, split, read))
    run = start_unet(ODETraining.of(params), patients, device, output.history)
    best = train(run, checkpoints, stopper, lock, partial(plot_progress, path=output.progress))

save_unet(best, window, output.model)
