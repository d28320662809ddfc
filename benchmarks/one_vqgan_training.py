"""One training of vqgan_training.py in a process of its own: `one_vqgan_training.py TRAINING_JSON DATA FOLDER`."""

import json
import logging
import sys
from functools import partial
from pathlib import Path

import torch
import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow/scripts"))
from lung4d.figures.previews import draw_reconstruction
from lung4d.figures.progress import plot_progress
from lung4d.io.tables import read_table
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.lock import Lock
from lung4d.training.stopping import Stopper
from lung4d.visits.scans import PreparedScan, prepared_scans
from lung4d.vqgan import training
from lung4d.vqgan.model import VQGANSettings
from lung4d.vqgan.options import VQGANTraining
from lung4d.vqgan.run import TrainingState, start_run
from machine import process_bytes


def main(row: str, seed: int, values: dict, data: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    defaults = yaml.safe_load((HERE.parent / "config/config.yaml").read_text())["train_vqgan"]
    params = defaults | values | {"seed": seed}
    run = start_run(
        VQGANSettings.of(params),
        VQGANTraining.of(params),
        _scans(data),
        torch.device("cpu"),
        folder / "history.parquet",
    )
    _note_memory(run)
    with Stopper() as stopper, Lock(folder, lambda: stopper.requested) as lock:
        pictures = training.Pictures(
            partial(plot_progress, path=folder / "progress.png"),
            partial(draw_reconstruction, folder=folder / "reconstructions"),
        )
        training.train(run, _scans(data), Checkpoints(folder / "checkpoints", row), stopper, lock, pictures)
    (folder / "done").touch()


def _scans(data: Path) -> list[PreparedScan]:
    """The training patients' scans, and all others' as held out: nothing is chosen by them here."""
    split = read_table(data / "split/split.tsv")
    split["split"] = split["split"].where(split["split"] == "train", "val")
    return prepared_scans(split, data / "resample")


def _note_memory(run: TrainingState) -> None:
    """Let every row of the history hold what memory the process has at that step."""
    add = run.history.add
    run.history.add = lambda **values: add(**values, memory_gb=process_bytes("VmRSS") / 1e9)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(**given, data=Path(sys.argv[2]), folder=Path(sys.argv[3]))
