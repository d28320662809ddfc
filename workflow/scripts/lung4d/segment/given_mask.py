"""A user's lung mask: which of its values are lung, and whether it is this scan's.

Values above 0 are lung, whatever labels they are: right and left, lobes. Those of a soft mask (probabilities, 0 to 255,
a mask resampled by splines) are lung from its middle on; of signed distances, above 0. Below 0, and what is no number,
is never lung. Where the labels lie on the scan tells what no file says: that a mask is inverted, or holds the body, or
belongs to another scan.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.convert.volumes.files import DamagedVolume, read_volume
from lung4d.convert.volumes.header_words import by
from lung4d.convert.volumes.names import volume_suffix
from lung4d.io.masks import bounding_box
from lung4d.io.status import UnusableScan
from lung4d.segment import intensity
from lung4d.segment.grid import millilitres

SOFT = "The mask given holds values between lung and not lung: from {:.3g} on, they count as lung."
OTHER_LUNGS = (
    "The mask given and the lungs that the scan shows overlap with a Dice of {:.2f} only: is the mask of another scan, "
    "or moved? Look at the pictures."
)
TURNED_LUNGS = (
    "The mask given would fit the lungs that the scan shows better if it were turned {} (Dice {:.2f} instead of "
    "{:.2f}): look at the pictures."
)
MOVED = "The mask given has as many voxels as the scan, and they lie otherwise: {}; look at the pictures."
OTHER_SIDES = (
    "Label 1 of the mask given lies on the scan's left lung, and label 2 on the right one. Where the mask was made "
    "with 1 for the right lung, the scan or the mask is mirrored: look at the pictures."
)
WAYS = ("upside down", "back to front", "side to side")
MOST_LABELS = 20  # of lungs: lobes and segments have fewer
PLATEAU = 0.75  # of the top value: a soft mask holds at least as much a few voxels below its surface
SURFACE, MOSTLY = 3, 0.95  # voxels; share
RIPPLE = 0.05  # of the top value, below which are the waves that splines leave everywhere
SMALLEST_ML = 20.0  # of a mask, and of a label that is looked at
AERATED, TISSUE = -500.0, -200.0  # HU: aerated lung, and what is not even diseased lung
LEAST_AERATED = 0.1  # of a mask; in fibrosis about half
AERATED_BODY, BODY = 0.4, 0.5  # less of a mask of the body is aerated, and it is more of the body
MOST_OUTSIDE, FEW_OUTSIDE = 0.3, 0.05  # of a mask in the room's air: refused, flagged
MOST_FOREIGN, FEW_FOREIGN = 0.5, 0.1  # of a mask in labels that lie on tissue or in the room's air: a lung may collapse
OTHER_SIDE = 0.9  # of each label's voxels
TURNED = 0.03  # of Dice that a turned mask must gain
LEAST_DICE = 0.8  # with the lungs found by intensity; 0.9 and more even in fibrosis


@dataclass(frozen=True)
class Labels:
    """`image` uint16: 0 where no lung is, numbers elsewhere; sentences to be read."""

    image: sitk.Image
    flags: list[str]


def read_mask(path: str | Path) -> tuple[sitk.Image, list[str]]:
    """A user's mask file and what its header is flagged for; raises UnusableScan where it cannot be read as one volume,
    or contradicts itself."""
    path = Path(path)
    try:
        if volume_suffix(path) and path.is_file() and path.stat().st_size:
            volume = read_volume(path)
            mask, flags = volume.image, [f"Of the mask given: {flag}" for flag in volume.flags]
        else:
            mask, flags = sitk.ReadImage(str(path)), []
    except RuntimeError:
        raise UnusableScan("The mask given cannot be read; give NIfTI, MHA or NRRD.") from None
    except DamagedVolume:
        raise UnusableScan("The mask given is cut short or damaged; copy it again.") from None
    except UnusableScan as reason:
        raise UnusableScan(f"The mask given cannot be used. {reason}") from None
    if mask.GetDimension() == 4 and mask.GetSize()[3] == 1:
        mask = mask[..., 0]
    if mask.GetDimension() != 3 or mask.GetNumberOfComponentsPerPixel() != 1:
        raise UnusableScan("The mask given is not one volume of labels.")
    return mask, flags


def labels_of(mask: sitk.Image) -> Labels:
    """The voxels of `mask` that are lung, with their labels where it has such; raises UnusableScan where there are
    none."""
    values = sitk.GetArrayFromImage(mask)
    flags = []
    if values.dtype.kind == "f" and (bad := ~np.isfinite(values)).any():
        flags.append(f"{bad.sum()} voxels of the mask given are not numbers; they count as no lung.")
        values[bad] = 0
    if values.dtype.kind == "c" or not (values > 0).any():
        raise UnusableScan("The mask given is empty; give one whose lungs are above 0, or none.")
    threshold = _threshold(values)
    if threshold is None:
        found = np.clip(values, 0, None).astype(np.int64).clip(max=2**16 - 1)
    else:
        found = values > threshold
        if threshold > 0:
            flags.append(SOFT.format(threshold))
        if not found.any():
            raise UnusableScan(f"The mask given is empty: no value is above {threshold:g}.")
    image = sitk.GetImageFromArray(found.astype(np.uint16))
    image.CopyInformation(mask)
    return Labels(image, flags)


def _threshold(values: np.ndarray) -> float | None:
    """Above which value a voxel is lung, where the values are no labels; None for labels."""
    positive = values[values > 0]
    top = float(positive.max())
    whole = values.dtype.kind != "f" or not (positive % 1).any()
    if whole and (top <= MOST_LABELS or (positive == top).all()):
        return None
    if not whole and values.min() < -top / 2:
        return 0.0  # signed distances, which go as far below 0
    if top > MOST_LABELS and _is_soft(values, top):
        return top / 2
    return None if whole else 0.5  # many labels; probabilities, and labels between which was interpolated


def _is_soft(values: np.ndarray, top: float) -> bool:
    """Whether values between 0 and `top` are those of the surface alone, as labels of parts of the lungs are not."""
    inner = ndimage.binary_erosion(values > RIPPLE * top, iterations=SURFACE)
    return bool(inner.any() and (values[inner] >= PLATEAU * top).mean() >= MOSTLY)


def check_place(labels: np.ndarray, hu: np.ndarray, outside: np.ndarray) -> list[str]:
    """Flags of `labels` (z, y, x; numbers, 0 is no lung) on a scan of `hu` and room's air `outside`, all at 2 mm.

    Raises UnusableScan where they cannot be its lungs.
    """
    region = labels > 0
    total = int(np.count_nonzero(region))
    if millilitres(total) < SMALLEST_ML:
        raise UnusableScan(f"The mask given holds {millilitres(total):.1f} ml of the scan, which is no lung.")
    in_air = np.count_nonzero(region & outside) / total
    aerated = np.count_nonzero(region & (hu < AERATED) & ~outside) / total
    foreign = _foreign_labels(labels, hu, outside)
    if foreign:
        names = ", ".join(str(label) for label in list(foreign)[:6]) + (", ..." if len(foreign) > 6 else "")
        share = sum(foreign.values()) / total
        if share > MOST_FOREIGN and len(foreign) < len(np.unique(labels[region])):
            raise UnusableScan(
                f"The mask given has labels that are not lung ({names}: {100 * share:.0f} % of it lies on tissue or "
                "outside of the body); give the lungs alone."
            )
    if in_air > MOST_OUTSIDE and in_air * total > outside.sum() / 2:
        raise UnusableScan(
            "The mask given holds the air around the body: is it inverted? Give one with the lungs above 0."
        )
    if in_air > MOST_OUTSIDE or aerated < LEAST_AERATED:
        raise UnusableScan(
            f"The mask given does not fit the scan: {100 * in_air:.0f} % of it lie outside of the body and "
            f"{100 * aerated:.0f} % on aerated lung. Is it of another scan, or moved?"
        )
    if aerated < AERATED_BODY and total > BODY * np.count_nonzero(~outside):
        raise UnusableScan("The mask given holds most of the body, not the lungs alone; give the lungs alone.")
    flags = []
    if in_air > FEW_OUTSIDE:
        flags.append(f"{100 * in_air:.0f} % of the mask given lie outside of the body; look at the pictures.")
    if foreign and share > FEW_FOREIGN:
        flags.append(f"Labels of the mask given lie on tissue ({names}: {100 * share:.0f} % of it); are they lung?")
    return flags


def _foreign_labels(labels: np.ndarray, hu: np.ndarray, outside: np.ndarray) -> dict[int, int]:
    """Labels, of several, that lie on tissue or outside of the body, and their voxels; small ones are passed over."""
    found = {}
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    for label, count in zip(numbers, counts, strict=True):
        if len(numbers) > 1 and millilitres(count) >= SMALLEST_ML:
            here = labels == label
            if np.median(hu[here]) > TISSUE or outside[here].mean() > MOST_OUTSIDE:
                found[int(label)] = int(count)
    return found


def other_sides(labels: np.ndarray, lungs: np.ndarray) -> str:
    """A flag where `labels` are 1 and 2 alone and lie on the sides that are 2 and 1 in `lungs` (both z, y, x)."""
    both = (labels > 0) & (lungs > 0)
    if set(np.unique(labels[both])) != {1, 2}:
        return ""
    other = [(lungs[both & (labels == label)] == 3 - label).mean() for label in (1, 2)]
    return OTHER_SIDES if min(other) >= OTHER_SIDE else ""


def other_lungs(lungs: np.ndarray, hu: np.ndarray, x_of_column: np.ndarray) -> str:
    """A flag where `lungs` (1 right, 2 left) are not those found by intensity on the sides that they have, or are when
    turned; empty where they are, and where nothing is found."""
    try:
        found = intensity.find_lungs(hu, x_of_column).labels
    except UnusableScan:
        return ""
    ours, theirs = np.isin(found, np.unique(lungs[lungs > 0])), lungs > 0
    dice, box = _dice(ours, theirs), bounding_box(theirs)
    for axis, way in enumerate(WAYS):
        turned = np.zeros_like(theirs)
        turned[box] = np.flip(theirs[box], axis)
        if (better := _dice(ours, turned)) > max(dice + TURNED, LEAST_DICE):
            return TURNED_LUNGS.format(way, better, dice)
    return "" if dice >= LEAST_DICE else OTHER_LUNGS.format(dice)


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * np.count_nonzero(first & second) / np.maximum(first.sum() + second.sum(), 1))


def other_place(given: sitk.Image, scan: sitk.Image) -> str:
    """In words, how a mask with the scan's number of voxels lies otherwise than the scan; empty where it does not, and
    for masks on grids of their own."""
    given = sitk.DICOMOrient(given, "LPS")
    if given.GetSize() != scan.GetSize():
        return ""
    far = [size - 1 for size in scan.GetSize()]
    ends = [[grid.TransformIndexToPhysicalPoint(corner) for corner in ([0, 0, 0], far)] for grid in (given, scan)]
    if np.abs(np.subtract(ends[0], ends[1])).max() <= min(scan.GetSpacing()) / 2:
        return ""
    grids = zip((given, scan), ends, strict=True)
    places = [f"voxels of {by(grid.GetSpacing())} mm, the first at {by(end[0])} mm" for grid, end in grids]
    return f"{places[0]}, against {places[1]} of the scan"
