"""How well a model of stage 2 forecasts visits that it was not given."""

import math

import numpy as np
import torch

from lung4d.ode.dynamics import named
from lung4d.ode.features import STEP
from lung4d.ode.losses import masked_error
from lung4d.ode.model import Forecast, LatentODE
from lung4d.ode.observed import ObservedVisits, VisitTensors
from lung4d.ode.patients import crop_box
from lung4d.training.ranks import Ranks
from lung4d.visits.tasks import ForecastTask, held_out_tasks
from lung4d.visits.times import blend_weights

NAMES = ("held_out_latent", "latent_no_change", "held_out_image", "image_no_change")


@torch.no_grad()
def validate(
    model: LatentODE,
    patients: list[VisitTensors],
    crop: tuple[int, int, int] | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
) -> dict[str, float]:
    """Squared errors in the lung on withheld visits, and those of "nothing changes"; the ranks share the patients.

    held_out_latent in units of the latents' spread, held_out_image of the expected scan in units of STEP^2 (models
    that draw). "Nothing changes" carries the nearest given visit forward or back and blends two in between. The mean
    of the tasks of `held_out_tasks` per patient, then over patients; NaN without patients. crop: size (D, H, W) of the
    part of each patient that is looked at, the same at every call; None for everything.
    """
    model.eval()
    sums = torch.zeros(len(NAMES), dtype=torch.double, device=model.shift.device)
    for number in range(ranks.rank, len(patients), ranks.count):
        box = crop_box(patients[number], crop, np.random.default_rng(number))
        visits = patients[number].observe(box).merged().to(sums.device)
        tasks = held_out_tasks(len(visits))
        with named(patients[number].subject):
            sums += sum(_errors(model, visits, task) for task in tasks) / len(tasks)
    ranks.add([sums])
    means = (sums / len(patients)).tolist() if patients else [math.nan] * len(NAMES)
    return {name: value for name, value in zip(NAMES, means, strict=True) if model.drawing or "image" not in name}


def _errors(model: LatentODE, visits: ObservedVisits, task: ForecastTask) -> torch.Tensor:
    """The four errors (4,) of one task."""
    years, given, asked = visits.years, list(task.given), list(task.targets)
    forecast = model.forecast(visits.take(given), years[asked])
    weights = torch.as_tensor(blend_weights(years[given], years[asked])).to(visits.z)
    carried = Forecast(
        latents=torch.tensordot(weights, visits.z[given], 1),
        changes=None,
        expected=torch.tensordot(weights, visits.scans[given], 1),
    )
    errors = []
    for guess in (forecast, carried):
        latent = masked_error(guess.latents, visits.z[asked], visits.mask, model.scale).mean()
        image = latent.new_zeros(()) if guess.expected is None else _image_error(guess.expected, visits, asked)
        errors.append(torch.stack([latent, image]))
    return torch.stack(errors).T.flatten().double()


def _image_error(expected: torch.Tensor, visits: ObservedVisits, asked: list[int]) -> torch.Tensor:
    inside = visits.region.sum().clamp(min=1)
    return (((expected - visits.scans[asked]) / STEP).square() * visits.region).sum() / inside / len(asked)
