"""Stage train_vqgan: the 3D-VQ-GAN, on the preprocessed scans of the train and val patients."""

from functools import partial
from pathlib import Path

from lung4d.figures.previews import draw_reconstruction
from lung4d.figures.progress import plot_progress
from lung4d.io.tables import read_table
from lung4d.pipeline import job
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.device import choose_device
from lung4d.training.digest import training_digest
from lung4d.training.launch import launch
from lung4d.training.lock import Lock
from lung4d.training.ranks import join
from lung4d.training.stopping import Stopper
from lung4d.visits.scans import prepared_scans
from lung4d.vqgan.model import VQGANSettings, save_vqgan
from lung4d.vqgan.options import VQGANTraining
from lung4d.vqgan.run import start_run
from lung4d.vqgan.training import Pictures, train

ranks = join()
job.start(snakemake.log[0], "INFO" if ranks.first else "WARNING", append=ranks.count > 1)
params, progress = dict(snakemake.params.items()), Path(snakemake.output.progress)
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
    split = read_table(snakemake.input.split).query("split in ['train', 'val']")  # test and external stay unseen
    scans = prepared_scans(split, params["folders"]["resample"])
    digest = training_digest(params, split, [file for scan in scans for file in (scan.volume, scan.mask)])
    run = start_run(VQGANSettings.of(params), VQGANTraining.of(params), scans, device, snakemake.output.history, ranks)
    pictures = Pictures(
        partial(plot_progress, path=progress), partial(draw_reconstruction, folder=progress.parent / "reconstructions")
    )
    chosen = train(run, scans, Checkpoints(params["checkpoints"], digest), stopper, lock, pictures)

if ranks.first:
    save_vqgan(chosen["model"], snakemake.output.model, selection=chosen["selection"])
