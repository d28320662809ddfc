"""Numbers that tell a good lung mask from a bad one, and the flags and refusals that follow from them."""

from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.io.status import UnusableScan
from lung4d.segment.masks import LEFT, RIGHT
from lung4d.segment.posture import FRONT_DENSER, back_minus_front
from lung4d.segment.trachea import BOWED, trachea_bow

RATIO_LIMITS = (0.5, 1.6)  # left to right volume; 0.8 to 0.95 in health
TOUCH_PERCENT = 1.0  # of the lung's voxels on the scan's edge, beyond which the lung is cut
PART_ML = 5.0  # a part of the mask smaller than this is not counted
DENSE_MEDIAN = -400.0  # HU


def quality(scan: sitk.Image, mask: sitk.Image) -> dict[str, Any]:
    """Volume (ml) per side and their ratio, how far the left lung's middle lies to the patient's left of the
    right one's (mm), parts of at least 5 ml, share of lung voxels on the scan's edge (%), the 5th, 50th and 95th
    percentile of HU in the lungs, and what the pixels tell of breath and pose (`trachea`, `posture`). `mask`: 1 right,
    2 left, on the grid of `scan`."""
    labels = sitk.GetArrayViewFromImage(mask)
    ml = float(np.prod(mask.GetSpacing())) / 1000
    right, left = (float((labels == side).sum() * ml) for side in (RIGHT, LEFT))
    lung = labels > 0
    values = sitk.GetArrayViewFromImage(scan)[lung]
    percentiles = np.percentile(values, [5, 50, 95]) if values.size else [None] * 3
    bow, hanging = (trachea_bow(scan, mask), back_minus_front(scan, mask)) if values.size else (None, None)
    return {
        "volume_right_ml": round(right, 1),
        "volume_left_ml": round(left, 1),
        "volume_ml": round(right + left, 1),
        "left_right_ratio": round(left / right, 3) if right else None,
        "left_of_right_mm": _left_of_right(mask, labels),
        "parts": _parts(lung, ml),
        "border_percent": round(100 * _on_border(lung) / max(values.size, 1), 3),
        **{f"hu_p{p:02d}": None if v is None else float(v) for p, v in zip((5, 50, 95), percentiles, strict=True)},
        "trachea_bow_mm": bow,
        "back_minus_front_hu": hanging,
        "may_be_expiration": None if bow is None else bow >= BOWED,
        "may_be_prone": None if hanging is None else hanging <= FRONT_DENSER,
    }


def check(numbers: dict[str, Any], min_ml: float, max_ml: float) -> list[str]:
    """Flags of a mask with these numbers; raises UnusableScan for a volume that no lungs have."""
    volume = numbers["volume_ml"]
    if volume < min_ml:
        raise UnusableScan(
            f"No lungs found: {volume:.0f} ml of air-filled tissue, at least {min_ml:g} ml are asked for."
        )
    if volume > max_ml:
        raise UnusableScan(f"The lungs found hold {volume:.0f} ml, more than {max_ml:g} ml; the scan is no chest CT?")
    flags = []
    ratio = numbers["left_right_ratio"]
    if not ratio:
        flags.append("Only one lung was found.")
    elif not RATIO_LIMITS[0] <= ratio <= RATIO_LIMITS[1]:
        flags.append(f"The left lung has {ratio:.2f} times the volume of the right one.")
    if numbers["left_of_right_mm"] is not None and numbers["left_of_right_mm"] < 0:
        flags.append("The lungs' sides are swapped: the one labelled left lies on the right; check the orientation.")
    if numbers["border_percent"] > TOUCH_PERCENT:
        flags.append("The lungs are cut by the edge of the scan.")
    if numbers["parts"] > 2:
        flags.append(f"The lung mask falls into {numbers['parts']} parts.")
    if numbers["hu_p50"] > DENSE_MEDIAN:
        flags.append(f"Half of the lung is denser than {numbers['hu_p50']:.0f} HU.")
    if numbers["may_be_expiration"]:
        flags.append(
            f"The back wall of the trachea bows {numbers['trachea_bow_mm']:.1f} mm inward: it may be an expiration."
        )
    if numbers["may_be_prone"]:
        flags.append(
            f"The front of the lungs is {-numbers['back_minus_front_hu']:.0f} HU denser than the back: the patient may "
            "lie prone, or front and back are swapped."
        )
    return flags


def _parts(lung: np.ndarray, ml: float) -> int:
    box = ndimage.find_objects(lung.astype(np.uint8))
    if not box:
        return 0
    labels, count = ndimage.label(lung[box[0]])
    return int((np.bincount(labels.ravel(), minlength=count + 1)[1:] * ml >= PART_ML).sum())


def _left_of_right(mask: sitk.Image, labels: np.ndarray) -> float | None:
    """Patient coordinate x (LPS) of the left lung's middle less that of the right one's; None without both."""
    middles = [np.argwhere(labels == side).mean(axis=0) for side in (RIGHT, LEFT) if (labels == side).any()]
    if len(middles) < 2:
        return None
    right, left = (mask.TransformContinuousIndexToPhysicalPoint(middle[::-1].tolist())[0] for middle in middles)
    return round(left - right, 1)


def _on_border(lung: np.ndarray) -> int:
    inner = lung[1:-1, 1:-1, 1:-1]
    return int(lung.sum() - inner.sum())
