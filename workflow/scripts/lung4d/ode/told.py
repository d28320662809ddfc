"""Numbers that are told of each visit beside its scan: breath, lung function, age, treatment, how it was scanned.

Any of them may be unknown of any visit. What is unknown adds exactly nothing, to the encoder and to the drawing: a
patient of whom nothing is known is forecast as if there were no such numbers. The model sees a visit's values, their
change a year up to then, and which of them are known; never anything of a visit that it is not given.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from lung4d.ode.features import MEMORY

WIDTH = 8  # numbers that stand for all of them in the encoder
HIDE_ALL, HIDE_ONE = 0.15, 0.15  # chances in training that everything, or a single quantity, is unknown
FAR = 4.0  # standard deviations; what lies further out counts as that


class ToldNumbers(nn.Module):
    """k numbers of each visit to WIDTH numbers; `shift` and `scale` (k,) bring them to zero mean and unit spread."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, count: int):
        super().__init__()
        self.mix = nn.Linear(3 * count, WIDTH, bias=False)
        self.register_buffer("shift", torch.zeros(count))
        self.register_buffer("scale", torch.ones(count))

    def learn_spread(self, told: Iterable[torch.Tensor]) -> None:
        """Mean and standard deviation of what is known of the training patients' visits, each (n, k)."""
        values = torch.cat(list(told)).double()
        mean = values.nanmean(0)
        spread = (values - mean).square().nanmean(0).sqrt()
        self.shift.copy_(mean.nan_to_num(0))
        self.scale.copy_(torch.where(spread > 1e-6, spread, 1).nan_to_num(1))

    def forward(self, told: torch.Tensor, years: np.ndarray) -> torch.Tensor:
        """(n, WIDTH) of n visits in the order of time, whose numbers are told (n, k), NaN where unknown."""
        known = torch.isfinite(told)
        values = torch.where(known, ((told - self.shift) / self.scale).clamp(-FAR, FAR), 0)
        known = known.to(values)
        return self.mix(torch.cat([values, known, changes_so_far(values, known, years)], 1))


def changes_so_far(values: torch.Tensor, known: torch.Tensor, years: np.ndarray) -> torch.Tensor:
    """At each visit the slope a year of a line through what is known up to it, (n, k) of values and known (n, k).

    Shrunk towards none where the visits lie close together; 0 with fewer than two of them.
    """
    times = torch.as_tensor(np.asarray(years, np.float64)).to(values)[:, None]
    slopes = []
    for last in range(1, len(values) + 1):
        weight = known[:last]
        count = weight.sum(0).clamp(min=1)
        spread = (times[:last] - (weight * times[:last]).sum(0) / count) * weight
        slopes.append((spread * values[:last]).sum(0) / (spread.square().sum(0) + MEMORY**2 / 2))
    return torch.stack(slopes)


def hide_some(told: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Numbers (n, k) of one training sample with some unknown at random, that the model can do without them."""
    if not told.shape[1]:
        return told
    hidden = rng.random(told.shape[1]) < HIDE_ONE
    if rng.random() < HIDE_ALL:
        hidden[:] = True
    return torch.where(torch.from_numpy(hidden), torch.nan, told)
