"""Read-outs of the lung over the years: a row a measure, a column a patient."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lung4d.figures.style import Chart, Palette, both_schemes, style_axes

MEASURES = {
    "mean_density_hu": "mean density, HU",
    "high_attenuation_percent": "high attenuation, %",
    "skewness": "skewness",
    "kurtosis": "excess kurtosis",
    "lung_volume_ml": "lung volume, ml",
}


def readout_curves(table: pd.DataFrame, given: dict[str, list[str]]) -> Chart:
    """Real scans as circles, full where `given` (sessions by subject) names them, and a line of the scans generated
    from those, with the bands that the table has. A cross is a real scan's density corrected for its breath.

    table: columns subject, kind, session, given, years and the measures, `<measure>_low`, `_high`, `_corrected`. A
    generated scan has its baseline's lung: of the lung volume the line is `lung_volume_ml_forecast`, where the table
    has it.
    """

    def draw(palette: Palette) -> Figure:
        wide, high = 0.75 + 2.1 * len(given), 0.6 + 1.25 * len(MEASURES)
        figure = Figure(figsize=(wide, high), layout="constrained")
        figure.patch.set_alpha(0)
        grid = figure.subplots(len(MEASURES), len(given), sharex="col", sharey="row", squeeze=False)
        for column, (subject, sessions) in enumerate(given.items()):
            rows = table[table["subject"] == subject]
            for axes, measure in zip(grid[:, column], MEASURES, strict=True):
                style_axes(axes, palette)
                axes.margins(x=0.06, y=0.15)
                _curve(axes, rows, measure, sessions, palette)
            grid[0, column].set_title(f"patient {subject}", fontsize=10, loc="left", color=palette.ink)
        for axes, name in zip(grid[:, 0], MEASURES.values(), strict=True):
            axes.set_ylabel(name, fontsize=8)
        figure.align_ylabels()
        figure.supxlabel("years since the baseline", fontsize=9, color=palette.muted)
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside upper left", ncols=3, frameon=False, fontsize=9, labelcolor=palette.ink
        )
        return figure

    return both_schemes(draw)


def _curve(axes: Axes, rows: pd.DataFrame, measure: str, given: list[str], palette: Palette) -> None:
    """One patient's measure: the generated line, and the real scans on it."""
    drawn = rows[(rows["kind"] == "generated") & (rows["given"] == "+".join(given))].sort_values("years")
    line = f"{measure}_forecast" if measure == "lung_volume_ml" else measure
    if line in drawn and drawn[line].notna().any():
        axes.plot(drawn["years"], drawn[line], color=palette.second, linewidth=1.6, label="generated")
        if f"{measure}_low" in drawn:
            ends = drawn[f"{measure}_low"], drawn[f"{measure}_high"]
            axes.fill_between(drawn["years"], *ends, color=palette.second, alpha=0.2, linewidth=0, label="90 % band")
    real = rows[rows["kind"] == "real"]
    shown = real["session"].isin(given)
    for part, face, name in ((real[shown], palette.accent, "real, given"), (real[~shown], "none", "real, not given")):
        axes.plot(
            part["years"], part[measure], "o", color=palette.accent, markerfacecolor=face, markersize=6, label=name
        )
    if f"{measure}_corrected" in real:
        values = real[f"{measure}_corrected"]
        axes.plot(real["years"], values, "x", color=palette.muted, markersize=5, label="real, corrected for breath")
