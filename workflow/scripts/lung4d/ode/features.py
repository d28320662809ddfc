"""What the model is told beside the latents: plain numbers of the scans, which a latent hides or loses.

All are made of given visits only, and are of order one: a scan's unit value counts from LUNG in steps of STEP.
"""

import torch
from torch.nn import functional as F

from lung4d.ode.observed import DENSITIES, ObservedVisits, pooled

LUNG, STEP = -0.4, 0.1  # unit scale: about -850 HU, and 150 HU
MEMORY = 0.5  # years: a change between visits much closer than this is mostly noise, and is shrunk towards none
DEPTH, DENSITY = 20.0, 0.03  # mm; unit scale
SMOOTHED = 4
LATENT_FEATURES, IMAGE_FEATURES, WHOLE_FEATURES = 7 + 2 * DENSITIES, 6 + SMOOTHED, 1 + 2 * DENSITIES


def latent_features(given: ObservedVisits) -> torch.Tensor:
    """Features (n, LATENT_FEATURES, d, h, w) of n merged visits at latent resolution, 0 outside the lung.

    Per visit: mean and standard deviation of the scan in each block, its change per year since the visit before,
    the whole lung's densities and their change per year. The same for all: share of lung in the block, depth, height,
    and the number of visits so far.
    """
    factor, region = given.factor, given.region[None, None].to(given.scans)
    scans = _counted(given.scans)[:, None]
    mean = pooled(scans, region, factor)
    spread = (pooled(scans.square(), region, factor) - mean.square()).clamp(min=0).sqrt()
    share = F.avg_pool3d(region, factor)
    depth = pooled(given.depth[None, None] / DEPTH, region, factor)
    height = F.avg_pool1d(given.height[None], factor)[0][:, None, None].expand_as(given.mask)[None, None]
    density, count = _densities(given), torch.arange(len(given)).to(scans)[:, None]
    whole = torch.cat([density, change_per_year(density, given.years), count], 1)
    features = torch.cat(
        [
            mean,
            spread,
            change_per_year(mean, given.years),
            *(place.expand_as(mean) for place in (share, depth, height)),
            whole[:, :, None, None, None].expand(-1, -1, *mean.shape[2:]),
        ],
        1,
    )
    return features * given.mask


def image_features(given: ObservedVisits, anchor: int, smooth: torch.Tensor) -> torch.Tensor:
    """Features (1, IMAGE_FEATURES, D, H, W) of the visit `anchor` among n merged visits, 0 outside the lung.

    The scan, what `smoothed` gives of it, the mean of all visits, their trend per year; lung, depth and height.
    """
    scans = _counted(given.scans)
    like = scans[anchor]
    places = torch.ones_like(like), given.depth / DEPTH, given.height[:, None, None].expand_as(like)
    features = [like, *_counted(smooth), scans.mean(0), trend_per_year(scans, given.years), *places]
    return (torch.stack(features) * given.region)[None]


def whole_features(given: ObservedVisits, anchor: int) -> torch.Tensor:
    """Features (1, WHOLE_FEATURES) of the whole lung at the visit `anchor` among n merged visits.

    Its densities, their trend per year over all visits, and the spread of the visits' times.
    """
    density = _densities(given)
    spread = density.new_tensor([_spread(given.years)])
    return torch.cat([density[anchor], trend_per_year(density, given.years), spread])[None]


def smoothed(given: ObservedVisits, anchor: int) -> torch.Tensor:
    """What else than the scan `anchor` itself may stand for the lung at its time: (SMOOTHED, D, H, W), unit scale.

    Its means over 3 and 5 voxels along each axis within the lung, the mean of all visits, and that over 3 voxels.
    """
    weight = given.region[None, None].to(given.scans)
    both = torch.stack([given.scans[anchor], given.scans.mean(0)])[None]
    scan, mean = _box(both, weight, 3)[0]
    return torch.stack([scan, _box(both[:, :1], weight, 5)[0, 0], both[0, 1], mean]) * given.region


def _box(volumes: torch.Tensor, weight: torch.Tensor, size: int) -> torch.Tensor:
    """Means of volumes (1, c, D, H, W) over `size` voxels along each axis of those that weigh (1, 1, D, H, W)."""
    total, volumes = weight, volumes * weight
    for axis in range(3):
        kernel, padding = [1, 1, 1], [0, 0, 0]
        kernel[axis] = min(size, (weight.shape[axis + 2] - 1) | 1)  # odd, and no longer than the volume
        padding[axis] = kernel[axis] // 2
        total, volumes = (F.avg_pool3d(part, kernel, stride=1, padding=padding) for part in (total, volumes))
    return volumes / total.clamp(min=1e-6)


def change_per_year(values: torch.Tensor, years) -> torch.Tensor:
    """Change per year since the visit before (n, ...) of values (n, ...), 0 for the first, shrunk for short gaps."""
    gaps = torch.as_tensor(years[1:] - years[:-1]).to(values)
    shrunk = (gaps / (gaps.square() + MEMORY**2)).reshape(-1, *(1,) * (values.ndim - 1))
    return torch.cat([torch.zeros_like(values[:1]), (values[1:] - values[:-1]) * shrunk])


def trend_per_year(values: torch.Tensor, years) -> torch.Tensor:
    """Slope (...) of a line through values (n, ...), shrunk towards none where the visits lie close together."""
    times = torch.as_tensor(years - years.mean()).to(values)
    weights = times / (times.square().sum() + MEMORY**2 / 2)
    return torch.tensordot(weights, values, 1)


def _counted(values: torch.Tensor) -> torch.Tensor:
    return (values - LUNG) / STEP


def _densities(given: ObservedVisits) -> torch.Tensor:
    mean, beside = given.densities[:, :1] - LUNG, given.densities[:, 1:]
    return torch.cat([mean, beside], 1) / DENSITY


def _spread(years) -> float:
    return float(years.max() - years.min()) / 5
