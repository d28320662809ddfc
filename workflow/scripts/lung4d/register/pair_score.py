"""Is the follow-up this patient, and does it lie as its header says? From more than what the registration lowers.

Masks overlap after any registration, and descriptors are what it brings together. So the score rests on what is left
over: bones and airways around the lungs, how wildly the volume changes from place to place, whether the search agrees
with itself, how the lungs share the volume; and on the descriptors only against chance, between the same two scans.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from lung4d.register.costs import descriptor_distance
from lung4d.register.descriptors import mind_codes
from lung4d.register.grid import Grid, crop_to_mask, grid_of, sample_mask, sample_scan
from lung4d.register.surroundings import compare_surroundings, structure_map

SPACING = 4.0  # mm, of the grid on which all pairs are compared, whatever they were registered on
MARGIN = 28.0  # mm around the baseline's lungs: the ribs, and blocks that reach beyond them
APART = 3  # voxels that two scans are shifted by, for the descriptor distance of chance
_HERE = sitk.Transform(3, sitk.sitkIdentity)


@dataclass(frozen=True)
class ScoreTerm:
    """What one number adds to the score: weight * (value - usual) / spread, within four spreads."""

    usual: float
    spread: float
    weight: float

    def of(self, value: float) -> float:
        return self.weight * min(max((value - self.usual) / self.spread, -4.0), 4.0)


# Logistic regression on the pairs of benchmarks/wrong_pairs.py that develop it; `usual` is the median of right pairs.
TERMS = {
    "surroundings_agreement": ScoreTerm(0.843, 0.048, -0.88),
    "surroundings_scatter_mm": ScoreTerm(3.4, 2.7, 0.92),
    "descriptor_ratio": ScoreTerm(0.365, 0.2, 1.03),
    "log_jacobian_sd": ScoreTerm(0.0968, 0.056, 1.08),
    "keypoint_asymmetry_mm": ScoreTerm(0.934, 0.74, 1.15),
    "side_ratio_change": ScoreTerm(0.0128, 0.028, 0.37),
}
OFFSET = -6.71
# Log odds; above it a pair is flagged. Of those 157 pairs right ones reach -0.34, and wrong ones begin at 0.65.
MOST_SCORE = 0.0


def evidence(
    baseline: sitk.Image, baseline_mask: sitk.Image, followup: sitk.Image, followup_mask: sitk.Image,
    transform: sitk.Transform,
) -> dict[str, float]:  # fmt: skip
    """Numbers that tell a right pair from a wrong one, from scans (HU) and masks (1 right, 2 left lung).

    transform: baseline point to follow-up point, LPS mm. descriptor_ratio: descriptor distance in the lung, against
    that of the same two scans some millimetres apart. side_ratio_change: of the logarithm of right to left lung
    volume; absent where a lung is missing. surroundings_*: see `compare_surroundings`; absent where nothing is around.
    """
    grid = _grid_around(baseline_mask)
    first = sample_scan(crop_to_mask(baseline, baseline_mask, 2 * MARGIN), grid, _HERE)
    second = sample_scan(followup, grid, transform)
    lungs = sample_mask(baseline_mask, grid, _HERE), sample_mask(followup_mask, grid, transform)
    both = lungs[0] & lungs[1]
    seen = _field_of_view(baseline, grid, _HERE) & _field_of_view(followup, grid, transform)
    maps = [structure_map(scan, lung) for scan, lung in zip((first, second), lungs, strict=True)]
    found = {"descriptor_ratio": _descriptor_ratio(first, second, both)} if both.any() else {}
    found |= compare_surroundings(maps[0], maps[1], seen, SPACING)
    ratios = [_side_ratio(mask) for mask in (baseline_mask, followup_mask)]
    if None not in ratios:
        found["side_ratio_change"] = abs(ratios[1] - ratios[0])  # type: ignore[operator]  # neither is None
    return found


def _grid_around(mask: sitk.Image) -> Grid:
    """An isotropic grid along the mask's axes around its lungs."""
    native = grid_of(mask)
    inside = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
    low = inside.min(0) * native.spacing - MARGIN
    high = inside.max(0) * native.spacing + MARGIN
    size = np.ceil((high - low) / SPACING).astype(int) + 1
    return Grid(native.origin + native.direction @ low, np.full(3, SPACING), size, native.direction)


def _field_of_view(scan: sitk.Image, grid: Grid, transform: sitk.Transform) -> np.ndarray:
    """Where the grid lies within the scan's voxels, bool."""
    ones = sitk.Image(scan.GetSize(), sitk.sitkUInt8) + 1
    ones.CopyInformation(scan)
    return grid.sample(ones, transform, sitk.sitkNearestNeighbor, 0) > 0


def _descriptor_ratio(first: np.ndarray, second: np.ndarray, lung: np.ndarray) -> float:
    """Descriptor distance of two scans in `lung`, as a share of that when one of them is shifted along an axis."""
    codes, others = mind_codes(first), mind_codes(second)
    here = descriptor_distance(codes, others, lung)
    apart = [
        descriptor_distance(codes, np.roll(others, shift, axis), lung) for axis in range(3) for shift in (-APART, APART)
    ]
    return here / max(float(np.mean(apart)), 1e-6)


def _side_ratio(mask: sitk.Image) -> float | None:
    """Logarithm of the right lung's volume over the left's, None where one is missing."""
    labels = sitk.GetArrayViewFromImage(mask)
    right, left = (int(np.count_nonzero(labels == side)) for side in (1, 2))
    return math.log(right / left) if right and left else None


def wrong_pair_score(metrics: Mapping[str, float]) -> float:
    """Log odds that a pair is wrong, from `evidence` and the registration's numbers; what is absent adds nothing."""
    known = {name: metrics[name] for name in TERMS if metrics.get(name) is not None}
    return OFFSET + sum(TERMS[name].of(value) for name, value in known.items() if math.isfinite(value))


def is_doubtful(metrics: Mapping[str, float]) -> bool:
    return wrong_pair_score(metrics) > MOST_SCORE
