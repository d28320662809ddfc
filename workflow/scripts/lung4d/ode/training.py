"""Training of stage 2: one member of the ensemble after the other (appendix C.2 of the 4D-VQ-GAN paper, for one).

Every random draw follows from the seed, the member and the sample's number, so that a resumed run draws what an
uninterrupted one would have drawn, and nothing about randomness needs to be stored.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lung4d.ode.ensemble import Ensemble, as_ensemble, fold_of
from lung4d.ode.image_decoder import dtype_for
from lung4d.ode.model import LatentODE, ODESettings
from lung4d.ode.observed import VisitTensors
from lung4d.ode.options import ODETraining
from lung4d.ode.patients import spread, usable
from lung4d.ode.samples import Samples
from lung4d.ode.step import MemberState, train_step
from lung4d.ode.validation import validate
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.device import choose_precision
from lung4d.training.history import History
from lung4d.training.lock import Lock
from lung4d.training.pace import Pace
from lung4d.training.random_states import seed_everything
from lung4d.training.ranks import Ranks
from lung4d.training.stopping import Stopper

SHOWN = ("loss", "reconstruction", "image")

logger = logging.getLogger("lung4d")


@dataclass
class EnsembleTraining:
    """The whole training: `finished` members' weights with their records, and what the current one needs."""

    settings: ODESettings
    options: ODETraining
    patients: list[VisitTensors]
    judges: list[VisitTensors]
    device: torch.device
    history: History
    ranks: Ranks
    finished: list[dict[str, Any]]
    precision: str  # of the drawing, "bf16" or "fp32"

    def steps_of(self, member: int) -> int:
        return self.options.steps(len(self.patients_of(member)))

    def folds(self) -> dict[str, int]:
        """The member that is trained without each training patient; empty where there are too few to leave any out."""
        members = self.options.members
        if members == 1 or len(self.patients) < 2 * members:
            return {}
        return fold_of([patient.subject for patient in self.patients], members, self.options.seed)

    def patients_of(self, member: int) -> list[VisitTensors]:
        folds = self.folds()
        return [patient for patient in self.patients if folds.get(patient.subject) != member]

    def honest_models(self, weights: list[dict[str, torch.Tensor]]) -> dict[str, Ensemble]:
        """By patient, the model whose residuals are honest: the member that never saw a training patient, if there is
        one, and all of them for a `val` patient."""
        models = [as_ensemble(self.settings, [state], self.device) for state in weights]
        honest = {subject: models[member] for subject, member in self.folds().items()}
        held_out = [patient.subject for patient in self.judges if patient.split == "val"]
        return honest | dict.fromkeys(held_out, as_ensemble(self.settings, weights, self.device))


def start_training(
    settings: ODESettings,
    options: ODETraining,
    everyone: list[VisitTensors],
    device: torch.device,
    history: str | Path,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
) -> EnsembleTraining:
    """Only `train` patients with two visits teach; `val` patients choose, or `train` ones where there are none.

    Raises ValueError where a step's patients cannot be shared out among the ranks, or a crop does not fit the latents.
    """
    if options.accumulation % ranks.count:
        raise ValueError(
            f"train_ode.accumulation is {options.accumulation}; {ranks.count} processes share a step's patients "
            "evenly: give a multiple"
        )
    if options.crop and any(size % settings.factor for size in options.crop):
        raise ValueError(f"train_ode.crop is {list(options.crop)}; give multiples of {settings.factor}")
    patients = usable(everyone, "train")
    judges = usable(everyone, "val") or patients
    if judges is patients and patients and options.select == "held_out":
        logger.warning("no val patient has two visits: the best step is chosen on train patients' withheld visits")
    if not patients:
        logger.warning("no train patient has two visits: the model carries the last visit forward, untrained")
    logger.info("%d patients to train on, %d to choose by", len(patients), len(judges))
    precision = choose_precision(options.precision, device)
    records = History(history, tensorboard=options.tensorboard and ranks.first)
    return EnsembleTraining(settings, options, patients, judges, device, records, ranks, [], precision)


def train(
    training: EnsembleTraining,
    checkpoints: Checkpoints,
    stopper: Stopper,
    lock: Lock,
    plot: Callable[[pd.DataFrame], None],
) -> list[dict[str, Any]]:
    """Train all members; returns a dict of weights, step and value of the best step for each.

    A checkpoint that is there is resumed. `plot` draws the history at every checkpoint. Raises SystemExit(75) after
    SIGTERM or SIGINT, when one is written.
    """
    state = checkpoints.load_latest()
    if state is not None:
        training.finished, training.history.rows = state["finished"], state["history"]
        training.precision = state["precision"]  # also where this machine would choose another
    total = sum(training.steps_of(member) for member in range(training.options.members))
    pace = Pace(total)
    while len(training.finished) < training.options.members:
        run = start_member(training, len(training.finished))
        if state is not None and state["run"] is not None:
            run.load(state["run"])
        state = None
        _train_member(training, run, pace, Keeper(checkpoints, stopper, lock, plot))
        training.finished.append(run.best)
    if training.ranks.first:
        lock.earlier.wait()
        training.history.write()
        plot(training.history.frame())
    return training.finished


def start_member(training: EnsembleTraining, member: int) -> MemberState:
    """A member at step 0, seeded by its number; latents are counted from their mean in units of their spread."""
    options = training.options
    seed_everything(options.seed + 1000 * member)
    model = LatentODE(training.settings)
    patients = training.patients_of(member)
    shift, scale = spread(patients or training.judges, training.settings.channels)
    model.shift.copy_(shift)
    model.scale.copy_(scale)
    if model.told:
        model.told.learn_spread(patient.told for patient in patients or training.judges)
    model.to(training.device)
    model.draw_in(dtype_for(training.device, training.precision))
    training.ranks.share_state(model)
    return MemberState(
        model=model,
        optimiser=torch.optim.AdamW(model.parameters(), lr=options.lr, betas=options.betas),
        options=options,
        samples=Samples(patients, options, options.seed + 1000 * member),
        steps=training.steps_of(member),
        device=training.device,
        ranks=training.ranks,
    )


@dataclass(frozen=True)
class Keeper:
    """Where a training is kept, who may stop it, and what draws its history."""

    checkpoints: Checkpoints
    stopper: Stopper
    lock: Lock
    plot: Callable[[pd.DataFrame], None]

    def save(self, training: EnsembleTraining, run: MemberState, step: int) -> None:
        if not training.ranks.first:
            return
        self.lock.check()
        state = {
            "run": run.state(),
            "finished": training.finished,
            "history": training.history.rows,
            "precision": training.precision,
        }
        self.checkpoints.save(state, step)
        if self.lock.earlier.gone():
            training.history.write()
            self.plot(training.history.frame())


def _train_member(training: EnsembleTraining, run: MemberState, pace: Pace, keeper: Keeper) -> None:
    """Train one member to its last step; its best weights are in `run.best`."""
    options, member = training.options, len(training.finished)
    before = sum(training.steps_of(number) for number in range(member))
    if run.step == 0:
        training.history.add(step=before, member=member + 1, **_judge(training, run))
    while run.step < run.steps:
        row = {"step": before + run.step + 1, "member": member + 1, **train_step(run)}
        if run.step % options.validate_every == 0 or run.step == run.steps:
            row |= _judge(training, run)
        training.history.add(**row)
        pace.log(before + run.step, {name: row[name] for name in SHOWN if name in row})
        stop = training.ranks.any(keeper.stopper.requested, run.device)
        if run.step % options.save_every == 0 or run.step == run.steps or stop:
            keeper.save(training, run, before + run.step)
        if stop and run.step < run.steps:
            keeper.stopper.leave()
    logger.info("member %d: best at step %d of %d, %s", member + 1, run.best["step"], run.steps, run.best["value"])


def _judge(training: EnsembleTraining, run: MemberState) -> dict[str, float]:
    """Measure on withheld visits and remember the weights if they are the best so far."""
    numbers = validate(run.model, training.judges, training.options.crop, training.ranks)
    value = numbers.get("held_out_image", numbers["held_out_latent"])
    losses, run.since_validation = run.since_validation, []
    if training.options.select == "training_loss":
        value = sum(losses) / len(losses) if losses else math.inf
    if not run.best or value < run.best["value"]:
        weights = {name: tensor.detach().cpu().clone() for name, tensor in run.model.state_dict().items()}
        run.best = {"value": value, "step": run.step, "weights": weights}
    return numbers
