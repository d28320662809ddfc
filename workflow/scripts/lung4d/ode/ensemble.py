"""Several models of stage 2 as one: their mean is the forecast, what they disagree on is part of its uncertainty.

Each member is trained without a part of the training patients, so that every training patient has a member that
never saw it, and what that member gets wrong is an honest sample of what the ensemble will get wrong.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lung4d.io.atomic import reading
from lung4d.ode.image_decoder import dtype_for
from lung4d.ode.model import Forecast, LatentODE, ODESettings
from lung4d.ode.observed import ObservedVisits, observe
from lung4d.training.checkpoints import save_whole
from lung4d.visits.patient import PatientVisits
from lung4d.visits.times import Years

# What settings in model files lack that were written before stage 2 drew scans, or before it was told of breath and
# other numbers, and what those models were.
FILLED_IN = {"factor": 4, "features": False, "maps": 0, "encoder": "convgru", "dynamics": "ode"}
FILLED_IN |= {"breath": False, "told": ()}


class Ensemble(nn.Module):
    """`members`: models with the same settings."""

    def __init__(self, members: Iterable[LatentODE]):
        super().__init__()
        self.members: Any = nn.ModuleList(members)

    @property
    def settings(self) -> ODESettings:
        return self.members[0].settings

    def observe(self, visits: PatientVisits) -> ObservedVisits:
        """All the visits, with what this model is told of them."""
        return observe(visits, self.settings.latents, self.settings.told, self.settings.breath)

    @torch.no_grad()
    def forecast(self, given: ObservedVisits, query: Years) -> Forecast:
        """Means of the members' forecasts, see `LatentODE.forecast`; to `variance` that of their means is added."""
        total: Any
        squares: Any
        total, squares = None, None
        for member in self.members:
            one = member.forecast(given, query)
            if total is None:
                total, squares = one, None if one.expected is None else one.expected.square()
                continue
            total = Forecast(*(None if a is None else a + b for a, b in zip(total, one, strict=True)))
            squares = None if squares is None else squares + one.expected.square()
        mean = Forecast(*(None if part is None else part / len(self.members) for part in total))
        if squares is None:
            return mean
        between = (squares / len(self.members) - mean.expected.square()).clamp(min=0)
        return mean._replace(variance=mean.variance + between)


def fold_of(subjects: Sequence[str], members: int, seed: int) -> dict[str, int]:
    """Which member is trained without which patient, evenly shared out in the order of a hash of seed and subject."""
    order = sorted(subjects, key=lambda subject: hashlib.sha256(f"{seed}:fold:{subject}".encode()).hexdigest())
    return {subject: place % members for place, subject in enumerate(order)}


def as_ensemble(
    settings: ODESettings, weights: Iterable[Mapping[str, torch.Tensor]], device: torch.device | str = "cpu"
) -> Ensemble:
    """Members with the given weights, in eval mode and frozen; they draw in bf16 where the device has units for it."""
    members = []
    for state in weights:
        members.append(LatentODE(settings))
        members[-1].load_state_dict(state)
        members[-1].draw_in(dtype_for(device))
    return Ensemble(members).to(device).eval().requires_grad_(False)


def save_ode(
    settings: ODESettings,
    weights: Iterable[Mapping[str, torch.Tensor]],
    path: str | Path,
    vqgan_hash: str,
    calibration: Mapping[str, Any],
) -> None:
    """Write settings, the members' weights, the hash of the stage-1 parameters behind the latents, and the record of
    a `lung4d.ode.calibration.Calibration`. Equal weights give equal bytes, also from a training that was resumed."""
    members = [{_as_first_named(name): tensor for name, tensor in state.items()} for state in weights]
    state = {"settings": asdict(settings), "members": members, "vqgan_hash": vqgan_hash}
    save_whole({**state, "calibration": dict(calibration)}, path)


def _as_first_named(name: str) -> str:
    """A file writes one and the same string once: a network's own attributes are that in all of its members, but what
    `state_dict` puts together is not, and nothing is that was read from a checkpoint."""
    return name if "." in name else sys.intern(name)


def load_ode(path: str | Path, device: torch.device | str = "cpu", vqgan_hash: str | None = None) -> Ensemble:
    """A trained ensemble, in eval mode and frozen. Raises ValueError where it belongs to another stage 1."""
    with reading(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
        settings = ODESettings.of(FILLED_IN | state["settings"])
    if vqgan_hash is not None and state["vqgan_hash"] != vqgan_hash:
        raise ValueError(f"{Path(path).name} was trained on the latents of another 3D-VQ-GAN; train stage 2 again")
    return as_ensemble(settings, state["members"], device)


def load_calibration(path: str | Path) -> dict[str, Any]:
    """The calibration of a model file, as it was saved."""
    with reading(path):
        return torch.load(path, map_location="cpu", weights_only=True)["calibration"]
