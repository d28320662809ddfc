"""CT figures: lung masks, registration, reconstruction, trajectories. All volumes are (D, H, W) HU on LPS axes."""

from dataclasses import dataclass

import numpy as np

from lung4d.figures.mosaic import mosaic
from lung4d.figures.slices import (
    LUNG_WINDOW,
    SMOOTHING,
    Plane,
    Tile,
    change,
    crop_to,
    cut,
    grey,
    lung_index,
    overlay,
    plane_spacing,
    smooth_in,
)

Spacing = tuple[float, float, float]
BASAL = 0.3  # of the lung's height: fibrosis starts near the bases
MIDDLE = 0.55  # of the lung's depth: the coronal slice that shows both lungs and the diaphragm


@dataclass(frozen=True)
class Moment:
    """A volume at one time: `years` since baseline, `hu` (D, H, W), and whether a real scan was given to the model."""

    years: float
    hu: np.ndarray
    given: bool = False


def mask_mosaic(scans: list[tuple[str, np.ndarray, np.ndarray, Spacing]]) -> bytes:
    """One row a scan (name, hu, mask, (z, y, x) mm): axial at three heights and one coronal slice, lungs outlined."""
    views: list[tuple[Plane, float]] = [("axial", 0.75), ("axial", 0.5), ("axial", 0.25), ("coronal", MIDDLE)]
    rows = []
    for _, hu, mask, spacing in scans:
        row = []
        for plane, position in views:
            index = lung_index(mask, plane, position)
            outline = cut(mask, plane, index)
            row.append(Tile(grey(cut(hu, plane, index)), plane_spacing(spacing, plane), outline=outline))
        rows.append(row)
    columns = ["axial, upper", "axial, middle", "axial, lower", "coronal"]
    return mosaic(rows, columns=columns, names=[name for name, *_ in scans], width=222)


def registration_figure(baseline, before, after, mask, spacing: Spacing) -> bytes:
    """Baseline (blue) under follow-up (yellow), before and after registration, axial and coronal side by side.

    All on the baseline's grid: `baseline`, `before`, `after` HU (D, H, W), `mask` the baseline's lungs.
    """
    tiles = []
    for plane, position in (("axial", BASAL), ("coronal", MIDDLE)):
        index = lung_index(mask, plane, position)
        fixed = cut(baseline, plane, index)
        for moving in (before, after):
            tiles.append(Tile(overlay(fixed, cut(moving, plane, index)), plane_spacing(spacing, plane)))
    return mosaic([tiles], columns=["axial, before", "axial, after", "coronal, before", "coronal, after"], width=246)


def flicker_pair(baseline, registered, mask, spacing: Spacing) -> tuple[bytes, bytes]:
    """Two pictures of the same places, to be looked at in turn: the baseline, the registered follow-up."""
    pictures = []
    for hu in (baseline, registered):
        tiles = []
        for plane, position in (("axial", BASAL), ("coronal", MIDDLE)):
            index = lung_index(mask, plane, position)
            tiles.append(Tile(grey(cut(hu, plane, index)), plane_spacing(spacing, plane)))
        pictures.append(mosaic([tiles], width=360))
    return pictures[0], pictures[1]


def reconstruction_figure(scans: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, Spacing]]) -> bytes:
    """One row a scan (name, input HU, reconstruction HU, mask, spacing): input, reconstruction, difference, twice."""
    rows = []
    for _, real, again, mask, spacing in scans:
        row = []
        for plane, position in (("axial", BASAL), ("coronal", MIDDLE)):
            index = lung_index(mask, plane, position)
            seen, drawn, region = (cut(volume, plane, index) for volume in (real, again, mask))
            difference = drawn.astype(np.float32) - seen
            for pixels in (grey(seen), grey(drawn), change(seen, difference, region)):
                row.append(Tile(pixels, plane_spacing(spacing, plane)))
        rows.append(row)
    columns = ["input", "reconstruction", "difference"] * 2
    return mosaic(rows, columns=columns, names=[name for name, *_ in scans], width=146, key=True)


def trajectory_strip(
    real: list[Moment], generated: list[Moment], mask: np.ndarray, spacing: Spacing, plane: Plane, most: int = 6
) -> bytes:
    """Real visits above generated scans at the same years, then the change of each against the baseline.

    Columns are years, at most `most`; a generated scan stands in the column of the nearest year. `real` must hold the
    baseline first. The change is drawn inside `mask` only, the region that the model may change, as a mean over 3 mm.
    """
    years = strip_years([m.years for m in real], [m.years for m in generated], most)
    index = lung_index(mask, plane, BASAL if plane == "axial" else MIDDLE)
    region = cut(mask, plane, index)
    window = crop_to(region, margin=6)
    first = cut(real[0].hu, plane, index)[window]
    region = region[window]
    mm = plane_spacing(spacing, plane)
    rows: list[list[Tile | None]] = [[], [], [], []]
    for year in years:
        visit = nearest(real, year, within=0.02)
        drawn = nearest(generated, year, within=0.3)
        for row, moment in zip((0, 1), (visit, drawn), strict=True):
            if moment is None:
                rows[row].append(None)
                rows[row + 2].append(None)
                continue
            pixels = cut(moment.hu, plane, index)[window]
            rows[row].append(Tile(grey(pixels, LUNG_WINDOW), mm, label=_label(moment, row == 0, year)))
            difference = smooth_in(pixels.astype(np.float32) - first, region, mm, SMOOTHING)
            rows[row + 2].append(Tile(change(first, difference, region), mm))
    names = ["real", "generated", "real\nchange", "generated\nchange"]
    return mosaic(
        rows, columns=[f"{year:.1f} years" for year in years], names=names, width=146, key=True, blank="no scan"
    )


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


def _label(moment: Moment, is_real: bool, year: float) -> str:
    if is_real:
        return "given" if moment.given else "not given"
    return "" if abs(moment.years - year) < 0.05 else f"at {moment.years:.1f} years"
