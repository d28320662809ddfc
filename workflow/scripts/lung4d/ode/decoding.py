"""From forecast latents to volumes: pure, residual and mix decoding."""

from collections.abc import Sequence

import numpy as np
import torch

from lung4d.latents import pool_mask
from lung4d.ode.times import Years, as_years, blend_weights, merge_ties

MODES = ("pure", "residual", "mix")
SMALL = 16384  # latent voxels up to which two volumes are decoded at once


@torch.no_grad()
def decode_forecast(
    vqgan,
    z_query: torch.Tensor,
    query_years: Years,
    given_volumes: np.ndarray | torch.Tensor,
    given_z: torch.Tensor,
    given_years: Years,
    region: np.ndarray | torch.Tensor,
    mode: str,
    mix: float = 0.5,
) -> torch.Tensor:
    """Volumes (q, D, H, W) float32 on the CPU, HU window as [-0.5, 0.5], from forecast latents.

    z_query (q, c, d, h, w) at query_years (q,); given_volumes (n, D, H, W) in [-0.5, 0.5] and given_z (n, c, d, h, w)
    at given_years (n,), in any order; region (D, H, W) True in the lung. With G the decoder of `vqgan` and i the
    given visit that anchors the query (blended between two, as the latents are):

    pure      X(t) = G(z(t)), equation 7
    residual  X(t) = X_i + region * (G(z(t)) - G(z_i)): the scan's own detail stays, only the change is drawn
    mix       X(t) = X_i + region * (G(z(t)) - X_i + a (X_i - G(z_i))), a = `mix`; a = 1 is residual, 0 is pure

    Outside the region the baseline's voxels, unchanged, in every mode. Raises ValueError for an unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"decoding is {mode!r}; allowed: {', '.join(MODES)}")
    share = {"pure": 0.0, "residual": 1.0, "mix": mix}[mode]
    query = as_years(query_years)
    region = torch.as_tensor(np.asarray(region), dtype=torch.bool)
    volumes = torch.as_tensor(np.asarray(given_volumes), dtype=torch.float32)
    years, volumes, given_z = merge_ties(given_years, volumes, torch.as_tensor(given_z, dtype=torch.float32))
    weights = blend_weights(years, query)
    anchors = np.flatnonzero(weights.any(0)) if share else []
    drawn, seen = _decode_once(vqgan, z_query, _inside(given_z, region), anchors)
    lost = {i: volumes[i] - seen[i] for i in anchors}  # what the autoencoder loses of a given visit, X_i - G(z_i)
    decoded = torch.empty(len(query), *region.shape)
    for row, weight in enumerate(weights):
        volume = drawn[row] + sum(share * float(weight[i]) * lost[i] for i in anchors if weight[i])
        decoded[row] = torch.where(region, volume.clamp(-0.5, 0.5), volumes[0])
    return decoded


def _inside(given_z: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Given latents with the baseline's outside the lung, as forecasts have them: else G differs at the border."""
    factor = region.shape[0] // given_z.shape[2]
    mask = torch.as_tensor(pool_mask(region.numpy(), factor), device=given_z.device)
    return torch.where(mask, given_z, given_z[0])


def _decode_once(
    vqgan, z_query: torch.Tensor, given_z: torch.Tensor, anchors: Sequence[int]
) -> tuple[list[torch.Tensor], dict[int, torch.Tensor]]:
    """G of every query latent (a list) and of the given latents `anchors` (by index); equal latents are decoded once.

    Volumes (D, H, W) on the CPU.
    """
    latents = [given_z[i] for i in anchors]
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
