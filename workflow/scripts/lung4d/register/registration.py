"""Registration of a follow-up CT to its baseline: alignment of the lung masks, keypoint correspondences coarse to fine,
sub-voxel refinement, a field without folds, and the numbers that say how well it went."""

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.io.status import UnusableScan
from lung4d.register import changed, fields, quality
from lung4d.register.align import Affine, align_masks
from lung4d.register.correspondence import Level, match
from lung4d.register.costs import descriptor_distance
from lung4d.register.dense import dense_field
from lung4d.register.descriptors import mind_codes
from lung4d.register.grid import (
    Grid,
    crop_to_mask,
    displacement_field,
    identity_field,
    inverse_displacement_field,
    registration_grid,
    sample_mask,
    sample_scan,
)
from lung4d.register.keypoints import distinctiveness, strongest_peaks
from lung4d.register.refine import features, refine

logger = logging.getLogger("lung4d")

PER_LEVEL = ("search_radius", "search_step", "patch_radius", "keypoint_cube", "keypoints", "alpha")
MARGIN = 12.0  # mm of the working grid around the lungs
FEWEST_KEYPOINTS = 8
MOST_DICE_LOST = 0.02  # by the deformation, against the aligned masks
# HU of unexplained change of density that cost a place nothing of its say: in the refinement, which begins where the
# scans fit, and among keypoints, where what looks changed may not fit yet.
TOLERATED, TOLERATED_AT_KEYPOINTS = 30.0, 60.0


@dataclass(frozen=True)
class RegistrationSettings:
    """The `register` section. Lengths in mm; one value a level, coarse first."""

    spacing: float
    search_radius: tuple[float, ...]
    search_step: tuple[float, ...]
    patch_radius: tuple[float, ...]
    keypoint_cube: tuple[float, ...]
    keypoints: tuple[int, ...]
    alpha: tuple[float, ...]
    beta: float
    gamma: float
    keypoint_sigma: float
    mind_sigma: float
    spline_smoothing: float
    refine_steps: int
    refine_window: float
    refine_spread: float
    refine_smoothness: float
    surface_weight: float
    field_spacing: float

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in PER_LEVEL}
        if len(set(counts.values())) > 1:
            raise ValueError(f"register: {', '.join(PER_LEVEL)} need one value a level each; they have {counts}")

    @classmethod
    def from_params(cls, params) -> "RegistrationSettings":
        """From an object that has the section's keys as attributes; lists become tuples."""
        values: dict[str, Any] = {key.name: getattr(params, key.name) for key in dataclasses.fields(cls)}
        own: dict[str, Any]
        own = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**own)

    def levels(self) -> list[Level]:
        columns = zip(*(getattr(self, name) for name in PER_LEVEL), strict=True)
        levels = []
        for radius, step, patch, cube, keypoints, alpha in columns:
            stride = max(1, round(step / self.spacing))
            length = stride * self.spacing
            levels.append(
                Level(
                    radius=max(1, round(radius / length)),
                    step=stride,
                    cube=max(3, round(cube / self.spacing)),
                    patch=max(1, round(patch / length)),
                    keypoints=keypoints,
                    alpha=alpha,
                )
            )
        return levels


@dataclass(frozen=True)
class Registration:
    """field: ITK displacement field, baseline to follow-up (LPS mm); inverse: the way back, on the follow-up's field of
    view; metrics and flags as in files.Status."""

    field: sitk.Image
    inverse: sitk.Image
    metrics: dict = dataclasses.field(default_factory=dict)
    flags: list[str] = dataclasses.field(default_factory=list)


@dataclass(frozen=True)
class _Pair:
    """Both scans (HU) and lung masks on the working grid, the follow-up's brought over by the alignment."""

    grid: Grid
    baseline: np.ndarray
    followup: np.ndarray
    baseline_lung: np.ndarray
    followup_lung: np.ndarray


def use_threads(count: int) -> None:
    """Let the numeric kernels and SimpleITK use `count` threads; the results do not depend on it."""
    numba.set_num_threads(max(1, min(count, numba.config.NUMBA_NUM_THREADS)))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(max(1, count))


def identity_registration(mask: sitk.Image, settings: RegistrationSettings) -> Registration:
    """A baseline's registration to itself: the field of zeros on the baseline's field of view. Raises UnusableScan."""
    volume = quality.mask_volume(mask)
    if volume == 0:
        raise UnusableScan("its lung mask is empty")
    still = identity_field(mask, settings.field_spacing)
    return Registration(still, still, quality.identity_metrics() | {"lung_volume_ml": volume})


def register(
    baseline: sitk.Image,
    baseline_mask: sitk.Image,
    followup: sitk.Image,
    followup_mask: sitk.Image,
    settings: RegistrationSettings,
) -> Registration:
    """Register `followup` to `baseline` (HU) with their lung masks (0, 1 = right lung, 2 = left lung).

    Raises UnusableScan where a mask is empty, the two share no side, or they cannot be laid over each other.
    """
    if _identical(baseline, followup) and _identical(baseline_mask, followup_mask):
        same = identity_registration(baseline_mask, settings)
        flag = "The scan is voxel for voxel the baseline; check that it is the right file."
        return dataclasses.replace(same, flags=[flag])
    flags: list[str] = []
    volume = quality.mask_volume(followup_mask)
    baseline_mask, followup_mask = _common_sides(baseline_mask, followup_mask, flags)
    alignment = align_masks(baseline_mask, followup_mask)
    pair = _bring_together(baseline, baseline_mask, followup, followup_mask, alignment, settings.spacing)
    alone = _lungs_alone(pair)
    codes, codes_before = (mind_codes(image, settings.mind_sigma) for image in (alone.baseline, alone.followup))
    flow, found = _correspond(alone, codes, codes_before, settings, flags)
    if found and settings.refine_steps:
        flow = _refine(pair, flow, settings)
    flow, mended = fields.mend_folds(flow)
    codes_after = mind_codes(fields.warp(alone.followup, flow), settings.mind_sigma)
    before, after = (descriptor_distance(codes, other, pair.baseline_lung) for other in (codes_before, codes_after))
    if after > before or _dice_lost(pair, flow) > MOST_DICE_LOST:
        flow, after = np.zeros_like(flow), before
        flags.append("The keypoints' answer fits worse than the aligned lung masks, which stand alone (an affine map).")
    image = displacement_field(baseline, pair.grid, flow, alignment, settings.field_spacing)
    inverse = inverse_displacement_field(followup, pair.grid, flow, alignment, settings.field_spacing)
    metrics = quality.measure_registration(baseline_mask, followup_mask, alignment, image, inverse)
    metrics |= {
        "descriptor_distance_before": before,
        "descriptor_distance_after": after,
        "mended_voxels": mended,
        "lung_volume_ml": volume,
    }
    metrics |= found
    flags += quality.warnings(metrics)
    return Registration(image, inverse, metrics, flags)


def _identical(first: sitk.Image, second: sitk.Image) -> bool:
    geometry = ("GetSize", "GetOrigin", "GetSpacing", "GetDirection")
    same_grid = all(getattr(first, name)() == getattr(second, name)() for name in geometry)
    return same_grid and np.array_equal(*map(sitk.GetArrayViewFromImage, (first, second)))  # type: ignore[arg-type]  # two arrays


def _common_sides(baseline: sitk.Image, followup: sitk.Image, flags: list[str]) -> tuple[sitk.Image, sitk.Image]:
    """Both masks, restricted to the lungs that both have where one of them lacks a side."""
    ours, theirs = (set(np.unique(sitk.GetArrayViewFromImage(mask)).tolist()) - {0} for mask in (baseline, followup))
    if not ours:
        raise UnusableScan("the baseline's lung mask is empty")
    if not theirs:
        raise UnusableScan("its lung mask is empty")
    common = ours & theirs
    if not common:
        raise UnusableScan("its lung mask and the baseline's have no lung in common: one is right, the other left")
    if ours == theirs:
        return baseline, followup
    flags.append("Only one lung is marked in both scans; the registration rests on it alone.")
    return _keep(baseline, common), _keep(followup, common)


def _keep(mask: sitk.Image, sides: set[int]) -> sitk.Image:
    """1 where the mask is one of `sides`, 0 elsewhere."""
    kept = sitk.GetImageFromArray(np.isin(sitk.GetArrayViewFromImage(mask), list(sides)).astype(np.uint8))
    kept.CopyInformation(mask)
    return kept


def _bring_together(baseline, baseline_mask, followup, followup_mask, alignment: Affine, spacing: float) -> _Pair:
    grid = registration_grid(baseline_mask, followup_mask, alignment, spacing, MARGIN)
    here, there = sitk.Transform(3, sitk.sitkIdentity), alignment.transform()
    return _Pair(
        grid,
        sample_scan(crop_to_mask(baseline, baseline_mask, 3 * MARGIN), grid, here),
        sample_scan(crop_to_mask(followup, followup_mask, 3 * MARGIN), grid, there),
        sample_mask(baseline_mask, grid, here),
        sample_mask(followup_mask, grid, there),
    )


def _correspond(
    pair: _Pair, codes: np.ndarray, moving: np.ndarray, settings: RegistrationSettings, flags: list[str]
) -> tuple[np.ndarray, dict]:
    """The composed flow of all levels (voxels) and its numbers; no flow and a flag where keypoints are too few.

    codes, moving: of the baseline and of the follow-up.
    """
    flow = np.zeros((*pair.grid.shape, 3), dtype=np.float32)
    strength = distinctiveness(pair.baseline, ndimage.binary_erosion(pair.baseline_lung), settings.keypoint_sigma)
    density = ndimage.uniform_filter(pair.baseline, 5)
    found: dict = {}
    for number, level in enumerate(settings.levels()):
        if number > 0:
            moving = mind_codes(fields.warp(pair.followup, flow), settings.mind_sigma)
        points = strongest_peaks(strength, level.cube, level.keypoints)
        if len(points) < FEWEST_KEYPOINTS:
            break
        say = _say(pair, flow, settings, TOLERATED_AT_KEYPOINTS) if number > 0 else np.ones(pair.grid.shape, np.float32)
        heard = say[tuple(points.T)]
        matches = match(points, density, codes, moving, level, settings.beta, settings.gamma, settings.spacing, heard)
        step = dense_field(points, matches.displacements, pair.grid.shape, settings.spline_smoothing / heard)
        flow = fields.compose(flow, step)
        asymmetry = settings.spacing * matches.asymmetry
        found = {"keypoints": len(points), "keypoint_asymmetry_mm": asymmetry}
    if not found:
        flags.append(
            f"Fewer than {FEWEST_KEYPOINTS} keypoints in the lung: only the lung masks were aligned (an affine map)."
        )
    return flow, found


def _say(pair: _Pair, flow: np.ndarray, settings: RegistrationSettings, tolerated: float) -> np.ndarray:
    """Weight (D, H, W) of each place, less where the tissue itself changed."""
    lungs = pair.baseline_lung, pair.followup_lung
    change = changed.unexplained_change(pair.baseline, pair.followup, lungs, flow, _window(settings))
    return changed.say(change, tolerated)


def _window(settings: RegistrationSettings) -> int:
    return max(3, round(settings.refine_window / settings.spacing))


def _refine(pair: _Pair, flow: np.ndarray, settings: RegistrationSettings) -> np.ndarray:
    window = _window(settings)
    fixed, moving = (
        features(image, lung, window, settings.refine_spread)
        for image, lung in ((pair.baseline, pair.baseline_lung), (pair.followup, pair.followup_lung))
    )
    say = _say(pair, flow, settings, TOLERATED)
    return refine(fixed, moving, flow, say, settings.refine_steps, settings.refine_smoothness, settings.surface_weight)


def _lungs_alone(pair: _Pair) -> _Pair:
    """The pair with its scans as `_lung_alone` leaves them."""
    return dataclasses.replace(
        pair,
        baseline=_lung_alone(pair.baseline, pair.baseline_lung),
        followup=_lung_alone(pair.followup, pair.followup_lung),
    )


def _lung_alone(image: np.ndarray, lung: np.ndarray) -> np.ndarray:
    """The scan with every voxel outside the lung, and on its surface, as the nearest one inside: the ribs, along which
    the lung slides, must not pull at it."""
    inner = ndimage.binary_erosion(lung)
    outside = ~(inner if inner.any() else lung)
    nearest = ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def _dice_lost(pair: _Pair, flow: np.ndarray) -> float:
    """Overlap of the lungs that the deformation loses, against the aligned masks."""
    moved = fields.warp(pair.followup_lung, flow) >= 0.5
    aligned, deformed = (quality.dice_or_zero(pair.baseline_lung, lung) for lung in (pair.followup_lung, moved))
    return aligned - deformed
