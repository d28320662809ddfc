"""A patient's trajectory as a strip (Fig. 3 of 4D-VQ-GAN): real above generated scans, the place that changes most
enlarged, and the change since the baseline. All volumes are (D, H, W) HU on LPS axes, on one grid."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from lung4d.figures.mosaic import mosaic
from lung4d.figures.scans import BASAL, MIDDLE, Spacing
from lung4d.figures.slices import (
    SMOOTHING,
    Plane,
    Tile,
    change,
    crop_to,
    cut,
    grey,
    lung_index,
    plane_spacing,
    smooth_in,
)

ZOOM = 60.0  # mm, side of the enlarged square
ROWS = ["real", "generated", "real,\nenlarged", "generated,\nenlarged", "real\nchange", "generated\nchange"]


@dataclass(frozen=True)
class Moment:
    """A volume at one time: `years` since baseline, `hu` (D, H, W), and whether a real scan was given to the model."""

    years: float
    hu: np.ndarray
    given: bool = False


def trajectory_strip(
    real: list[Moment], generated: list[Moment], mask: np.ndarray, spacing: Spacing, plane: Plane,
    most: int = 6, caption: str = "",
) -> bytes:  # fmt: skip
    """Real visits above generated scans at the same years, both enlarged, and the change of each since the baseline.

    Columns are years, at most `most`; a generated scan stands in the column of the nearest year. `real` must hold the
    baseline first. The slice and the yellow box are where the last generated scan differs most from the baseline. The
    change is drawn inside `mask` only, the region that the model may change, as a mean over 3 mm. Returns PNG bytes.
    """
    years = strip_years([m.years for m in real], [m.years for m in generated], most)
    centre = largest_change(generated[-1].hu, real[0].hu, mask, spacing) if generated else None
    view = _View.of(mask, spacing, plane, centre)
    rows: list[list[Tile | None]] = [[] for _ in ROWS]
    for year in years:
        for offset, moments, within in ((0, real, 0.02), (1, generated, 0.3)):
            moment = nearest(moments, year, within)
            label = "" if moment is None else _label(moment, offset == 0, year)
            tiles = [None] * 3 if moment is None else view.tiles(moment.hu, real[0].hu, label)
            for row, tile in zip(rows[offset::2], tiles, strict=True):
                row.append(tile)
    titles = [f"{year:.1f} years" for year in years]
    return mosaic(rows, columns=titles, names=ROWS, width=146, key=True, blank="no scan", caption=caption)


@dataclass(frozen=True)
class _View:
    """One slice of the patient's grid: its index, the part around the lung that is shown, and in it the lung and the
    square that is enlarged."""

    plane: Plane
    index: int
    window: tuple[slice, slice]
    region: np.ndarray
    zoom: tuple[slice, slice]
    mm: tuple[float, float]

    @classmethod
    def of(cls, mask: np.ndarray, spacing: Spacing, plane: Plane, centre: tuple[int, int, int] | None) -> "_View":
        mm = plane_spacing(spacing, plane)
        index = lung_index(mask, plane, BASAL if plane == "axial" else MIDDLE)
        if centre is not None:
            index = centre[0] if plane == "axial" else centre[1]
        region = cut(mask, plane, index)
        window = crop_to(region, margin=6)
        shown = region[window]
        place = [size // 2 for size in shown.shape]
        if centre is not None:
            row = centre[1] if plane == "axial" else len(mask) - 1 - centre[0]  # coronal slices have the head above
            place = [at - (part.start or 0) for at, part in zip((row, centre[2]), window, strict=True)]
        rows, columns = (_around(at, round(ZOOM / size), n) for at, size, n in zip(place, mm, shown.shape, strict=True))
        return cls(plane, index, window, shown, (rows, columns), mm)

    def tiles(self, hu: np.ndarray, baseline: np.ndarray, label: str) -> list[Tile]:
        """The slice with the square, the square enlarged, the change since the baseline."""
        pixels, first = (cut(volume, self.plane, self.index)[self.window] for volume in (hu, baseline))
        square = np.zeros(pixels.shape, bool)
        square[self.zoom] = True
        difference = smooth_in(pixels.astype(np.float32) - first, self.region, self.mm, SMOOTHING)
        return [
            Tile(grey(pixels), self.mm, outline=square, label=label),
            Tile(grey(pixels[self.zoom]), self.mm),
            Tile(change(first, difference, self.region), self.mm),
        ]


def largest_change(
    volume: np.ndarray, baseline: np.ndarray, mask: np.ndarray, spacing: Spacing
) -> tuple[int, int, int] | None:
    """The voxel (z, y, x) of the lung around which a cube of `ZOOM` mm changes most, as a mean over 3 mm; None where
    nothing changes."""
    difference = np.where(mask, np.asarray(volume, np.float32) - baseline, 0)
    size = np.array(spacing)
    strength = np.abs(gaussian_filter(difference, SMOOTHING / size))
    around = uniform_filter(strength, np.maximum(1, np.rint(ZOOM / size)).astype(int), mode="constant") * mask
    if not around.any():
        return None
    z, y, x = np.unravel_index(around.argmax(), around.shape)
    return int(z), int(y), int(x)


def strip_years(real: list[float], generated: list[float], most: int) -> list[float]:
    """The years that a strip shows, sorted: those of the real visits, at most `most` of them, first and last kept.

    Places that remain go to generated years that lie farthest from those already taken.
    """
    chosen = _spread(sorted(real), most)
    pool = sorted(set(generated))
    while pool and len(chosen) < most:
        gaps = [min(abs(year - other) for other in chosen) for year in pool]
        best = int(np.argmax(gaps))
        if gaps[best] < 0.3:
            break
        chosen.append(pool.pop(best))
    return sorted(chosen)


def nearest(moments: list[Moment], year: float, within: float) -> Moment | None:
    """The moment nearest to `year`, or None where none lies `within` years of it."""
    best = min(moments, key=lambda moment: abs(moment.years - year), default=None)
    return best if best is not None and abs(best.years - year) <= within else None


def _spread(years: list[float], most: int) -> list[float]:
    """At most `most` of the years, evenly chosen by rank, first and last kept."""
    if len(years) <= most:
        return list(years)
    return [years[round(place)] for place in np.linspace(0, len(years) - 1, most)]


def _around(centre: int, length: int, size: int) -> slice:
    """`length` places about `centre`, moved to lie within `size`."""
    length = min(max(length, 1), size)
    start = min(max(centre - length // 2, 0), size - length)
    return slice(start, start + length)


def _label(moment: Moment, is_real: bool, year: float) -> str:
    if is_real:
        return "\u25cf given" if moment.given else "\u25cb not given"
    return "" if abs(moment.years - year) < 0.05 else f"at {moment.years:.1f} years"
