"""Training curves of both models from their histories."""

import pandas as pd

from lung4d.figures.charts import smooth, training_curve
from lung4d.figures.style import Chart
from lung4d.report.page import Charts, Reportlet, Words

HELD_OUT = "held_out_"
# column of a history -> (title of its chart, logarithmic axis); others are not shown
CURVES = {
    "loss": ("Loss, all terms", True),
    "reconstruction": ("Reconstruction error", True),
    "perceptual": ("Perceptual error", True),
    "difference": ("Error of the change", True),
    "lung_mse": ("Squared error in the lung", True),
    "error_over_locf": ("Held-out error, last scan = 1", False),
    "codes_used": ("Codes in use", False),
    "perplexity": ("Perplexity of the codes", False),
}


def training_reportlet(history: pd.DataFrame | None, title: str) -> Reportlet:
    """Charts of the known columns; held-out values join the training values of the same name."""
    charts = _charts(history) if history is not None and len(history) and "step" in history else []
    if history is None or not charts:
        return Reportlet(title, "", (Words(("There is no record of this training.",)),))
    steps = int(max(history["step"]))
    caption = (
        f"{steps} optimiser steps. Curves should have flattened by the end; a held-out curve that rises while the "
        "training "
        "curve falls means that patients are being learnt by heart."
    )
    return Reportlet(title, caption, (Charts(tuple(charts)),))


def _charts(history: pd.DataFrame) -> list[tuple[Chart, str]]:
    charts = []
    for column, (title, log) in CURVES.items():
        series = {}
        for name, label in ((column, "training"), (HELD_OUT + column, "held out")):
            if name in history and history[name].notna().any():
                rows = smooth(history[["step", name]].dropna().astype(float))
                series[label] = (rows["step"].to_numpy(), rows[name].to_numpy())
        if series:
            charts.append((training_curve(series, title, "optimiser step", log), f"{title} over the training"))
    return charts
