"""One optimiser step of a model of stage 2."""

from dataclasses import dataclass, field
from typing import Any

import torch

from lung4d.ode.dynamics import named
from lung4d.ode.losses import image_losses, latent_losses
from lung4d.ode.model import LatentODE
from lung4d.ode.options import ODETraining
from lung4d.ode.samples import Sample, Samples
from lung4d.training.gradients import GradientSum, apply_step
from lung4d.training.ranks import Ranks

WEIGHTS = {"reconstruction": "latent", "difference": "latent", "image": "image", "low_pass": "low_pass"}


@dataclass
class MemberState:
    """The training of one member. `step` counts its finished optimiser steps, of `steps`."""

    model: LatentODE
    optimiser: torch.optim.Optimizer
    options: ODETraining
    samples: Samples
    steps: int
    device: torch.device
    ranks: Ranks = field(default_factory=Ranks)
    step: int = 0
    since_validation: list[float] = field(default_factory=list)  # training losses
    best: dict[str, Any] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of this member's training depends on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "since_validation": self.since_validation,
            "best": self.best,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.since_validation, self.best = state["step"], state["since_validation"], state["best"]


def train_step(run: MemberState) -> dict[str, float]:
    """One step: the gradients of `accumulation` patients, shared out among the ranks, are averaged."""
    options, gradient = run.options, GradientSum(run.model)
    run.model.train()
    run.model.dynamics.evaluations = 0
    sums: dict[str, torch.Tensor] = {}
    for micro in run.ranks.share(options.accumulation):
        terms = _forward(run, run.samples.draw(run.step * options.accumulation + micro))
        (terms["loss"] / options.accumulation).backward()
        gradient.take()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0) + value.detach().double() / options.accumulation
    run.ranks.add(list(sums.values()))
    gradient.give(run.ranks)
    apply_step(run.optimiser, run.model, options.lr_at(run.step, run.steps), options.gradient_clip)
    run.step += 1
    row = {name: float(value) for name, value in sums.items()}
    run.since_validation.append(row["loss"])
    return row | {"evaluations": float(run.model.dynamics.evaluations)}


def _forward(run: MemberState, sample: Sample) -> dict[str, torch.Tensor]:
    """Loss and its terms of one sample; scans are drawn only of withheld visits, which alone tell a forecast."""
    visits, withheld = sample.visits.to(run.device), sample.withheld
    with named(sample.subject):
        forecast = run.model(visits.take(sample.given), visits.years, draw=withheld)
    terms = latent_losses(forecast, visits.z, visits.mask, run.model.scale)
    if forecast.expected is not None and len(withheld):
        terms |= image_losses(forecast, visits.scans[withheld], visits.region)
    weights = {name: getattr(run.options, f"{kind}_weight") for name, kind in WEIGHTS.items()} | {"variance": 1.0}
    return {"loss": sum(weights[name] * term for name, term in terms.items()), **terms}
