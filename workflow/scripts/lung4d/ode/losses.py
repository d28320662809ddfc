"""Losses of the latent ODE (appendix D.3.3 of the 4D-VQ-GAN paper)."""

from dataclasses import dataclass

import torch

from lung4d.ode.model import Forecast


@dataclass(frozen=True)
class Losses:
    """reconstruction: ||z^ - z||^2; difference: ||D - dz||^2; both weighted means in units of the latents' spread."""

    reconstruction: torch.Tensor
    difference: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return self.reconstruction + self.difference


def losses(forecast: Forecast, z: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor) -> Losses:
    """Both losses of a forecast at all n >= 2 visits z (n, c, d, h, w) of a patient, in time order, in the mask.

    Given visits count too; where the telescoping decoder returns them exactly they add nothing. D and dz are the
    changes from each visit to the next. Later visits weigh more, see `rising_weights`.
    """
    reconstruction = masked_error(forecast.latents, z, mask, scale)
    difference = masked_error(torch.diff(forecast.changes, dim=0), torch.diff(z, dim=0), mask, scale)
    return Losses(
        (rising_weights(reconstruction) * reconstruction).mean(), (rising_weights(difference) * difference).mean()
    )


def masked_error(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Mean squared difference (n,) of latents a and b (n, c, d, h, w) over mask (d, h, w), in units of scale^2."""
    squares = ((a - b) / scale).square() * mask
    return squares.sum((1, 2, 3, 4)) / (mask.sum().clamp(min=1) * a.shape[1])


def rising_weights(like: torch.Tensor) -> torch.Tensor:
    """Weights 1, 2, ..., n for n visits in time order, normalised to mean 1 (appendix C.2)."""
    weights = torch.arange(1, len(like) + 1, dtype=like.dtype, device=like.device)
    return weights / weights.mean()
