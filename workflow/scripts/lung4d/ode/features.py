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
BREATH_LATENT, BREATH_IMAGE, BREATH_WHOLE = 2, 3, 3  # features more, where the model is told of breath
BREATH = 0.1  # logarithm of a ratio of volumes
AIR = -0.5  # unit scale, of no tissue at all: the window's low end, -1000 HU where it is as usual


def latent_features(given: ObservedVisits, breath: bool) -> torch.Tensor:
    """Features (n, LATENT_FEATURES, d, h, w) of n merged visits at latent resolution, 0 outside the lung.

    With `breath`, BREATH_LATENT more: how far tissue is expanded, and the change per year of its density as it would be
    at the baseline's breath, mass kept.

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
    features = [
        mean,
        spread,
        change_per_year(mean, given.years),
        *(place.expand_as(mean) for place in (share, depth, height)),
        whole[:, :, None, None, None].expand(-1, -1, *mean.shape[2:]),
    ]
    if breath:
        expansion = given.expansion[:, None]
        same_breath = _counted(at_breath(LUNG + STEP * mean, expansion))
        features += [expansion / BREATH, change_per_year(same_breath, given.years)]
    return torch.cat(features, 1) * given.mask


def image_features(given: ObservedVisits, anchor: int, smooth: torch.Tensor, breath: bool) -> torch.Tensor:
    """Features (1, IMAGE_FEATURES, D, H, W) of the visit `anchor` among n merged visits, 0 outside the lung.

    The scan, what `smoothed` gives of it, the mean of all visits, their trend per year; lung, depth and height. With
    `breath`, BREATH_IMAGE more: mean and trend as they would be at the breath of `anchor`, and how far that is from
    the baseline's.
    """
    scans = _counted(given.scans)
    like = scans[anchor]
    places = torch.ones_like(like), given.depth / DEPTH, given.height[:, None, None].expand_as(like)
    features = [like, *_counted(smooth), scans.mean(0), trend_per_year(scans, given.years), *places]
    if breath:
        expansion = _enlarged(given.expansion - given.expansion[anchor], like.shape)
        same_breath = _counted(at_breath(given.scans, expansion))
        own = _enlarged(given.expansion[anchor : anchor + 1], like.shape)[0] / BREATH
        features += [same_breath.mean(0), trend_per_year(same_breath, given.years), own]
    return (torch.stack(features) * given.region)[None]


def at_breath(scans: torch.Tensor, expansion: torch.Tensor) -> torch.Tensor:
    """Scans on the unit scale whose tissue takes less room by a factor of exp(expansion), with the mass that it has."""
    return AIR + (scans - AIR) * expansion.exp()


def _enlarged(maps: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Maps (n, d, h, w) at the size (D, H, W) of the scans."""
    return F.interpolate(maps[:, None], size=shape, mode="trilinear", align_corners=False)[:, 0]


def whole_features(given: ObservedVisits, anchor: int, breath: bool) -> torch.Tensor:
    """Features (1, WHOLE_FEATURES) of the whole lung at the visit `anchor` among n merged visits.

    Its densities, their trend per year over all visits, and the spread of the visits' times. With `breath`,
    BREATH_WHOLE more: the density that it would have at the mean breath of all visits, its trend, and its own breath
    against that mean.
    """
    density = _densities(given)
    spread = density.new_tensor([_spread(given.years)])
    features = [density[anchor], trend_per_year(density, given.years), spread]
    if breath:
        filled = given.expanded - given.expanded.mean()
        same_breath = (at_breath(given.densities[:, 0], filled) - LUNG) / DENSITY
        features += [same_breath[anchor : anchor + 1], trend_per_year(same_breath, given.years)[None]]
        features += [filled[anchor : anchor + 1] / BREATH]
    return torch.cat(features)[None]


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
