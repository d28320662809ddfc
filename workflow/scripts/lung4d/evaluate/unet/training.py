"""The U-Net's training: the samples, crops, steps and learning rate of one member of the disease model.

Its loss is the squared error in the lung of the withheld scans alone, as it is scored. Every draw follows from the seed
and the sample's number, so that a resumed run draws what an uninterrupted one would have drawn.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lung4d.evaluate.unet.network import UNet, forecast_scan
from lung4d.ode.features import STEP
from lung4d.ode.observed import ObservedVisits, VisitTensors
from lung4d.ode.options import ODETraining
from lung4d.ode.patients import crop_box, usable
from lung4d.ode.samples import Samples
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.gradients import GradientSum, apply_step
from lung4d.training.history import History
from lung4d.training.lock import Lock
from lung4d.training.pace import Pace
from lung4d.training.random_states import seed_everything
from lung4d.training.ranks import Ranks
from lung4d.training.stopping import Stopper
from lung4d.visits.tasks import held_out_tasks

logger = logging.getLogger("lung4d")


@dataclass
class UNetTraining:
    """`step` counts the finished optimiser steps, of `steps`; `best` is the best on the judges' withheld visits."""

    network: UNet
    optimiser: torch.optim.Optimizer
    options: ODETraining
    samples: Samples
    judges: list[VisitTensors]
    steps: int
    device: torch.device
    history: History
    step: int = 0
    best: dict[str, Any] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
            "history": self.history.rows,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best, self.history.rows = state["step"], state["best"], state["history"]


def start_unet(
    options: ODETraining, everyone: list[VisitTensors], device: torch.device, history: str | Path
) -> UNetTraining:
    """At step 0. `train` patients with two visits teach; `val` patients choose, or `train` ones where there are none.

    Given visits are always drawn at random, also where the disease model is given all: it learns from withheld ones.
    """
    options = replace(options, given="random", hide_visits=0.0)
    patients = usable(everyone, "train")
    judges = usable(everyone, "val") or patients
    if not patients:
        logger.warning("no train patient has two visits: the U-Net carries the scan at hand forward, untrained")
    logger.info("%d patients to train on, %d to choose by", len(patients), len(judges))
    seed_everything(options.seed)
    network = UNet().to(device)
    return UNetTraining(
        network=network,
        optimiser=torch.optim.AdamW(network.parameters(), lr=options.lr, betas=options.betas),
        options=options,
        samples=Samples(patients, options, options.seed),
        judges=judges,
        steps=options.steps(len(patients)),
        device=device,
        history=History(history, tensorboard=options.tensorboard),
    )


def train(
    run: UNetTraining, checkpoints: Checkpoints, stopper: Stopper, lock: Lock, plot: Callable[[pd.DataFrame], None]
) -> dict[str, Any]:
    """To the last step; the weights of the best step, with its number and value.

    A checkpoint that is there is resumed. Raises SystemExit(75) after SIGTERM or SIGINT, when one is written.
    """
    if (state := checkpoints.load_latest()) is not None:
        run.load(state)
    pace, options = Pace(run.steps), run.options
    if not run.best:
        run.history.add(step=0, **judge(run))
    while run.step < run.steps:
        row = {"step": run.step + 1, **train_step(run)}
        if run.step % options.validate_every == 0 or run.step == run.steps:
            row |= judge(run)
        run.history.add(**row)
        pace.log(run.step, {"image": row["image"]})
        stop = stopper.requested
        if run.step % options.save_every == 0 or run.step == run.steps or stop:
            lock.check()
            checkpoints.save(run.state(), run.step)
            if lock.earlier.gone():
                run.history.write()
                plot(run.history.frame())
        if stop and run.step < run.steps:
            stopper.leave()
    lock.earlier.wait()
    run.history.write()
    plot(run.history.frame())
    logger.info("best at step %d of %d, %s", run.best["step"], run.steps, run.best["value"])
    return run.best


def train_step(run: UNetTraining) -> dict[str, float]:
    """One step: the gradients of `accumulation` patients are averaged."""
    options, gradient, total = run.options, GradientSum(run.network), 0.0
    run.network.train()
    for micro in range(options.accumulation):
        sample = run.samples.draw(run.step * options.accumulation + micro)
        loss = lung_error(run.network, sample.visits.to(run.device), sample.given, sample.withheld)
        (loss / options.accumulation).backward()
        gradient.take()
        total += float(loss.detach()) / options.accumulation
    gradient.give(Ranks())
    apply_step(run.optimiser, run.network, options.lr_at(run.step, run.steps), options.gradient_clip)
    run.step += 1
    return {"image": total}


def lung_error(
    network: UNet | None, visits: ObservedVisits, given: np.ndarray | list[int], asked: np.ndarray | list[int]
) -> torch.Tensor:
    """Mean squared error in the lung over the visits asked for, in units of STEP^2; of no change without a network."""
    known = visits.take(given)
    inside, errors = visits.region.sum().clamp(min=1), []
    for visit in asked:
        year = float(visits.years[visit])
        if network is None:
            made = known.scans[max(int((known.years <= year).sum()) - 1, 0)]
        else:
            made = forecast_scan(network, known.years, known.scans, known.region, year)
        errors.append((((made - visits.scans[visit]) / STEP).square() * visits.region).sum() / inside)
    return torch.stack(errors).mean()


@torch.no_grad()
def judge(run: UNetTraining) -> dict[str, float]:
    """Errors on the judges' withheld visits and those of no change; the weights are kept if they are the best so far.

    The mean of the tasks of `held_out_tasks` per patient, then over patients, in crops that are always the same.
    """
    run.network.eval()
    sums = torch.zeros(2, dtype=torch.double)
    for number, patient in enumerate(run.judges):
        visits = patient.observe(crop_box(patient, run.options.crop, np.random.default_rng(number))).merged()
        visits, tasks = visits.to(run.device), held_out_tasks(len(visits))
        for task in tasks:
            errors = [lung_error(one, visits, list(task.given), list(task.targets)) for one in (run.network, None)]
            sums += torch.stack(errors).double().cpu() / len(tasks)
    means = (sums / len(run.judges)).tolist() if run.judges else [math.nan, math.nan]
    numbers = dict(zip(("held_out_image", "image_no_change"), means, strict=True))
    if not run.best or numbers["held_out_image"] < run.best["value"]:
        weights = {name: tensor.detach().cpu().clone() for name, tensor in run.network.state_dict().items()}
        run.best = {"value": numbers["held_out_image"], "step": run.step, "weights": weights}
    return numbers
