"""Training of the 3D-VQ-GAN (4D-VQ-GAN, appendices C.1 and D.2)."""

import logging
from pathlib import Path
from typing import Any

from lung4d.training import Checkpoints, Lock, Pace, Stopper, peak_memory, plot_progress
from lung4d.vqgan.data import Samples, Scan
from lung4d.vqgan.pictures import draw_reconstruction
from lung4d.vqgan.run import Run
from lung4d.vqgan.selection import choose_scans, remember_best, selected
from lung4d.vqgan.step import start_codebook, train_step
from lung4d.vqgan.validation import validate

logger = logging.getLogger("lung4d")


def train(
    run: Run, scans: list[Scan], checkpoints: Checkpoints, stopper: Stopper, lock: Lock, progress: str | Path
) -> dict[str, Any]:
    """Train until `options.steps` and return the selected model with a record of how it was selected.

    A checkpoint that is there is resumed. `progress` is a picture that is redrawn at every checkpoint; beside it, in
    `reconstructions`, every validation leaves a picture of a held-out scan. Validation uses the `val` scans, or the
    training scans where there are none. Raises ValueError without training scans, SystemExit(75) after SIGTERM or
    SIGINT, when the checkpoint is written.
    """
    options = run.options
    training, held_out = choose_scans(scans)
    samples = Samples(training, run.model.settings.window, options.seed, options.flips, options.crop)
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
                draw_reconstruction(run, held_out[0], Path(progress).parent / "reconstructions")
        run.history.add(**row)
        stop = run.ranks.any(stopper.requested, run.device)  # the ranks stop after the same step
        if run.step % options.save_every == 0 or run.step == options.steps or stop:
            save(run, checkpoints, lock, progress)
        if stop and run.step < options.steps:
            stopper.leave()
    if run.ranks.first:  # also where a finished checkpoint was found: the outputs are due all the same
        lock.earlier.wait()
        run.history.write()
        plot_progress(run.history.frame(), progress)
    return selected(run)


def save(run: Run, checkpoints: Checkpoints, lock: Lock, progress: str | Path) -> None:
    """Write the checkpoint, then the history and its picture, which a reader may open while the training goes on."""
    if not run.ranks.first:
        return
    lock.check()
    checkpoints.save(run.state(), run.step)
    if lock.earlier.gone():
        run.history.write()
        plot_progress(run.history.frame(), progress)
    logger.info("checkpoint at step %d; most memory held so far %.3g GB", run.step, peak_memory(run.device))
