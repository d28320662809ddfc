"""One noise and one sharpness for all visits of a patient, so that another kernel or dose does not read as disease.

A share of voxels between two values of HU depends on noise and blur: noise carries voxels over the borders, blur mixes
vessels and air, and chest wall into the lung's edge. Both show in how far neighbouring voxels differ where the lung is
quiet. Visits in which they differ more are smoothed by a Gaussian until they differ as in the softest visit, in the
plane of the slices and across them. (Energies of frequency bands brought to those of a reference, against the influence
of kernels on emphysema scores: Gallardo-Estrella et al., Eur Radiol 2016.)
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

Sigma = tuple[float, float]  # voxels, across the slices and in their plane

SMOOTHED = 0.5  # voxels, Gaussian of the softest visit: structure as small as the noise is in none then
EQUAL = 0.03  # of the softest visit's roughness, within which a visit is as soft
WIDEST = 4.0  # voxels, of the Gaussian that smooths
ROUNDS, HALVINGS = 2, 7
SLAB = 16  # slices in the middle of the lung, in which the Gaussian is looked for
AXES = ((0,), (1, 2))  # across the slices, in their plane
MAD = 1.4826 / np.sqrt(2)  # median of absolute differences of two normal numbers to their standard deviation


def match_visits(volumes: Sequence[np.ndarray], mask: np.ndarray) -> list[np.ndarray]:
    """The visits (D, H, W) in HU as float32, all of one roughness within `mask`, unchanged elsewhere.

    volumes: one patient's visits on the common grid. Where all are as soft they stay as they are, and where the lung is
    too small to tell. Else the softest, and any that is as soft, is smoothed by SMOOTHED voxels, the others by more.
    """
    visits = [np.asarray(volume, np.float32) for volume in volumes]
    quiet = quiet_lung(visits, mask)
    middle = _slab(quiet)
    rough = np.array([roughness(visit[middle], quiet[middle]) for visit in visits])
    as_soft = (rough <= (1 + EQUAL) * rough.min(axis=0)).all(axis=1)
    if as_soft.all() or not np.isfinite(rough).all():
        return visits
    usual = (SMOOTHED, SMOOTHED)
    smooth = [smooth_within(visit[middle], mask[middle], usual) for visit in visits]
    target = np.min([roughness(visit, quiet[middle]) for visit in smooth], axis=0)
    sigmas = [
        usual if soft else _sigma(visit[middle], mask[middle], quiet[middle], target)
        for visit, soft in zip(visits, as_soft, strict=True)
    ]
    return [smooth_within(visit, mask, sigma) for visit, sigma in zip(visits, sigmas, strict=True)]


def inner_lung(mask: np.ndarray) -> np.ndarray:
    """The lung a voxel away from its edge, bool (D, H, W): how much of the chest wall lies in the voxels at the edge is
    a matter of sharpness too, and no smoothing within the lung takes it out. A lung without such voxels as it is."""
    inner = ndimage.binary_erosion(mask, ndimage.generate_binary_structure(3, 3))
    return inner if inner.any() else mask


def quiet_lung(visits: Sequence[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """The less dense half of the lung in the mean of the visits, away from its edge: few vessels and little disease.

    The same for all visits, bool (D, H, W); none where the mask is small.
    """
    inner = ndimage.binary_erosion(mask)
    if not inner.any():
        return inner
    mean = smooth_within(np.asarray(np.mean(visits, axis=0, dtype=np.float32)), mask, (1.0, 1.0))
    return inner & (mean <= np.median(mean[inner]))


def roughness(visit: np.ndarray, where: np.ndarray) -> np.ndarray:
    """How far neighbours within `where` differ, across the slices and in their plane (2,), HU: for white noise its
    standard deviation. NaN where there are no neighbours."""
    found = []
    for axes in AXES:
        steps = [_steps(visit, where, axis) for axis in axes]
        found.append(MAD * float(np.median(np.abs(np.concatenate(steps)))) if sum(map(len, steps)) else np.nan)
    return np.array(found)


def smooth_within(visit: np.ndarray, mask: np.ndarray, sigma: Sigma) -> np.ndarray:
    """Smoothed by a Gaussian of which only the part in the mask counts (normalised convolution, Knutsson & Westin
    1993); unchanged outside."""
    widths = (sigma[0], sigma[1], sigma[1])
    above = ndimage.gaussian_filter(np.where(mask, visit, np.float32(0)), widths, mode="constant")
    below = ndimage.gaussian_filter(mask.astype(np.float32), widths, mode="constant")
    return np.where(mask, above / np.maximum(below, np.float32(1e-6)), visit)


def _steps(visit: np.ndarray, where: np.ndarray, axis: int) -> np.ndarray:
    low, high = (tuple(part if a == axis else slice(None) for a in range(3)) for part in (slice(-1), slice(1, None)))
    both = where[low] & where[high]
    return visit[high][both] - visit[low][both]


def _slab(quiet: np.ndarray) -> slice:
    """SLAB slices around the one that holds most of the quiet lung."""
    middle = int(np.argmax(quiet.sum(axis=(1, 2))))
    first = min(max(middle - SLAB // 2, 0), max(len(quiet) - SLAB, 0))
    return slice(first, first + SLAB)


def _sigma(visit: np.ndarray, mask: np.ndarray, quiet: np.ndarray, target: np.ndarray) -> Sigma:
    """The Gaussian, at least of SMOOTHED voxels, after which the visit is as rough as `target` (2,), found by halving
    in turn for the two directions."""
    sigma = [SMOOTHED, SMOOTHED]
    for _ in range(ROUNDS):
        for direction in (1, 0):
            low, high = SMOOTHED, WIDEST
            for _ in range(HALVINGS):
                sigma[direction] = (low + high) / 2
                rough = roughness(smooth_within(visit, mask, (sigma[0], sigma[1])), quiet)[direction]
                low, high = (sigma[direction], high) if rough > target[direction] else (low, sigma[direction])
            sigma[direction] = low
    return sigma[0], sigma[1]
