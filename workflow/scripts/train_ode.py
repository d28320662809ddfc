"""Stage train_ode: the latent disease ODE, on the latents of a frozen 3D-VQ-GAN and the scans they came from."""

from pathlib import Path

from lung4d import logs
from lung4d.launch import launch
from lung4d.ode.calibration import Calibration, judge_forecasts
from lung4d.ode.ensemble import save_ode
from lung4d.ode.model import ODESettings
from lung4d.ode.options import Options
from lung4d.ode.sequences import latent_files, load_sequences
from lung4d.ode.training import start_training, train
from lung4d.ranks import join
from lung4d.tables import read_table, write_table
from lung4d.training import Checkpoints, Lock, Stopper, choose_device, digest_of
from lung4d.vqgan.data import usable_scans
from lung4d.vqgan.model import load_vqgan, parameter_hash

ranks = join()
logger = logs.start(snakemake.log[0], "INFO" if ranks.first else "WARNING", append=ranks.count > 1)
params, output = dict(snakemake.params.items()), snakemake.output
processes, nodes = snakemake.resources.get("processes", 1), snakemake.resources.get("nodes", 1)
held, record = ranks.count > 1, Path(snakemake.log[0]).with_suffix(".jobs.json")

with Stopper() as stopper, Lock(params["checkpoints"], lambda: stopper.requested, held=held, record=record) as lock:
    if ranks.count < processes:
        launch(processes, nodes, stopper, lock)  # this script once more in each of them; ends here
    device = choose_device(snakemake.threads)
    split = read_table(snakemake.input.split).query("split in ['train', 'val']")  # the test patients stay unseen
    vqgan = load_vqgan(snakemake.input.vqgan)
    stage_1, window = parameter_hash(vqgan), vqgan.settings.window
    resampled, latents = params["folders"]["resample"], latent_files(split, params["folders"]["extract_latents"])
    sequences = load_sequences(split, latents, resampled, params["latents"], window)
    settings = ODESettings.of({**params, "channels": vqgan.settings.embedding, "factor": vqgan.settings.compression})
    scans = usable_scans(split, resampled)
    read = [snakemake.input.vqgan, *latents, *(file for scan in scans for file in (scan.volume, scan.mask))]
    digest = digest_of(params, split, read)
    training = start_training(settings, Options.of(params), sequences, device, output.history, ranks)
    members = train(training, Checkpoints(params["checkpoints"], digest), stopper, lock, output.progress)

if ranks.first:
    if parameter_hash(vqgan) != stage_1:
        raise RuntimeError("the 3D-VQ-GAN changed while stage 2 was trained")
    logger.info("the 3D-VQ-GAN is unchanged, parameter hash %s", stage_1)
    weights = [member["weights"] for member in members]
    residuals, deviations = judge_forecasts(sequences, training.honest_models(weights), window)
    write_table(residuals, output.residuals)
    save_ode(settings, weights, output.model, stage_1, Calibration.of(residuals, deviations).record())
