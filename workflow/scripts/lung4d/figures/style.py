"""Colours, type and PNG encoding that all figures share."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

GREYS = 80  # of the 256 colours of a picture
FAINT = 12  # of 255: a smaller difference between red, green and blue counts as grey
CHART_DPI = 192  # charts are drawn in inches of 96 CSS pixels, at twice a plain screen's resolution


@dataclass(frozen=True)
class Palette:
    """Colours of a chart in one colour scheme; `accent` is ours, `second` its counterpart, `quiet` everything else."""

    ink: str
    muted: str
    grid: str
    accent: str
    second: str
    quiet: str


# The pairs of accent and second keep apart in the common colour vision deficiencies, and in grey.
LIGHT = Palette(ink="#1c2326", muted="#5b666b", grid="#dfe3e4", accent="#0a6c74", second="#c2571a", quiet="#8d989d")
DARK = Palette(ink="#e6eaeb", muted="#a0abb0", grid="#333b40", accent="#58c3c8", second="#f0955a", quiet="#7d888d")


@dataclass(frozen=True)
class Chart:
    """One chart as PNG bytes for a light and for a dark page, and its width on the page in CSS pixels."""

    light: bytes
    dark: bytes
    width: int


def both_schemes(draw: Callable[[Palette], Figure]) -> Chart:
    """Draw a chart once for each colour scheme."""
    figure = draw(LIGHT)
    width = round(figure.get_figwidth() * 96)
    return Chart(light=to_png(figure), dark=to_png(draw(DARK)), width=width)


def chart_axes(palette: Palette, width: float = 4.4, height: float = 2.9):
    """A figure of `width` x `height` inches with one plain axes: no box, a faint grid; (figure, axes)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    figure.patch.set_alpha(0)
    style_axes(axes, palette)
    return figure, axes


def style_axes(axes: Axes, palette: Palette) -> None:
    """No box, a faint grid, quiet ticks."""
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(palette.grid)
    axes.tick_params(colors=palette.muted, labelcolor=palette.ink, labelsize=9, length=3)
    axes.grid(color=palette.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(palette.muted)
    axes.yaxis.label.set_color(palette.muted)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)


def to_png(figure: Figure, dpi: int = CHART_DPI) -> bytes:
    """Encode a figure with at most 256 colours, which is enough for CT and charts and a third of the size."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    if (pixels[..., 3] == 255).all():
        image = _with_palette(pixels[..., :3])
    else:
        image = Image.fromarray(pixels.copy()).quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _with_palette(pixels: np.ndarray) -> Image.Image:
    """RGB pixels (h, w, 3) with 80 even greys and 176 colours of their own: greys stay neutral, rare colours stay."""
    coloured = np.ptp(pixels, axis=2) > FAINT
    index = np.rint(pixels.mean(axis=2) * ((GREYS - 1) / 255)).astype(np.uint8)
    palette = np.repeat(np.linspace(0, 255, GREYS).round().astype(np.uint8), 3).tolist()
    if coloured.any():
        strip = Image.fromarray(np.ascontiguousarray(pixels[coloured][None]))
        reduced: Any = strip.quantize(256 - GREYS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        index[coloured] = GREYS + np.asarray(reduced)[0]
        palette += reduced.getpalette()
    image = Image.fromarray(index, mode="P")
    image.putpalette(palette[: 3 * 256])
    return image
