"""Training of the 3D-VQ-GAN (4D-VQ-GAN, appendices C.1 and D.2)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lung4d.training.checkpoints import Checkpoints
from lung4d.training.device import peak_memory
from lung4d.training.lock import Lock
from lung4d.training.pace import Pace
from lung4d.training.stopping import Stopper
from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.data import VolumeSamples
from lung4d.vqgan.run import TrainingState
from lung4d.vqgan.selection import choose_scans, remember_best, selected
from lung4d.vqgan.step import start_codebook, train_step
from lung4d.vqgan.validation import validate

logger = logging.getLogger("lung4d")


@dataclass(frozen=True)
class Pictures:
    """What a training shows while it runs: its course so far, and what the model makes of a held-out scan."""

    progress: Callable[[pd.DataFrame], None]
    reconstruction: Callable[[TrainingState, PreparedScan], None]


def train(
    run: TrainingState,
    scans: list[PreparedScan],
    checkpoints: Checkpoints,
    stopper: Stopper,
    lock: Lock,
    pictures: Pictures,
) -> dict[str, Any]:
    """Train until `options.steps` and return the selected model with a record of how it was selected.

    A checkpoint that is there is resumed. The course is drawn at every checkpoint, a held-out scan at every
    validation. Validation uses the `val` scans, or the training scans where there are none. Raises ValueError without
    training scans, SystemExit(75) after SIGTERM or SIGINT, when the checkpoint is written.
    """
    options = run.options
    training, held_out = choose_scans(scans)
    samples = VolumeSamples(training, run.model.settings.window, options.seed, options.flips, options.crop)
    if (state := checkpoints.load_latest()) is not None:
        run.load(state)
    start_codebook(run, samples)
    pace = Pace(options.steps)
    while run.step < options.steps:
        row = train_step(run, samples)
        pace.log(run.step, {key: row[key] for key in ("loss", "reconstruction", "perplexity")})
        if run.step % options.validate_every == 0 or run.step == options.steps:
            row |= validate(run, held_out)
            remember_best(run, row["held_out_loss"])
            logger.info("validation: %s", ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
            if run.ranks.first:
                pictures.reconstruction(run, held_out[0])
        run.history.add(**row)
        stop = run.ranks.any(stopper.requested, run.device)  # the ranks stop after the same step
        if run.step % options.save_every == 0 or run.step == options.steps or stop:
            save(run, checkpoints, lock, pictures)
        if stop and run.step < options.steps:
            stopper.leave()
    if run.ranks.first:  # also where a finished checkpoint was found: the outputs are due all the same
        lock.earlier.wait()
        run.history.write()
        pictures.progress(run.history.frame())
    return selected(run)


def save(run: TrainingState, checkpoints: Checkpoints, lock: Lock, pictures: Pictures) -> None:
    """Write the checkpoint, then the history and its picture, which a reader may open while the training goes on."""
    if not run.ranks.first:
        return
    lock.check()
    checkpoints.save(run.state(), run.step)
    if lock.earlier.gone():
        run.history.write()
        pictures.progress(run.history.frame())
    logger.info("checkpoint at step %d; most memory held so far %.3g GB", run.step, peak_memory(run.device))
