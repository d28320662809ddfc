"""Everything a run left that the report tells of: tables, pictures' files, settings. Any part may be absent."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lung4d.evaluate.records import EvaluateFindings, ScanQuality
from lung4d.report.formatting import fixed, missing
from lung4d.survival.records import SurvivalFindings
from lung4d.visits.scans import in_time_order

ReportedScan = tuple[str, str]  # subject, session


@dataclass(frozen=True)
class Tables:
    """The run's tables, None where there is none; columns as the stages write them."""

    qc: pd.DataFrame | None = None
    split: pd.DataFrame | None = None
    unusable: pd.DataFrame | None = None
    vqgan_history: pd.DataFrame | None = None
    ode_history: pd.DataFrame | None = None
    forecast_summary: pd.DataFrame | None = None
    change: pd.DataFrame | None = None
    coverage: pd.DataFrame | None = None
    calls: pd.DataFrame | None = None
    volume: pd.DataFrame | None = None
    codebook: pd.DataFrame | None = None
    segmentation: pd.DataFrame | None = None
    registration: pd.DataFrame | None = None
    readouts: pd.DataFrame | None = None
    cindex: pd.DataFrame | None = None
    selection: pd.DataFrame | None = None
    kaplan_meier: pd.DataFrame | None = None

    def rows(self, name: str) -> pd.DataFrame | None:
        """The table `name` where it is there and has a row, else None."""
        table = getattr(self, name)
        return None if table is None or table.empty else table


@dataclass(frozen=True)
class FlaggedScan:
    """A scan with flags: `otherwise` says how it was taken otherwise than its baseline, in the kinds of `differs_in` as
    qc.tsv has them; `flags` is all the rest. Any of the three may be ""."""

    subject: str
    session: str
    flags: str
    otherwise: str
    differs_in: str


@dataclass(frozen=True)
class Images:
    """Files to be shown, by scan or by patient; only those that are there and not empty.

    `cts`, `lung_masks`: converted scans and their lung masks, native grids. `warped`: registered scans, baseline's
    grid. `volumes`, `masks`: preprocessed, one grid a patient. `reconstructions`: of `volumes`. `generated`: folders
    with volumes and the table `sub-<subject>_trajectories.tsv`. `codebook`: pictures `decoded` and `exemplars`.
    """

    cts: dict[ReportedScan, Path] = field(default_factory=dict)
    lung_masks: dict[ReportedScan, Path] = field(default_factory=dict)
    warped: dict[ReportedScan, Path] = field(default_factory=dict)
    volumes: dict[ReportedScan, Path] = field(default_factory=dict)
    masks: dict[ReportedScan, Path] = field(default_factory=dict)
    reconstructions: dict[ReportedScan, Path] = field(default_factory=dict)
    generated: dict[str, Path] = field(default_factory=dict)
    codebook: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """`config`: the resolved configuration. `participants`: a record a patient. `excluded`: records of scans that the
    user's table leaves out (subject, session, reason). `notices`: what is to be said of the user's tables. `shown`: how
    many patients to show with pictures.

    Verdicts, and numbers over patients, are those of the findings: the page computes none.
    """

    title: str
    shown: int
    simulated: bool
    config: dict[str, Any]
    participants: list[dict[str, Any]]
    excluded: list[dict[str, Any]]
    tables: Tables
    images: Images
    evaluation: EvaluateFindings = field(default_factory=EvaluateFindings)
    prognosis: SurvivalFindings = field(default_factory=SurvivalFindings)
    prognosis_method: str = ""
    quality: ScanQuality = field(default_factory=ScanQuality)
    notices: list[str] = field(default_factory=list)

    def setting(self, stage: str, key: str, default: Any = None) -> Any:
        return (self.config.get(stage) or {}).get(key, default)

    def hu_of(self, mse: float) -> str:
        """The root of a mean square error on intensities from 0 to 1, in HU."""
        low, high = self.setting("train_vqgan", "window", (-1000, 500))
        return fixed(None if missing(mse) else float(mse) ** 0.5 * (float(high) - float(low)), 0)


def flagged_scans(qc: pd.DataFrame | None) -> list[FlaggedScan]:
    """The rows of qc.tsv that have a flag, in its order."""
    found = []
    for row in [] if qc is None else qc.to_dict("records"):
        texts = (row.get(name) for name in ("flags", "register_differences", "register_differs_in"))
        flags, otherwise, differs_in = ("" if missing(text) else str(text) for text in texts)
        if flags:  # a stage's flags stand together, so that its sentences are one piece of all
            rest = " ".join((flags.replace(otherwise, " ") if otherwise else flags).split())
            found.append(FlaggedScan(str(row["subject"]), str(row["session"]), rest, otherwise, differs_in))
    return found


def visits_of(split: pd.DataFrame | None) -> dict[str, list[tuple[str, float]]]:
    """Usable visits of every patient as (session, years), in the order of time."""
    if split is None:
        return {}
    ordered = in_time_order(split)
    return {
        str(subject): list(zip(rows["session"], rows["years"].astype(float), strict=True))
        for subject, rows in ordered.groupby("subject", sort=True)
    }


def choose_patients(split: pd.DataFrame | None, count: int) -> list[str]:
    """Patients to show: held-out ones before those the models were trained on, long series before short ones."""
    if split is None or split.empty:
        return []
    order = {"test": 0, "external": 1, "val": 2, "train": 3}
    visits = visits_of(split)
    sets = split.drop_duplicates("subject").set_index("subject")["split"]
    ranked = sorted(visits, key=lambda s: (len(visits[s]) < 2, order.get(sets[s], 4), -len(visits[s]), s))
    return ranked[: max(count, 0)]
