"""Numbers that say how well two scans were registered, and the sentences that follow from bad ones."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.register.align import Affine
from lung4d.register.grid import field_jacobian, grid_of

LEAST_DICE = 0.9
MOST_FOLDED = 0.1  # percent of the lung
MOST_ASYMMETRY = 5.0  # mm
MOST_UNEVEN = 0.22  # sd of the log-Jacobian; well registered pairs of simulated patients have 0.05 to 0.12
SMALLEST_DETERMINANT = 1e-3  # of which a logarithm is taken
MOST_POINTS = 20_000  # at which forward and back are compared
_HERE = sitk.Transform(3, sitk.sitkIdentity)


def measure_registration(
    baseline_mask: sitk.Image, followup_mask: sitk.Image, alignment: Affine, field: sitk.Image, inverse: sitk.Image,
) -> dict[str, float]:  # fmt: skip
    """Quality of a registration, from the written `field` and its `inverse`.

    dice_*: of the lung masks in scanner coordinates, after the alignment, after all. folded_percent: of the
    baseline's lung where the written field's Jacobian is not positive. displacement_*: lengths of the written field
    in the lung, less the alignment's shift of its centre, mm. log_jacobian_*: of the local change of volume, baseline
    to follow-up. inverse_consistency_mm: mean distance between a lung point and its image under the field and back
    through the inverse.
    """
    lung = lung_on_field(baseline_mask, field)
    determinant = field_jacobian(field)[lung]
    vectors = sitk.GetArrayViewFromImage(field)[lung]
    lengths = np.linalg.norm(vectors - vectors.mean(0), axis=1)
    logarithm = np.log(np.maximum(determinant, SMALLEST_DETERMINANT))
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    p50, p95, largest = np.percentile(lengths, (50, 95, 100))
    return {
        "dice_before": overlap(baseline_mask, followup_mask, _HERE),
        "dice_aligned": overlap(baseline_mask, followup_mask, alignment.transform()),
        "dice_after": overlap(baseline_mask, followup_mask, transform),
        "folded_percent": float(100 * (determinant <= 0).mean()),
        "shift_mm": float(np.linalg.norm(vectors.mean(0))),
        "displacement_p50_mm": float(p50),
        "displacement_p95_mm": float(p95),
        "displacement_max_mm": float(largest),
        "inverse_consistency_mm": inverse_consistency(field, inverse, lung),
        "log_jacobian_mean": float(logarithm.mean()),
        "log_jacobian_sd": float(logarithm.std()),
        "log_jacobian_p5": float(np.percentile(logarithm, 5)),
        "log_jacobian_p95": float(np.percentile(logarithm, 95)),
    }


def lung_on_field(baseline_mask: sitk.Image, field: sitk.Image) -> np.ndarray:
    """The baseline's lung, bool (D, H, W) on the grid of the field."""
    grid_image = sitk.Image(field.GetSize(), sitk.sitkUInt8)
    grid_image.CopyInformation(field)
    return sitk.GetArrayFromImage(sitk.Resample(baseline_mask, grid_image, _HERE, sitk.sitkNearestNeighbor, 0)) > 0


def log_jacobian(field: sitk.Image, baseline_mask: sitk.Image) -> sitk.Image:
    """Natural logarithm of the local change of volume, baseline to follow-up, float32 on the field's grid, 0 outside
    the lung: below 0 where the lung has shrunk."""
    logarithm = np.log(np.maximum(field_jacobian(field), SMALLEST_DETERMINANT))
    logarithm[~lung_on_field(baseline_mask, field)] = 0
    image = sitk.GetImageFromArray(logarithm.astype(np.float32))
    image.CopyInformation(field)
    return image


def inverse_consistency(field: sitk.Image, inverse: sitk.Image, lung: np.ndarray) -> float:
    """Mean distance, mm, between lung points and their image under `field` and then `inverse`."""
    inside = np.argwhere(lung)
    inside = inside[:: max(1, len(inside) // MOST_POINTS)]
    forward = sitk.GetArrayViewFromImage(field)[tuple(inside.T)].astype(np.float64)
    grid, other = grid_of(field), grid_of(inverse)
    reached = inside[:, ::-1] * grid.spacing @ grid.direction.T + grid.origin + forward
    index = ((reached - other.origin) @ other.direction / other.spacing).T[::-1]
    vectors = sitk.GetArrayViewFromImage(inverse)
    back = np.stack(
        [ndimage.map_coordinates(vectors[..., a], index, order=1, mode="nearest") for a in range(3)], axis=1
    )
    return float(np.linalg.norm(forward + back, axis=1).mean())


def identity_metrics() -> dict[str, float]:
    """The numbers of `measure` for a scan that stays where it is."""
    perfect = {"dice_before": 1.0, "dice_aligned": 1.0, "dice_after": 1.0}
    still = ("folded_percent", "shift_mm", "displacement_p50_mm", "displacement_p95_mm", "displacement_max_mm",
             "inverse_consistency_mm", "log_jacobian_mean", "log_jacobian_sd", "log_jacobian_p5", "log_jacobian_p95",
             "descriptor_distance_before", "descriptor_distance_after")  # fmt: skip
    return perfect | dict.fromkeys(still, 0.0)


def overlap(baseline: sitk.Image, followup: sitk.Image, transform: sitk.Transform) -> float:
    """Dice of the baseline's lung mask and the follow-up's brought to it through `transform` (nearest neighbour)."""
    moved = sitk.Resample(followup, baseline, transform, sitk.sitkNearestNeighbor, 0)
    return dice_or_zero(*(sitk.GetArrayViewFromImage(mask) > 0 for mask in (baseline, moved)))


def dice_or_zero(first: np.ndarray, second: np.ndarray) -> float:
    """Dice coefficient of two masks of one shape; 0 where both are empty."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return float(2 * np.count_nonzero(first & second) / total) if total else 0.0


def mask_volume(mask: sitk.Image) -> float:
    """Volume of the non-zero voxels, ml."""
    return float(np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * np.prod(mask.GetSpacing()) / 1000)


def warnings(metrics: dict[str, float]) -> list[str]:
    """What a person should look at, as sentences."""
    out = []
    if metrics["dice_after"] < LEAST_DICE:
        out.append(f"The lung masks overlap poorly after registration (Dice {metrics['dice_after']:.3f}).")
    if metrics["folded_percent"] > MOST_FOLDED:
        out.append(f"The displacement field folds in {metrics['folded_percent']:.2f} % of the lung.")
    if metrics["log_jacobian_sd"] > MOST_UNEVEN:
        out.append(
            f"The found change of volume differs widely from place to place (sd of its logarithm "
            f"{metrics['log_jacobian_sd']:.2f}, usually below 0.12): look at the pictures."
        )
    if metrics.get("keypoint_asymmetry_mm", 0) > MOST_ASYMMETRY:
        apart = metrics["keypoint_asymmetry_mm"]
        out.append(f"Forward and backward search disagree by {apart:.1f} mm at half of the keypoints.")
    return out
