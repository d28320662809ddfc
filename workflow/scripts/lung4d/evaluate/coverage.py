"""Whether the bands around forecasts hold what they promise: how often a withheld visit lies in them, and their width.

Every visit but the first is forecast from all visits before it. Beside the model's band stands that around the last
scan carried forward, whose width is what the forecast must beat, and what two scans differ by though nothing has
changed. A band may hold nine visits in ten of everybody and yet fail the fast, or the far: so groups have rows too.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from lung4d.biomarkers.repeats import below_floor, floor_of
from lung4d.evaluate.records import HELD, TOO_FEW_PATIENTS, TOO_NARROW, TOO_WIDE
from lung4d.evaluate.summary import pace_of
from lung4d.metrics import Interval, ratio_bootstrap, share_interval
from lung4d.ode.calibration import COVERAGE, MEASURES, Calibration, measures
from lung4d.ode.ensemble import Ensemble
from lung4d.ode.observed import ObservedVisits

ENOUGH = 10  # patients; of fewer, nine in ten cannot be told from eight or all
WHOSE = ["set", "subject", "course", "extent_per_year"]
ROWS = [
    *[*WHOSE, "taken", "years", "gap", "measure"],
    *["inside", "width", "carried_inside", "carried_width", "change"],
]
HORIZONS = ("short", "middle", "long")  # thirds of a set's visits by the years since the scan at hand
COLUMNS = [
    *["set", "group", "value", "measure", "patients", "visits", "gap_low", "gap_high", "held"],
    *[
        f"{whose}{what}"
        for whose in ("", "carried_")
        for what in ("coverage", "coverage_low", "coverage_high", "width")
    ],
    *["change", "floor", "below_floor"],
]


def coverage_rows(
    keys: tuple[str, str, str, float],
    taken: Mapping[float, str],
    given: ObservedVisits,
    ode: Ensemble,
    calibration: Calibration,
    window: tuple[float, float],
) -> list[tuple]:
    """One row per visit after the first and measure of one patient; none without calibrated bands.

    keys: WHOSE of the patient; taken: by the visits' years in what they were taken otherwise than the baseline, as
    `register.acquisition.joined` writes it; given: all visits of the patient. Widths and the change that is forecast
    are in the measure's unit.
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
                year = given.years[visit]
                rows.append((*keys, taken.get(year, ""), year, gap, measure, *told, forecast[number] - before))
    return rows


def coverage_table(rows: Iterable[tuple], bootstrap: int, seed: int) -> pd.DataFrame:
    """coverage.tsv: shares of visits inside the bands and their mean widths, by set, group of visits and measure.

    `group` and `value`: "all"; the `horizon`, thirds of a set's visits by the years since the scan at hand (gap_low to
    gap_high); the `pace`, thirds of its patients by the yearly change of extent; the `course` of a simulated cohort
    that has several; and how the visit was `taken`, "as the baseline" or otherwise in what. Intervals of the coverage
    come from drawing patients, whose visits are not independent; where all have the same share, Wilson's of as many
    patients. `held` is the verdict on the band. `change` is the mean size of the change that is forecast, `below_floor`
    which of it and the band lie below `floor`, what two scans differ by though nothing has changed.
    """
    table = pd.DataFrame(list(rows), columns=ROWS)
    found = []
    for (name, measure), part in table.groupby(["set", "measure"], sort=True):
        for group, value, own in _groups(part):
            found.append({"set": name, "group": group, "value": value, **_row(str(measure), own, bootstrap, seed)})
    return pd.DataFrame(found, columns=COLUMNS)


def _groups(part: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Group, its value, and the rows of one set and measure that are in it."""
    yield "all", "all", part
    if len(part) >= len(HORIZONS):
        order = part["gap"].sort_values(kind="stable").index
        for value, third in zip(HORIZONS, np.array_split(order, len(HORIZONS)), strict=True):
            yield "horizon", value, part.loc[third]
    for group, of_rows in (
        ("pace", part["subject"].map(pace_of(part))),
        ("course", part["course"].where(part["course"] != "")),
    ):
        for value in dict.fromkeys(of_rows.dropna().sort_values()):
            yield group, str(value), part[of_rows == value]
    kinds = part["taken"].str.split("; ")
    for value in dict.fromkeys(kind for cell in kinds for kind in cell):
        yield "taken", value or "as the baseline", part[[value in cell for cell in kinds]]


def _row(measure: str, part: pd.DataFrame, bootstrap: int, seed: int) -> dict[str, object]:
    row: dict[str, object] = {"measure": measure, "patients": part["subject"].nunique(), "visits": len(part)}
    row |= {"gap_low": part["gap"].min(), "gap_high": part["gap"].max()}
    for whose in ("", "carried_"):
        interval = _coverage(part, f"{whose}inside", bootstrap, seed)
        row[f"{whose}coverage"] = interval.mean
        row[f"{whose}coverage_low"], row[f"{whose}coverage_high"] = interval.low, interval.high
        row[f"{whose}width"] = part[f"{whose}width"].mean()
    change, width = part["change"].abs().mean(), part["width"].mean()
    row |= {"held": _verdict(_coverage(part, "inside", bootstrap, seed), part["subject"].nunique())}
    return row | {"change": change, "floor": floor_of(measure), "below_floor": below_floor(measure, change, width)}


def _coverage(part: pd.DataFrame, inside: str, bootstrap: int, seed: int) -> Interval:
    """Share of visits inside, and its interval."""
    by_patient = part.groupby("subject")[inside].agg(["sum", "count"])
    if (by_patient["sum"] / by_patient["count"]).nunique() == 1:
        share = float(by_patient["sum"].sum() / by_patient["count"].sum())
        return share_interval(share, len(by_patient))
    drawn = ratio_bootstrap(by_patient["sum"].to_numpy(), by_patient["count"].to_numpy(), bootstrap, seed)
    return Interval(drawn.mean, max(drawn.low, 0.0), min(drawn.high, 1.0))


def _verdict(coverage: Interval, patients: int) -> str:
    """Whether the band holds as many visits as it promises, as far as so many patients can tell."""
    if patients < ENOUGH:
        return TOO_FEW_PATIENTS
    if coverage.high < COVERAGE:
        return TOO_NARROW
    return TOO_WIDE if coverage.low > COVERAGE else HELD
