"""Tiles in rows and columns on black, with titles, outlines and a key to the colours."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from lung4d.figures.slices import CHANGE_RANGE, DENSER, LIGHTER, Tile
from lung4d.figures.style import to_png

DPI = 100
DENSITY = 1.25  # pixels of the picture per CSS pixel: a little sharper than a plain screen, for its size
GAP = 4  # CSS pixels between tiles
LEFT = 92  # for the names of rows
KEY = 34  # for the key
LINE = 13  # for a label below a tile, and for a line of the caption
LETTER = 6.7  # width of a letter of the caption, on average
INK, DIM, OUTLINE = "#f2f4f4", "#a9b3b7", "#ffd84d"


@dataclass(frozen=True)
class Canvas:
    """A black figure addressed in CSS pixels from its upper left corner."""

    figure: Figure
    width: int
    height: int

    def axes(self, x: float, y: float, width: float, height: float):
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def text(self, x: float, y: float, text: str, **style) -> None:
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            text,
            **{"color": INK, "va": "center", "size": 8.5} | style,  # type: ignore[arg-type]  # by name
        )


def mosaic(
    rows: Sequence[Sequence[Tile | None]],
    columns: list[str] | None = None,
    names: list[str] | None = None,
    width: int = 150,
    key: bool = False,
    blank: str = "",
    caption: str = "",
) -> bytes:
    """Lay tiles out on black and return PNG bytes.

    `rows` holds tiles or None for an empty place; `columns` are the titles above, `names` those left of the rows (a
    line break is kept); a tile is `width` CSS pixels wide and as high as its mm say; `key` adds the scale of changes;
    `blank` is written where a tile is missing; `caption` stands at the foot, in as many lines as it takes.
    """
    heights = [max((tile_height(tile, width) for tile in row if tile is not None), default=width) for row in rows]
    left, top = (LEFT if names else 0), (22 if columns else 0)
    count = max(len(row) for row in rows)
    total_width = left + count * (width + GAP) - GAP
    lines = textwrap.wrap(caption, round((total_width - 12) / LETTER))
    foot = LINE * len(lines) + 2 * GAP if lines else 0
    canvas = _canvas(total_width, top + sum(heights) + GAP * (len(rows) - 1) + KEY * key + foot)
    for place, title in enumerate(columns or []):
        canvas.text(left + place * (width + GAP) + width / 2, top / 2, title, ha="center")
    y = top
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        if names:
            canvas.text(6, y + height / 2, names[number])
        for place, tile in enumerate(row):
            x = left + place * (width + GAP)
            if tile is not None:
                own = tile_height(tile, width)
                _draw(canvas.axes(x, y + (height - own) / 2, width, own), tile)
            elif blank:
                canvas.text(x + width / 2, y + height / 2, blank, color=DIM, ha="center", size=8)
        y += height + GAP
    if key:
        _draw_key(canvas, max(left, 6), y - GAP + KEY / 2)
    for number, line in enumerate(lines):
        canvas.text(6, canvas.height - foot + LINE * (number + 0.5), line, color=DIM, size=8)
    return to_png(canvas.figure, round(DPI * DENSITY))


def sheet(tiles: list[Tile], columns: int, width: int) -> bytes:
    """Many small square tiles in reading order with their labels below, as PNG bytes; `width` in CSS pixels each."""
    step, line = width + GAP, width + LINE + GAP
    rows = -(-len(tiles) // columns)
    canvas = _canvas(min(columns, len(tiles)) * step - GAP, rows * line - GAP)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        x, y = column * step, row * line
        _draw(canvas.axes(x, y, width, width), replace(tile, label=""))
        canvas.text(x + width / 2, y + width + LINE / 2, tile.label, color=DIM, ha="center", size=7)
    return to_png(canvas.figure, round(DPI * DENSITY))


def css_width(png: bytes) -> int:
    """CSS pixels that a mosaic is wide at full size."""
    return round(Image.open(io.BytesIO(png)).width / DENSITY)


def tile_height(tile: Tile, width: int) -> int:
    """CSS pixels that the tile is high when it is `width` wide, at its true proportions."""
    rows, columns = tile.pixels.shape[:2]
    return max(1, round(width * rows * tile.spacing[0] / (columns * tile.spacing[1])))


def _canvas(width: int, height: int) -> Canvas:
    return Canvas(Figure(figsize=(width / DPI, height / DPI), facecolor="black", dpi=DPI), width, height)


def _draw(axes, tile: Tile) -> None:
    axes.imshow(np.clip(tile.pixels, 0, 1), aspect="auto", interpolation="bilinear")
    if tile.outline is not None and tile.outline.any() and not tile.outline.all():
        axes.contour(tile.outline.astype(float), levels=[0.5], colors=OUTLINE, linewidths=0.9)
    if tile.label:
        frame = {"facecolor": "black", "alpha": 0.65, "edgecolor": "none", "pad": 1.5}
        where = {"transform": axes.transAxes, "ha": "left", "va": "bottom"}
        axes.text(0.02, 0.02, tile.label, color=INK, size=7.5, bbox=frame, **where)


def _draw_key(canvas: Canvas, x: float, y: float) -> None:
    """The colour scale of changes, its middle at the height `y`."""
    ramp = np.linspace(-1, 1, 101)
    colours = np.where((ramp > 0)[:, None], DENSER, LIGHTER) * np.abs(ramp)[:, None]
    wide, number = min(150, canvas.width // 3), 36
    canvas.text(x, y, f"−{CHANGE_RANGE:.0f}", color=DIM, size=8)
    canvas.axes(x + number, y - 4, wide, 8).imshow(colours[None], aspect="auto")
    text = f"+{CHANGE_RANGE:.0f} HU, blue less dense, orange denser"
    canvas.text(x + number + wide + 6, y, text, color=DIM, size=8)
