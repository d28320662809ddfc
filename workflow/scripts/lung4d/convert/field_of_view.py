"""Padding around the scanner's round field of view: one value everywhere outside a circle, told by its shape."""

import numpy as np

FEWEST_PIXELS = 12  # on the edge of the padding, to which a circle is fitted
REACH = 1.5  # voxels that the edge of drawn circles lies off
LEAST_SHARE = 0.98  # of the voxels that lie on their side of the circle
LEAST_DIAMETER = 0.5  # of the shorter side of a slice
EDGE = 0.03  # of a slice, its front rows
WIDEST_AIR = 100.0  # HU between the quartiles of what is air alone
FEWEST_SLICES = 10  # with air in front, to be compared
USUAL_AIR = (-1100.0, -300.0)  # HU: below is padding, above is the body


def corner_value(values: np.ndarray) -> tuple[float, float]:
    """The value that most corners of the slices of `values` (z, y, x) hold, and its share of them."""
    corners = values[:, :: values.shape[1] - 1, :: values.shape[2] - 1]
    found, counts = np.unique(corners, return_counts=True)
    return float(found[counts.argmax()]), float(counts.max() / corners.size)


def round_padding(values: np.ndarray, padding: float, spacing: tuple[float, float]) -> np.ndarray | None:
    """Columns (y, x), bool, outside a circle that hold `padding` in most slices; None where they are no such ring.

    `spacing` (x, y) in mm. NaN as `padding` stands for all that is not finite.
    """
    columns = np.zeros(values.shape[1:], np.int32)
    for plane in values:
        columns += ~np.isfinite(plane) if np.isnan(padding) else plane == padding
    outside = columns > len(values) / 2
    return outside if _is_outside_a_circle(outside, spacing) else None


def _is_outside_a_circle(outside: np.ndarray, spacing: tuple[float, float]) -> bool:
    step = np.array(spacing[::-1])
    inner = np.pad(~outside, 1)
    beside = inner[:-2, 1:-1] | inner[2:, 1:-1] | inner[1:-1, :-2] | inner[1:-1, 2:]
    edge = np.argwhere(outside & beside) * step
    if len(edge) < FEWEST_PIXELS or outside.all():
        return False
    # A circle by least squares: x^2 + y^2 = 2 a x + 2 b y + c.
    terms = np.column_stack([2 * edge, np.ones(len(edge))])
    centre_y, centre_x, rest = np.linalg.lstsq(terms, (edge**2).sum(axis=1), rcond=None)[0]
    squared = rest + centre_y**2 + centre_x**2
    if squared <= (LEAST_DIAMETER / 2 * (np.array(outside.shape) * step).min()) ** 2:
        return False
    y, x = np.ogrid[: outside.shape[0], : outside.shape[1]]
    beyond = np.hypot(y * step[0] - centre_y, x * step[1] - centre_x) - np.sqrt(squared)
    reach = REACH * step.max()
    sides = ((np.abs(beyond) <= reach)[outside & beside], (beyond >= -reach)[outside], (beyond <= reach)[~outside])
    return all(side.mean() >= LEAST_SHARE for side in sides)


def rim(values: np.ndarray) -> np.ndarray:
    """The voxels along the four sides of all slices (z, y, x), flat."""
    rows, columns = (max(2, round(EDGE * size)) for size in values.shape[1:])
    sides = (values[:, :rows], values[:, -rows:], values[:, :, :columns], values[:, :, -columns:])
    return np.concatenate([side.ravel() for side in sides])


def air_drift(values: np.ndarray) -> float:
    """How far (HU) the front rows of slices (z, y, x) lie apart where they are air alone, but for some of them."""
    found = [air for plane in values if (air := room_air(plane[None])) is not None]
    if len(found) < FEWEST_SLICES:
        return 0.0
    low, high = np.percentile(found, [10, 90])
    return float(high - low)


def room_air(values: np.ndarray) -> float | None:
    """Median of the front rows of all slices (z, y, x; y to the back) where they are air alone, otherwise None."""
    rows, third = max(2, round(EDGE * values.shape[1])), values.shape[2] // 3
    front = values[:, :rows, third:-third]
    low, median, high = np.percentile(front, [25, 50, 75])
    if high - low > WIDEST_AIR or not USUAL_AIR[0] < median < USUAL_AIR[1]:
        return None
    return float(median)
