"""Stage train_ode: the latent disease ODE, on the latents of a frozen 3D-VQ-GAN and the scans they came from."""

from functools import partial
from pathlib import Path

from lung4d.figures.progress import plot_progress
from lung4d.io.names import EXPANSION
from lung4d.io.tables import read_table, write_table
from lung4d.ode.calibration import Calibration, held_out_residuals
from lung4d.ode.ensemble import save_ode
from lung4d.ode.model import ODESettings
from lung4d.ode.observed import VisitTensors
from lung4d.ode.options import ODETraining
from lung4d.ode.training import start_training, train
from lung4d.ode.volume import VolumeModels
from lung4d.pipeline import job
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.device import choose_device
from lung4d.training.digest import training_digest
from lung4d.training.launch import launch
from lung4d.training.lock import Lock
from lung4d.training.ranks import join
from lung4d.training.stopping import Stopper
from lung4d.visits.patient import find_patients
from lung4d.visits.scans import encoded_scans
from lung4d.vqgan.model import load_vqgan, parameter_hash

ranks = join()
logger = job.start(snakemake.log[0], "INFO" if ranks.first else "WARNING", append=ranks.count > 1)
params, output = dict(snakemake.params.items()), snakemake.output
processes, nodes = snakemake.resources.get("processes", 1), snakemake.resources.get("nodes", 1)
held, record = ranks.count > 1, Path(snakemake.log[0]).with_suffix(".jobs.json")

with (
    ranks,
    Stopper() as stopper,
    Lock(params["checkpoints"], lambda: stopper.requested, held=held, record=record) as lock,
):
    if ranks.count < processes:
        launch(processes, nodes, stopper, lock)  # this script once more in each of them; ends here
    device = choose_device(snakemake.threads)
    split = read_table(snakemake.input.split).query("split in ['train', 'val']")  # the test patients stay unseen
    vqgan = load_vqgan(snakemake.input.vqgan)
    stage_1, window = parameter_hash(vqgan), vqgan.settings.window
    places = params["folders"]["resample"], params["folders"]["extract_latents"]
    told, breath = (), params["breath"]
    patients = [
        VisitTensors.read(visits, params["latents"], told, breath) for visits in find_patients(split, *places, window)
    ]
    made = {"channels": vqgan.settings.embedding, "factor": vqgan.settings.compression, "told": told}
    settings = ODESettings.of({**params, **made})
    scans = encoded_scans(split, *places)
    read = [
        snakemake.input.vqgan,
        *(scan.latents for scan in scans),
        *(file for scan in scans for file in (scan.volume, scan.mask)),
        *(scan.beside(EXPANSION) for scan in scans if breath),
    ]
    digest = training_digest(params, split, read)
    training = start_training(settings, ODETraining.of(params), patients, device, output.history, ranks)
    plot = partial(plot_progress, path=output.progress)
    members = train(training, Checkpoints(params["checkpoints"], digest), stopper, lock, plot)

if ranks.first:
    if parameter_hash(vqgan) != stage_1:
        raise RuntimeError("the 3D-VQ-GAN changed while stage 2 was trained")
    logger.info("the 3D-VQ-GAN is unchanged, parameter hash %s", stage_1)
    weights = [member["weights"] for member in members]
    residuals, deviations = held_out_residuals(patients, training.honest_models(weights), window)
    write_table(residuals, output.residuals)
    volumes = VolumeModels.of(residuals, (patient.visits for patient in patients), params["folders"]["segment"])
    calibration = Calibration.of(residuals, deviations).record() | {"volume": volumes.record()}
    save_ode(settings, weights, output.model, stage_1, calibration)
