"""From forecasts to volumes: as the model draws them, or through the latents by pure, residual and mix decoding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lung4d.ode.model import Forecast
from lung4d.ode.observed import ObservedVisits
from lung4d.visits.times import Years, as_years, blend_weights

SHARES = {"pure": 0.0, "residual": 1.0, "mix": 0.5}  # of the given scan's own detail, by modes that decode latents
MODES = ("drawn", "expected", *SHARES)
SMALL = 16384  # latent voxels up to which two volumes are decoded at once


@torch.no_grad()
def decode_forecast(
    vqgan, forecast: Forecast, given: ObservedVisits, query: Years, mode: str, mix: float = 0.5
) -> torch.Tensor:
    """Volumes (q, D, H, W) float32 on the CPU, HU window as [-0.5, 0.5], of a forecast from `given` at `query` (q,).

    With G the decoder of `vqgan` and i the given visit that anchors the query (blended between two, as latents are):

    drawn     the scan at hand with its own detail and the change at the scan's resolution (lung4d.ode.image_decoder)
    expected  the same without the scan's noise: the most probable scan, smoother than any real one
    pure      X(t) = G(z(t)), equation 7
    residual  X(t) = X_i + region * (G(z(t)) - G(z_i)): the scan's own detail stays, only the change is decoded
    mix       X(t) = X_i + region * (G(z(t)) - X_i + a (X_i - G(z_i))), a = `mix`; a = 1 is residual, 0 is pure

    Outside the region the baseline's voxels, unchanged, in every mode. Raises ValueError for an unknown mode, or one
    that this model has not.
    """
    if mode not in MODES:
        raise ValueError(f"decoding is {mode!r}; allowed: {', '.join(MODES)}")
    given = given.to(torch.device("cpu")).merged()
    if mode not in SHARES:
        volumes = getattr(forecast, mode)
        if volumes is None:
            raise ValueError(f"decoding is {mode!r}, but this model draws nothing (train_ode.maps is 0)")
        decoded = volumes.float().cpu()
    else:
        decoded = _through_latents(vqgan, forecast.latents, given, as_years(query), {**SHARES, "mix": mix}[mode])
    return torch.where(given.region, decoded.clamp(-0.5, 0.5), given.scans[0])


def _through_latents(
    vqgan, z_query: torch.Tensor, given: ObservedVisits, query: np.ndarray, share: float
) -> torch.Tensor:
    """Volumes (q, D, H, W) decoded from latents, to which `share` of what the autoencoder loses is given back."""
    weights = blend_weights(given.years, query)
    anchors: Any = np.flatnonzero(weights.any(0)) if share else []
    drawn, seen = _decode_once(vqgan, z_query, torch.where(given.mask, given.z, given.z[0]), anchors)
    lost = {i: given.scans[i] - seen[i] for i in anchors}  # what the autoencoder loses of a given visit, X_i - G(z_i)
    decoded = torch.empty(len(query), *given.region.shape)
    for row, weight in enumerate(weights):
        decoded[row] = drawn[row] + sum(share * float(weight[i]) * lost[i] for i in anchors if weight[i])
    return decoded


def _decode_once(
    vqgan, z_query: torch.Tensor, given_z: torch.Tensor, anchors: Sequence[int]
) -> tuple[list[torch.Tensor], dict[int, torch.Tensor]]:
    """G of every query latent (a list) and of the given latents `anchors` (by index); equal latents are decoded once.

    Volumes (D, H, W) on the CPU.
    """
    z_query, latents = z_query.cpu(), [given_z[i] for i in anchors]
    places = []
    for z in z_query:
        same = next((place for place, known in enumerate(latents[: len(anchors)]) if torch.equal(z, known)), None)
        places.append(len(latents) if same is None else same)
        if same is None:
            latents.append(z)
    volumes = _decode(vqgan, latents)
    return [volumes[place] for place in places], dict(zip(anchors, volumes, strict=False))


def _decode(vqgan, latents: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """G of each latent (c, d, h, w). Small ones go in pairs, which torch's CPU build decodes faster than one by one."""
    device = next(vqgan.parameters()).device
    volumes: list[torch.Tensor] = []
    size = 2 if latents and latents[0][0].numel() <= SMALL else 1
    for start in range(0, len(latents), size):
        batch = torch.stack([z.to(device) for z in latents[start : start + size]])
        volumes += vqgan.decode(batch)[:, 0].float().cpu()
    return volumes
