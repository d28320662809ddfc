"""CT figures: lung masks, registration, reconstruction. All volumes are (D, H, W) HU on LPS axes."""

import numpy as np

from lung4d.figures.mosaic import mosaic
from lung4d.figures.slices import Plane, Tile, change, cut, grey, lung_index, overlay, plane_spacing

Spacing = tuple[float, float, float]
BASAL = 0.3  # of the lung's height: fibrosis starts near the bases
MIDDLE = 0.55  # of the lung's depth: the coronal slice that shows both lungs and the diaphragm
BOTH: tuple[tuple[Plane, float], ...] = (("axial", BASAL), ("coronal", MIDDLE))


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
    for plane, position in BOTH:
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
        for plane, position in BOTH:
            index = lung_index(mask, plane, position)
            tiles.append(Tile(grey(cut(hu, plane, index)), plane_spacing(spacing, plane)))
        pictures.append(mosaic([tiles], width=360))
    return pictures[0], pictures[1]


def reconstruction_figure(scans: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, Spacing]]) -> bytes:
    """One row a scan (name, input HU, reconstruction HU, mask, spacing): input, reconstruction, difference, twice."""
    rows = []
    for _, real, again, mask, spacing in scans:
        row = []
        for plane, position in BOTH:
            index = lung_index(mask, plane, position)
            seen, drawn, region = (cut(volume, plane, index) for volume in (real, again, mask))
            difference = drawn.astype(np.float32) - seen
            for pixels in (grey(seen), grey(drawn), change(seen, difference, region)):
                row.append(Tile(pixels, plane_spacing(spacing, plane)))
        rows.append(row)
    columns = ["input", "reconstruction", "difference"] * 2
    return mosaic(rows, columns=columns, names=[name for name, *_ in scans], width=146, key=True)
