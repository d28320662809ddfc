"""Losses of stage 2: of the latents (appendix D.3.3 of the 4D-VQ-GAN paper), and of the scans that are drawn."""

from typing import Any

import torch
from torch.nn import functional as F

from lung4d.ode.features import STEP
from lung4d.ode.model import Forecast
from lung4d.ode.observed import pooled

SMOOTHED = (2, 4)  # voxels along the edges of the blocks


def latent_losses(
    forecast: Forecast, z: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor
) -> dict[str, torch.Tensor]:
    """reconstruction: ||z^ - z||^2; difference: ||D - dz||^2; weighted means in units of the latents' spread.

    Of a forecast at all n >= 2 visits z (n, c, d, h, w) of a patient, in time order, in the mask. Given visits count
    too; where the telescoping decoder returns them exactly they add nothing. D and dz are the changes from each visit
    to the next. Later visits weigh more, see `rising_weights`.
    """
    reconstruction = masked_error(forecast.latents, z, mask, scale)
    difference = masked_error(torch.diff(forecast.changes, dim=0), torch.diff(z, dim=0), mask, scale)
    return {
        "reconstruction": (rising_weights(reconstruction) * reconstruction).mean(),
        "difference": (rising_weights(difference) * difference).mean(),
    }


def image_losses(forecast: Forecast, scans: torch.Tensor, region: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of drawn scans (q, D, H, W) against what was seen, in the region (D, H, W), in units of STEP^2.

    image: squared error of the expected scan; low_pass: the same of means over blocks, in which noise hardly counts;
    variance: minus the log-likelihood of a normal distribution with the drawn variance, which does not move the mean.
    """
    weight = region[None, None].to(scans)
    error = ((forecast.expected - scans) / STEP)[:, None]
    count = weight.sum().clamp(min=1) * len(scans)
    low_pass: list[Any] = [_of_blocks(error, weight, factor) for factor in SMOOTHED]
    variance = (forecast.variance[:, None] / STEP**2).clamp(min=1e-4)
    likelihood = (error.detach().square() / variance + variance.log()) * weight / 2
    return {
        "image": (error.square() * weight).sum() / count,
        "low_pass": sum(low_pass) / len(low_pass),
        "variance": likelihood.sum() / count,
    }


def _of_blocks(error: torch.Tensor, weight: torch.Tensor, factor: int) -> torch.Tensor:
    """Mean square of the means of error (q, 1, D, H, W) over blocks of factor^3, by the lung that they hold."""
    lung = F.avg_pool3d(weight, factor)
    return (pooled(error, weight, factor).square() * lung).sum() / lung.sum().clamp(min=1e-6) / len(error)


def masked_error(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Mean squared difference (n,) of latents a and b (n, c, d, h, w) over mask (d, h, w), in units of scale^2."""
    squares = ((a - b) / scale).square() * mask
    return squares.sum((1, 2, 3, 4)) / (mask.sum().clamp(min=1) * a.shape[1])


def rising_weights(like: torch.Tensor) -> torch.Tensor:
    """Weights 1, 2, ..., n for n visits in time order, normalised to mean 1 (appendix C.2)."""
    weights = torch.arange(1, len(like) + 1, dtype=like.dtype, device=like.device)
    return weights / weights.mean()
