"""Which patients stage 2 learns from, how far their latents spread, and boxes around a place in the lung."""

from collections.abc import Iterable

import numpy as np
import torch

from lung4d.ode.observed import VisitTensors
from lung4d.visits.patient import EVERYTHING, Box


def usable(patients: Iterable[VisitTensors], split: str) -> list[VisitTensors]:
    """Those of one split that can teach or test a change: visits at two times at least, and lung in the mask."""
    return [item for item in patients if item.split == split and len(np.unique(item.years)) > 1 and item.mask.any()]


def spread(patients: Iterable[VisitTensors], channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of each channel (c,) and one standard deviation () of the latents in the lung; 0 and 1 without any."""
    count, total, square = 0, torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
    for item in patients:
        inside = item.z[:, :, item.mask].double()
        count += inside.shape[0] * inside.shape[2]
        total += inside.sum((0, 2))
        square += inside.square().sum((0, 2))
    mean = total / max(count, 1)
    variance = (square / max(count, 1) - mean.square()).mean()
    scale = variance.sqrt() if variance > 1e-12 else torch.ones(())
    return mean.float(), scale.float()


def crop_box(patient: VisitTensors, crop: tuple[int, int, int] | None, rng: np.random.Generator) -> Box:
    """A box of latent voxels around a random one in the lung; `crop` its size (D, H, W) in voxels of the scan, None for
    everything."""
    if crop is None:
        return EVERYTHING
    shape = np.array(patient.mask.shape)
    size = np.minimum(np.array(crop) // patient.factor, shape)
    inside = torch.argwhere(patient.mask).numpy()
    centre = inside[rng.integers(len(inside))] - rng.integers(0, size)  # anywhere in the crop, its edges too
    start = np.clip(centre, 0, shape - size)
    return tuple(slice(int(a), int(a + s)) for a, s in zip(start, size, strict=True))
