"""Stage train_ode: the latent disease ODE, on the latents of a frozen 3D-VQ-GAN."""

from lung4d import logs
from lung4d.ode.model import LatentODE, ODESettings, save_ode
from lung4d.ode.sequences import latent_files, load_sequences
from lung4d.ode.training import Plan, Trainer
from lung4d.tables import read_table
from lung4d.training import Checkpoints, Lock, Stopper, choose_device, digest_of, seed_everything
from lung4d.vqgan.model import load_vqgan, parameter_hash

logger = logs.start(snakemake.log[0])
params = dict(snakemake.params.items())
device = choose_device(snakemake.threads)
seed_everything(params["seed"])

split = read_table(snakemake.input.split).query("split in ['train', 'val']")  # the test patients stay unseen
vqgan = load_vqgan(snakemake.input.vqgan)
stage_1 = parameter_hash(vqgan)
latents = latent_files(split, snakemake.input.latents)
sequences = load_sequences(split, latents, params["latents"])

model = LatentODE(ODESettings.of({**params, "channels": vqgan.settings.embedding})).to(device)
digest = digest_of(params, split, [snakemake.input.vqgan, *latents])

with Stopper() as stopper, Lock(params["checkpoints"], lambda: stopper.requested) as lock:
    trainer = Trainer(model, sequences, Plan.of(params), snakemake.output.history)
    trainer.run(Checkpoints(params["checkpoints"], digest), stopper, lock, snakemake.output.progress)

if parameter_hash(vqgan) != stage_1:
    raise RuntimeError("the 3D-VQ-GAN changed while stage 2 was trained")
logger.info("the 3D-VQ-GAN is unchanged, parameter hash %s", stage_1)
save_ode(model, snakemake.output.model, stage_1, best_step=trainer.best["step"], steps=trainer.steps)
