"""A stand-in for a training in several processes: started as one is, and each adds a number of its own to the sum."""

import os
from pathlib import Path

import torch

from lung4d.training.launch import launch
from lung4d.training.lock import Lock
from lung4d.training.ranks import join
from lung4d.training.stopping import Stopper

ranks = join()
with ranks, Stopper() as stopper, Lock(Path.cwd(), held=ranks.count > 1) as lock:
    if ranks.count < snakemake.resources.processes:
        launch(snakemake.resources.processes, snakemake.resources.nodes, stopper, lock)
    total = torch.tensor([10.0**ranks.rank])
    ranks.add([total])

Path(f"rank-{ranks.rank}.txt").write_text(os.environ["SLURMD_NODENAME"])
if ranks.first:
    Path(snakemake.output[0]).write_text(f"{total.item():.0f}")
