"""What hangs down in the lung is denser: which way up a patient lay, by the pixels.

In a patient on the back the back of the lung is denser than the front by some tens of HU, in one who lies prone the
front. What this cannot tell: a prone patient whose back is denser by disease; and an image whose front and back are
swapped, which looks like a prone patient.
"""

import numpy as np
import SimpleITK as sitk

from lung4d.segment.masks import LEFT, RIGHT

FRONT_DENSER = -20.0  # HU
LEAST = 1000  # voxels of a third of a lung


def back_minus_front(scan: sitk.Image, mask: sitk.Image) -> float | None:
    """Median HU of the back third of a lung minus that of its front third; of two lungs that of the larger difference,
    so that both must be denser at the front for a number below 0. None where a third is too small to tell.

    `scan` int16 HU and its lung `mask` (1 right, 2 left), both in LPS order.
    """
    labels, hu = sitk.GetArrayViewFromImage(mask), sitk.GetArrayViewFromImage(scan)
    lungs = (labels == side for side in (RIGHT, LEFT))
    found = [_of_lung(hu, lung) for lung in lungs if lung.any()]
    told = [difference for difference in found if difference is not None]
    return round(max(told), 1) if told else None


def _of_lung(hu: np.ndarray, lung: np.ndarray) -> float | None:
    share = np.cumsum(np.count_nonzero(lung, axis=(0, 2))) / np.count_nonzero(lung)
    front, back = (int(np.searchsorted(share, edge)) + 1 for edge in (1 / 3, 2 / 3))
    thirds = [hu[:, part][lung[:, part]] for part in (slice(front), slice(back, None))]
    if min(map(len, thirds)) < LEAST:
        return None
    at_front, at_back = map(np.median, thirds)
    return float(at_back - at_front)
