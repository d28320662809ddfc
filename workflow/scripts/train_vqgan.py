"""Stage train_vqgan: the 3D-VQ-GAN, on the preprocessed scans of the train and val patients."""

from pathlib import Path

from lung4d import logs
from lung4d.launch import launch
from lung4d.ranks import join
from lung4d.tables import read_table
from lung4d.training import Checkpoints, Lock, Stopper, choose_device, digest_of
from lung4d.vqgan.data import usable_scans
from lung4d.vqgan.model import Settings, save_vqgan
from lung4d.vqgan.options import Options
from lung4d.vqgan.run import start_run
from lung4d.vqgan.training import train

ranks = join()
logs.start(snakemake.log[0], "INFO" if ranks.first else "WARNING", append=ranks.count > 1)
params = dict(snakemake.params.items())
processes, nodes = snakemake.resources.get("processes", 1), snakemake.resources.get("nodes", 1)
held, record = ranks.count > 1, Path(snakemake.log[0]).with_suffix(".jobs.json")

with Stopper() as stopper, Lock(params["checkpoints"], lambda: stopper.requested, held=held, record=record) as lock:
    if ranks.count < processes:
        launch(processes, nodes, stopper, lock)  # this script once more in each of them; ends here
    device = choose_device(snakemake.threads)
    split = read_table(snakemake.input.split).query("split in ['train', 'val']")  # test and external stay unseen
    scans = usable_scans(split, params["folders"]["resample"])
    digest = digest_of(params, split, [file for scan in scans for file in (scan.volume, scan.mask)])
    run = start_run(Settings.of(params), Options.of(params), scans, device, snakemake.output.history, ranks)
    chosen = train(run, scans, Checkpoints(params["checkpoints"], digest), stopper, lock, snakemake.output.progress)

if ranks.first:
    save_vqgan(chosen["model"], snakemake.output.model, selection=chosen["selection"])
