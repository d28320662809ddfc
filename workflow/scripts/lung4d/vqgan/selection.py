"""Which scans train and which select, and which weights of a training are kept."""

import copy
import logging
import math
from typing import Any

from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.run import TrainingState

logger = logging.getLogger("lung4d")


def choose_scans(scans: list[PreparedScan]) -> tuple[list[PreparedScan], list[PreparedScan]]:
    """Training scans and held-out scans: those of `val`, or the training scans where there is no `val`."""
    training = [scan for scan in scans if scan.split == "train"]
    held_out = [scan for scan in scans if scan.split == "val"]
    if not training:
        raise ValueError("split.tsv has no usable scan in the split 'train': the 3D-VQ-GAN has nothing to learn from")
    if not held_out:
        logger.warning("no patient is in the split 'val': the model is selected on the training scans")
    logger.info("%d training scans, %d held-out scans", len(training), len(held_out))
    return training, held_out or training


def remember_best(run: TrainingState, held_out_loss: float) -> None:
    """Keep the weights if they are the best so far by held-out loss or by mean training loss since last asked.

    Before the GAN terms start nothing counts, as in the paper: the terms change what the loss measures.
    """
    losses, run.since_validation = run.since_validation, []
    gan_comes = run.options.gan_weight > 0 and run.options.gan_start < run.options.steps
    if gan_comes and run.step <= run.options.gan_start:
        return
    for name, value in (("held_out", held_out_loss), ("training_loss", sum(losses) / len(losses))):
        if value < run.best.get(name, {"value": math.inf})["value"]:
            weights = {key: tensor.detach().cpu().clone() for key, tensor in run.model.state_dict().items()}
            run.best[name] = {"step": run.step, "value": value, "weights": weights}


def selected(run: TrainingState) -> dict[str, Any]:
    """The model with the weights of `options.select`, and what either selection would have taken.

    Raises RuntimeError where no loss was ever finite.
    """
    if run.options.select not in run.best:
        raise RuntimeError("the training's loss was never finite: try a smaller train_vqgan.lr")
    model = copy.deepcopy(run.model)
    model.load_state_dict(run.best[run.options.select]["weights"])
    record: dict[str, Any] = {name: {"step": best["step"], "value": best["value"]} for name, best in run.best.items()}
    record |= {"select": run.options.select, "steps": run.options.steps}
    logger.info("selected by %s: %s", run.options.select, record)
    return {"model": model, "selection": record}
