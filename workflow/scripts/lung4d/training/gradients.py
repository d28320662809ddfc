"""What both trainings do with gradients: sum them over passes and ranks, clip them, step; and what goes with a step.

What is summed over passes is summed in float64, so that it does not matter in which order and by how many ranks.
"""

import logging
import math

import numpy as np
import torch
from torch import nn

from lung4d.training.ranks import Ranks

logger = logging.getLogger("lung4d")


class GradientSum:
    """The gradient of a module, summed over forward passes and ranks."""

    def __init__(self, module: nn.Module):
        self.parameters = list(module.parameters())
        self.totals = [torch.zeros_like(parameter, dtype=torch.double) for parameter in self.parameters]
        module.zero_grad(set_to_none=True)

    def take(self) -> None:
        """Add the gradient of the pass that has just been done, and clear it."""
        for parameter, total in zip(self.parameters, self.totals, strict=True):
            if parameter.grad is not None:
                total += parameter.grad
                parameter.grad = None

    def give(self, ranks: Ranks) -> None:
        """Put the sum over all ranks where the optimiser looks for it."""
        ranks.add(self.totals)
        for parameter, total in zip(self.parameters, self.totals, strict=True):
            parameter.grad = total.to(parameter.dtype)


def apply_step(optimiser: torch.optim.Optimizer, module: nn.Module, lr: float, clip: float | None) -> None:
    """Clip the gradient to norm `clip` and step with `lr`; one that is not finite is left out, with a warning."""
    for group in optimiser.param_groups:
        group["lr"] = lr
    limit = math.inf if clip is None else clip
    if torch.isfinite(nn.utils.clip_grad_norm_(module.parameters(), limit)):
        optimiser.step()
    else:
        logger.warning("the gradient of the %s is not finite: step left out", type(module).__name__)


def reseed(*numbers: int) -> None:
    """Make what torch draws next a function of `numbers` alone."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of a precision, "bf16" or "fp32"."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def falling_lr(lr: float, decay: float, step: int, steps: int) -> float:
    """Learning rate of step `step` (from 0) of `steps`: `lr`, in the last share `decay` falling linearly to 0."""
    falling = decay * steps
    return lr * min(1.0, (steps - step) / falling) if falling else lr
