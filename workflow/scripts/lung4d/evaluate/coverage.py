"""Whether the bands around forecasts hold what they promise: how often a withheld visit lies in them, and their width.

Every visit but the first is forecast from all visits before it. Beside the model's band stands that around the last
scan carried forward, whose width is what the forecast must beat.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lung4d.metrics import paired_bootstrap
from lung4d.ode.calibration import MEASURES, Calibration, measures
from lung4d.ode.ensemble import Ensemble
from lung4d.ode.observed import ObservedVisits

ROWS = ["set", "subject", "years", "gap", "measure", "inside", "width", "carried_inside", "carried_width"]
COLUMNS = ["set", "measure", "patients", "visits"] + [
    f"{whose}{what}" for whose in ("", "carried_") for what in ("coverage", "coverage_low", "coverage_high", "width")
]


def coverage_rows(
    keys: tuple[str, str], given: ObservedVisits, ode: Ensemble, calibration: Calibration, window: tuple[float, float]
) -> list[tuple]:
    """One row per visit after the first and measure of one patient; none without calibrated bands.

    keys: set and subject; given: all visits of the patient. Widths in the measure's unit.
    """
    rows: list[tuple]
    rows, given = [], given.merged()
    if not calibration.bands or not ode.settings.maps:
        return rows
    observed = measures(given.scans, given.region, window)
    for visit in range(1, len(given)):
        drawn = ode.forecast(given.take(range(visit)), given.years[visit : visit + 1]).drawn.cpu()
        (forecast,), gap = measures(drawn, given.region, window), given.years[visit] - given.years[visit - 1]
        for number, measure in enumerate(MEASURES):
            if measure in calibration.bands and measure in calibration.carried:
                seen, before = observed[visit][number], observed[visit - 1][number]
                ends = (
                    calibration.band(measure, visit).around(forecast[number], gap, before),
                    calibration.carried[measure].around(before, gap, before),
                )
                told = [value for low, high in ends for value in (float(low <= seen <= high), float(high - low))]
                rows.append((*keys, given.years[visit], gap, measure, *told))
    return rows


def coverage_table(rows: Iterable[tuple], bootstrap: int, seed: int) -> pd.DataFrame:
    """coverage.tsv: shares of visits inside the bands and their mean widths, by set and measure.

    Intervals of the coverage come from drawing patients, whose visits are not independent.
    """
    table = pd.DataFrame(list(rows), columns=ROWS)
    found = []
    for (name, measure), part in table.groupby(["set", "measure"], sort=True):
        row = {"set": name, "measure": measure, "patients": part["subject"].nunique(), "visits": len(part)}
        for whose in ("", "carried_"):
            by_patient = part.groupby("subject")[f"{whose}inside"].mean().to_numpy()
            interval = paired_bootstrap(by_patient, bootstrap, seed)
            row[f"{whose}coverage"] = part[f"{whose}inside"].mean()
            row[f"{whose}coverage_low"], row[f"{whose}coverage_high"] = np.clip(interval[1:], 0, 1)
            row[f"{whose}width"] = part[f"{whose}width"].mean()
        found.append(row)
    return pd.DataFrame(found, columns=COLUMNS)
