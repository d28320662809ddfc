"""Charts: training curves, forecasts with intervals, Kaplan-Meier. Each returns a `Chart` in both colour schemes."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullFormatter

from lung4d.figures.style import Chart, Palette, both_schemes, chart_axes

SMOOTH = 50  # points that a long curve is averaged to, so that its course can be seen


def smooth(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of consecutive rows where there are many more than `SMOOTH`; the last group may be shorter."""
    size = len(rows) // SMOOTH
    return rows if size < 2 else rows.groupby([i // size for i in range(len(rows))]).mean()


def training_curve(series: dict[str, tuple[np.ndarray, np.ndarray]], title: str, step: str, log: bool = True) -> Chart:
    """Curves of one quantity over training: name -> (steps, values); values that are not finite are left out.

    `log` asks for a logarithmic axis, given up where a value is not above zero or all lie within a factor of ten.
    """

    def draw(palette: Palette):
        figure, axes = chart_axes(palette, width=3.1, height=2.2)
        colours = [palette.accent, palette.second, palette.quiet, palette.ink]
        lowest, highest = np.inf, -np.inf
        for colour, (name, (steps, values)) in zip(colours * 3, series.items(), strict=False):
            keep = np.isfinite(values)
            mark = "o" if keep.sum() <= 30 else None
            axes.plot(steps[keep], values[keep], color=colour, linewidth=1.4, label=name, marker=mark, markersize=3)
            lowest = min(lowest, values[keep].min(initial=np.inf))
            highest = max(highest, values[keep].max(initial=-np.inf))
        if log and lowest > 0 and highest > 10 * lowest:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.grid(which="minor", color=palette.grid, linewidth=0.3)
        axes.set_title(title, fontsize=10, loc="left", color=palette.ink)
        axes.set_xlabel(step)
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=8.5, labelcolor=palette.ink)
        return figure

    return both_schemes(draw)


@dataclass(frozen=True)
class Bar:
    """One line of a forecast chart: a mean with its interval, and whether it is the model's own."""

    name: str
    mean: float
    low: float
    high: float
    ours: bool = False


def interval_bars(bars: list[Bar], label: str, zero: str = "") -> Chart:
    """A dot and its interval per line, first bar on top; `zero` names a reference line at 0 and draws it."""

    def draw(palette: Palette):
        figure, axes = chart_axes(palette, width=5.4, height=0.85 + 0.29 * len(bars))
        for place, bar in enumerate(bars):
            colour = palette.accent if bar.ours else palette.quiet
            axes.plot(
                [bar.low, bar.high], [place, place], color=colour, linewidth=3.2, alpha=0.55, solid_capstyle="round"
            )
            axes.plot([bar.mean], [place], "o", color=colour, markersize=6)
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        for tick, bar in zip(axes.get_yticklabels(), bars, strict=True):
            tick.set_fontweight("bold" if bar.ours else "normal")
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        figure.supxlabel(label, fontsize=9, color=palette.muted)  # of the whole width, the axes are narrow
        if zero:
            axes.axvline(0, color=palette.ink, linewidth=0.9)
            axes.annotate(
                zero, (0, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
                ha="center", fontsize=8.5, color=palette.muted,
            )  # fmt: skip
        return figure

    return both_schemes(draw)


def kaplan_meier_chart(curves: pd.DataFrame, risk_times: list[float], title: str = "") -> Chart:
    """Survival by group, with numbers at risk below.

    `curves` has the columns group, time (years), survival (0 to 1), at_risk, and may have low and high; one row a step,
    in order of time within a group; the first group is drawn in the accent colour.
    """

    def draw(palette: Palette):
        figure, axes = chart_axes(palette, width=4.7, height=3.3 + 0.2 * curves["group"].nunique())
        colours = [palette.accent, palette.second, palette.quiet]
        lines = []
        for colour, (group, steps) in zip(colours, curves.groupby("group", sort=False), strict=False):
            time = np.concatenate([[0.0], steps["time"]])
            alive = np.concatenate([[1.0], steps["survival"]])
            axes.step(time, alive, where="post", color=colour, linewidth=1.8, label=str(group))
            if {"low", "high"} <= set(steps.columns):
                low, high = np.concatenate([[1.0], steps["low"]]), np.concatenate([[1.0], steps["high"]])
                axes.fill_between(time, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
            lines.append((str(group), colour, [number_at_risk(steps, when) for when in risk_times]))
        axes.set_ylim(0, 1.03)
        axes.set_xlim(0, max(curves["time"].max(), max(risk_times)) * 1.02)
        axes.set_xticks(risk_times)
        axes.set_ylabel("share alive")
        axes.legend(frameon=False, fontsize=9, loc="lower left", labelcolor=palette.ink)
        axes.set_title(title, fontsize=10, loc="left", color=palette.ink)
        _risk_table(axes, lines, risk_times, palette)
        return figure

    return both_schemes(draw)


def risk_times(last: float) -> list[float]:
    """About five round times from 0 to `last` (years) at which numbers at risk are printed."""
    step = next((s for s in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0) if last / s <= 6), 20.0)
    return [step * i for i in range(math.floor(last / step + 1e-9) + 1)]


def number_at_risk(steps: pd.DataFrame, when: float) -> int:
    """Patients under observation just before `when`, from a curve's steps (time, at_risk, sorted by time)."""
    later = steps.loc[steps["time"] >= when, "at_risk"]
    return int(later.iloc[0]) if len(later) else 0


def _risk_table(axes, lines, risk_times, palette: Palette) -> None:
    """Numbers at risk as lines of text under the time axis, in the groups' colours."""
    place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 8.5, "ha": "center"}
    head = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 8.5}
    axes.set_xlabel("years since the last scan used", labelpad=4)
    axes.annotate("at risk", (0, 0), xytext=(0, -46), ha="left", color=palette.muted, **head)
    for row, (_, colour, counts) in enumerate(lines):
        for when, count in zip(risk_times, counts, strict=True):
            axes.annotate(
                str(count), (when, 0), xytext=(0, -60 - 14 * row), color=colour, annotation_clip=False, **place
            )
