"""Who is studied, from when, and for how long: every clock starts at the last scan that a risk is computed from.

A patient whose third scan is used was alive when it was taken. Counting that time as survival would be immortal time
(Suissa 2008), so the clock starts at the third scan (landmarking, Anderson 1983), and a patient who died or was
censored before it is out. Real, generated and carried-forward scans share patients and clock.
"""

from dataclasses import dataclass

import pandas as pd

from lung4d.biomarkers.table import OTHERWISE
from lung4d.register.acquisition import count_kinds
from lung4d.visits.scans import in_time_order

YEARS_TOLERANCE = 0.002  # names and tables of generated volumes hold three decimals
SETS = {"train": "development", "val": "development", "test": "test", "external": "external"}


@dataclass(frozen=True)
class LandmarkSample:
    """Patients of one analysis, their clock and what is known of each when it starts.

    `clock`: index subject; set (development, test, external), start (years since baseline), time (years from start),
    event (bool). `features`: per kind of scan (real, generated, carried_forward) a table with index subject and the
    columns code_*, mean_density_hu, high_attenuation_percent. `excluded`: number of patients left out, by reason.
    """

    name: str
    clock: pd.DataFrame
    features: dict[str, pd.DataFrame]
    excluded: dict[str, int]


def outcome_table(participants: list[dict]) -> pd.DataFrame:
    """Participants as a table with index subject; only those with a follow-up time (years, from 0) and event (0/1).

    Empty, with the columns followup_years and event, where nobody has both.
    """
    table = pd.DataFrame(participants)
    for column in ("subject", "followup_years", "event"):
        if column not in table.columns:
            table[column] = None
    table = table.astype({"subject": str}).drop_duplicates("subject").set_index("subject")
    for column in ("followup_years", "event"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    known = (table["followup_years"] >= 0) & table["event"].isin([0, 1])
    return table[known].astype({"followup_years": float, "event": bool})


def landmark(outcomes: pd.DataFrame, sets: pd.Series, start: pd.Series) -> tuple[pd.DataFrame, dict[str, int]]:
    """Start each patient's clock at `start` (years since baseline, index subject) and drop who is no longer followed.

    A death on the very day has no time at risk, but it is an outcome, and is counted as one that came too early.
    `outcomes` from `outcome_table`, `sets` the set of each subject. Returns the clock of `Sample` and the excluded.
    """
    candidates = start.index
    known = candidates.intersection(outcomes.index).sort_values()
    clock = pd.DataFrame({"set": sets.reindex(known), "start": start.reindex(known).astype(float)}, index=known)
    clock["time"] = outcomes["followup_years"].reindex(known) - clock["start"]
    clock["event"] = outcomes["event"].reindex(known).astype(bool)
    followed = clock["time"] > 1e-9
    excluded = {
        "no outcome": len(candidates) - len(known),
        "died on the day the clock starts or before": int((~followed & clock["event"]).sum()),
        "last seen on the day the clock starts or before": int((~followed & ~clock["event"]).sum()),
    }
    return clock[followed], excluded


def visits(biomarkers: pd.DataFrame, measures: list[str]) -> dict[int, pd.DataFrame]:
    """Real scans by their order in time: 1, 2, 3 -> table with index subject; session, years and `measures`."""
    real = biomarkers[biomarkers["kind"] == "real"].dropna(subset=measures)
    real = in_time_order(real)
    order = real.groupby("subject").cumcount() + 1
    return {visit: real[order == visit].set_index("subject")[["session", "years", *measures]] for visit in (1, 2, 3)}


def taken_otherwise(biomarkers: pd.DataFrame) -> str:
    """How many real scans were taken otherwise than their baseline, in words; "" where none is known to be."""
    real = biomarkers[biomarkers["kind"] == "real"]
    cells = [cell for cell in real.get(OTHERWISE, []) if isinstance(cell, str) and cell]
    if not cells:
        return ""
    kinds = ", ".join(f"{kind} {number}" for kind, number in count_kinds(cells).items())
    follow_ups = len(real) - real["subject"].nunique()
    return (
        f"{len(cells)} of {follow_ups} real scans after the first are taken otherwise than the baseline ({kinds}): "
        "their change per year is not disease alone"
    )


def generated_third(biomarkers: pd.DataFrame, by_visit: dict[int, pd.DataFrame], measures: list[str]) -> pd.DataFrame:
    """The volume generated from the first two visits for the year of the third, index subject, `measures`."""
    generated = biomarkers[biomarkers["kind"] == "generated"].dropna(subset=measures)
    third = by_visit[3]
    given = by_visit[1]["session"].reindex(third.index) + "+" + by_visit[2]["session"].reindex(third.index)
    wanted = pd.DataFrame({"given": given, "third_years": third["years"]}).reset_index()
    found = generated.merge(wanted, on=["subject", "given"])
    found = found[(found["years"] - found["third_years"]).abs() <= YEARS_TOLERANCE]
    return found.drop_duplicates("subject").set_index("subject")[measures]


def landmark_samples(
    biomarkers: pd.DataFrame, split: pd.DataFrame, outcomes: pd.DataFrame, measures: list[str]
) -> list[LandmarkSample]:
    """The three analyses: first scan, third scan, and one-year change up to the third scan.

    `biomarkers` from `biomarker_table`, `split` with subject and split, `measures` the biomarker columns. Held-out
    patients of the last two are those with a generated third scan (all, where nobody has one), so that every row
    scores the same patients.
    """
    sets = split.drop_duplicates("subject").set_index("subject")["split"].map(SETS)
    by_visit = visits(biomarkers, measures)
    first, second, third = by_visit[1], by_visit[2], by_visit[3]
    clock, excluded = landmark(outcomes, sets, first["years"])
    result = [LandmarkSample("first scan", clock, {"real": first.loc[clock.index, measures]}, excluded)]

    generated = generated_third(biomarkers, by_visit, measures)
    clock, excluded = landmark(outcomes, sets, third["years"])
    held_out, has = clock["set"] != "development", clock.index.isin(generated.index)
    if (held_out & has).any():
        lacking = held_out & ~has
        clock, excluded = clock[~lacking], excluded | {"no generated third scan": int(lacking.sum())}
    values = {"real": third[measures], "generated": generated, "carried_forward": second[measures]}
    features = {scan: table.loc[table.index.intersection(clock.index)] for scan, table in values.items()}
    excluded = {"fewer than three usable scans": len(first) - len(third)} | excluded
    result.append(LandmarkSample("third scan", clock, features, excluded))

    gap_to_third = (third["years"] - second["years"].reindex(third.index)).rename("gap")
    gap_to_second = second["years"] - first["years"].reindex(second.index)
    distinct = gap_to_third.index[(gap_to_third > 0) & (gap_to_second.reindex(gap_to_third.index) > 0)]
    kept = clock[clock.index.isin(distinct)]
    changes = {
        "real": _per_year(third[measures], second[measures], gap_to_third, kept),
        "generated": _per_year(generated, second[measures], gap_to_third, kept),
        "carried_forward": _per_year(second[measures], first[measures], gap_to_second, kept),
    }
    excluded = excluded | {"two scans of the same day": len(clock) - len(kept)}
    return [*result, LandmarkSample("one-year change", kept, changes, excluded)]


def _per_year(later: pd.DataFrame, earlier: pd.DataFrame, gap: pd.Series, clock: pd.DataFrame) -> pd.DataFrame:
    subjects = later.index.intersection(clock.index)
    return later.loc[subjects].sub(earlier.loc[subjects]).div(gap.loc[subjects], axis=0)
