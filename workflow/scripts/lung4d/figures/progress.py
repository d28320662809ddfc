"""The course of a training as a picture, redrawn while it goes on."""

from pathlib import Path

import pandas as pd

from lung4d.io.atomic import atomic

HELD_OUT = "held_out_"  # prefix of a column that is drawn into the panel of the column without it


def plot_progress(frame: pd.DataFrame, path: str | Path, x: str = "step") -> None:
    """Draw every column of a history against `x`, one small panel each; `held_out_` columns join their twin."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = [name for name in frame.columns if name != x and frame[name].notna().any()]
    panels = list(dict.fromkeys(name.removeprefix(HELD_OUT) for name in columns))
    across = min(4, max(1, len(panels)))
    down = max(1, -(-len(panels) // across))
    figure, axes = pyplot.subplots(down, across, figsize=(3.4 * across, 2.3 * down), squeeze=False)
    figure.subplots_adjust(0.06, 0.2 / down, 0.98, 1 - 0.12 / down, 0.25, 0.45)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        for name in (panel, HELD_OUT + panel):
            if name in columns:
                _draw(axis, frame[[x, name]].dropna(), name)
        axis.set_title(panel.replace("_", " "), fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlabel(x, fontsize=7)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
    pyplot.close(figure)


def _draw(axis, values: pd.DataFrame, name: str) -> None:
    """A thin line of all values and a thick one of their running mean, or dots where there are few."""
    x, y = values.iloc[:, 0], values.iloc[:, 1]
    if name.startswith(HELD_OUT) or len(y) < 20:
        label, colour = ("held out", "tab:orange") if name.startswith(HELD_OUT) else ("training", "tab:blue")
        axis.plot(x, y, "o-", markersize=3, color=colour, label=label)
    else:
        axis.plot(x, y, linewidth=0.5, alpha=0.4, color="tab:blue")
        axis.plot(x, y.rolling(max(2, len(y) // 50), min_periods=1).mean(), color="tab:blue", label="training")
    axis.legend(fontsize=6, loc="upper right")  # "best" searches, which takes a second
