"""Training of the latent ODE: AdamW, one patient a step (appendix C.2 of the 4D-VQ-GAN paper).

Every random draw comes from a generator seeded by (seed, epoch, place in the epoch), so that a resumed run draws
what an uninterrupted one would have drawn, and nothing about randomness needs to be stored.
"""

import copy
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lung4d.history import History, plot_progress
from lung4d.ode.losses import losses, masked_error
from lung4d.ode.model import LatentODE
from lung4d.ode.sequences import Sequence, draw_given, held_out_tasks, spread, usable
from lung4d.ode.times import blend_weights
from lung4d.training import Checkpoints, Lock, Pace, Stopper

logger = logging.getLogger("lung4d")


@dataclass(frozen=True)
class Plan:
    """How the model is trained; keys of the config section `train_ode`.

    given: random or all, see `draw_given`. select: held_out (error on withheld visits) or training_loss.
    """

    seed: int
    lr: float
    betas: tuple[float, float]
    epochs: int
    given: str
    hide_visits: float
    select: str
    save_every: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Plan":
        """The plan among `values`, which may hold other keys too."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


class Trainer:
    """A training that can stop after any step and go on from its checkpoint; `run` is the loop.

    Only `train` patients with two visits teach. `select: held_out` measures on the `val` patients' withheld visits,
    without such patients on those of the `train` patients.
    """

    def __init__(self, model: LatentODE, sequences: list[Sequence], plan: Plan, history: str | Path):
        self.model, self.plan = model, plan
        self.device = model.shift.device
        self.patients = usable(sequences, "train")
        self.judges = usable(sequences, "val") or self.patients
        if self.judges is self.patients and self.patients and plan.select == "held_out":
            logger.warning("no val patient has two visits: the best step is chosen on train patients' withheld visits")
        with torch.no_grad():
            shift, scale = spread(self.patients or sequences, model.settings.channels)
            model.shift.copy_(shift)
            model.scale.copy_(scale)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=plan.lr, betas=tuple(plan.betas))
        self.history = History(history)
        self.step = 0
        self.best = {"value": math.inf, "step": 0, "weights": copy.deepcopy(model.state_dict())}

    @property
    def steps(self) -> int:
        return self.plan.epochs * len(self.patients)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
            "history": self.history.rows,
        }

    def resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best = state["step"], state["best"]
        self.history = History(self.history.path, state["history"])

    def run(self, checkpoints: Checkpoints, stopper: Stopper, lock: Lock, progress: str | Path | None = None) -> None:
        """Train to the last epoch and leave the best weights in the model; write the history and its picture."""
        if (state := checkpoints.load_latest()) is not None:
            self.resume(state)
        logger.info("%d patients to train on, %d to choose by", len(self.patients), len(self.judges))
        if not self.patients:
            logger.warning("no train patient has two visits: the model carries the last visit forward, untrained")
        if self.step == 0:
            self._finish_epoch({"step": 0})
        pace = Pace(self.steps)
        while self.step < self.steps:
            row = self._train_step()
            if self.step % len(self.patients) == 0:
                row = self._finish_epoch(row)
            else:
                self.history.add(**row)
            pace.log(self.step, {key: row[key] for key in row if key not in ("step", "epoch")})
            if self.step % self.plan.save_every == 0 or self.step == self.steps or stopper.requested:
                self._save(checkpoints, lock, progress)
            if stopper.requested and self.step < self.steps:
                stopper.leave()
        self.history.write()
        self._draw(progress)
        self.model.load_state_dict(self.best["weights"])
        logger.info(
            "best at step %d of %d: %s %.4g", self.best["step"], self.steps, self.plan.select, self.best["value"]
        )

    def _train_step(self) -> dict[str, float]:
        """One optimiser step on one patient; the epoch's order and the given visits follow from the step's number."""
        epoch, place = divmod(self.step, len(self.patients))
        order = np.random.default_rng([self.plan.seed, epoch]).permutation(len(self.patients))
        patient = self.patients[order[place]]
        rng = np.random.default_rng([self.plan.seed, epoch, place])
        given = draw_given(len(patient.years), rng, self.plan.given, self.plan.hide_visits)
        self.model.train()
        self.model.dynamics.evaluations = 0
        z, mask = patient.z.to(self.device), patient.mask.to(self.device)
        forecast = self.model(z[given], patient.years[given], mask, patient.years)
        loss = losses(forecast, z, mask, self.model.scale)
        self.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        if _finite(self.model):
            self.optimiser.step()
        else:
            logger.warning("step %d, patient %s: gradient is not finite, step left out", self.step + 1, patient.subject)
        self.step += 1
        return {
            "step": self.step,
            "epoch": epoch + 1,
            "loss": loss.total.item(),
            "reconstruction": loss.reconstruction.item(),
            "difference": loss.difference.item(),
            "evaluations": self.model.dynamics.evaluations,
        }

    def _finish_epoch(self, row: dict[str, float]) -> dict[str, float]:
        """Measure on withheld visits, remember the best weights, and add the row to the history."""
        error, unchanged = withheld_error(self.model, self.judges)
        share = error / unchanged if unchanged else math.nan
        row = {**row, "held_out_reconstruction": error, "error_over_no_change": share}
        self.history.add(**row)
        value = error
        if self.plan.select == "training_loss":
            recent = [r["loss"] for r in self.history.rows[-len(self.patients) :] if "loss" in r]
            value = float(np.mean(recent)) if recent else math.inf
        if value < self.best["value"]:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
            self.best = {"value": value, "step": self.step, "weights": weights}
        return row

    def _save(self, checkpoints: Checkpoints, lock: Lock, progress: str | Path | None) -> None:
        lock.check()
        checkpoints.save(self.state(), self.step)
        self.history.write()
        self._draw(progress)

    def _draw(self, progress: str | Path | None) -> None:
        if progress is not None:
            plot_progress(self.history.frame(), progress)


def _finite(model: LatentODE) -> bool:
    return all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)


def withheld_error(model: LatentODE, patients: list[Sequence]) -> tuple[float, float]:
    """Mean squared error in the lung on visits withheld from the model, and that of "nothing changes".

    The latter carries the nearest given visit forward or back and blends two given visits in between, as the
    telescoping model does before it is trained. In units of the latents' spread; the mean of the tasks of
    `held_out_tasks` per patient, then over patients. NaN without patients.
    """
    model.eval()
    by_patient = []
    for patient in patients:
        z, mask = patient.z.to(model.shift.device), patient.mask.to(model.shift.device)
        errors = []
        for task in held_out_tasks(len(patient.years)):
            given, asked = patient.years[task.given], patient.years[task.asked]
            weights = torch.as_tensor(blend_weights(given, asked), dtype=z.dtype, device=z.device)
            unchanged = torch.tensordot(weights, z[task.given], 1)
            guesses = model.forecast(z[task.given], given, mask, asked), unchanged
            pair = [masked_error(guess, z[task.asked], mask, model.scale).mean() for guess in guesses]
            errors.append(torch.stack(pair))
        by_patient.append(torch.stack(errors).mean(0).double().cpu())
    if not by_patient:
        return math.nan, math.nan
    error, no_change = torch.stack(by_patient).mean(0).tolist()
    return error, no_change
