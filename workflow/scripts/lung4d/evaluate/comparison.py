"""Several models of stage 2 on the same withheld visits, beside every baseline, which is computed once."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lung4d import logs
from lung4d.evaluate.baselines import FittedBaselines
from lung4d.evaluate.forecasters import CachedDecoder, decoder_of, forecaster_of
from lung4d.evaluate.forecasting import Forecaster, ScoredPatient, forecast_table, score_patient
from lung4d.evaluate.scoring import Scorer
from lung4d.evaluate.truth import noisefree_of, truth_files
from lung4d.ode.ensemble import Ensemble
from lung4d.visits.patient import PatientVisits
from lung4d.vqgan.model import VQGAN

SETS = ("test", "external")  # splits whose patients are scored


@dataclass(frozen=True)
class ScoredModel:
    """A model, and the decodings that are scored: nearly all time on a CPU goes into decoding."""

    ode: Ensemble
    decodings: Sequence[str]


def together(forecasters: Mapping[str, Forecaster]) -> Forecaster:
    """One function of several; what `name` forecasts stands under "name, decoding"."""

    def forecast(given, years, mix):
        return {
            f"{name}, {decoding}": volumes
            for name, one in forecasters.items()
            for decoding, volumes in one(given, years, mix).items()
        }

    return forecast


def score_models(
    patients: Iterable[PatientVisits],
    rivals: Mapping[str, ScoredModel],
    vqgan: VQGAN,
    fitted: FittedBaselines,
    ruler: Scorer,
    truths: Iterable[str | Path] = (),
    given_too: bool = False,
) -> pd.DataFrame:
    """forecast.tsv of the rivals by name and of all baselines, on the patients of SETS with three visits.

    truths: folders of a simulated cohort's truth, if any. given_too: the given visits are scored too. The column
    `method` is split into `row` and `decoding`, see `split_method`.
    """
    remembering = CachedDecoder(vqgan)
    forecast = together({name: forecaster_of(remembering, one.ode, one.decodings) for name, one in rivals.items()})
    noisefree, decode = truth_files(truths, "noisefree_ct"), decoder_of(remembering)
    held_out = [one for one in patients if one.split in SETS and len(one) > 2]
    rows = []
    for patient in logs.progress(held_out, len(held_out), "held-out patients"):
        visits, true = patient.fresh(), noisefree_of(patient, noisefree)
        scored_as = ScoredPatient(patient.subject, patient.set, float("nan"))  # nothing here is told by pace
        rows += score_patient(scored_as, visits, fitted, decode, forecast, ruler, true, given_too)
    table = forecast_table(rows)
    table[["row", "decoding"]] = pd.DataFrame(
        list(map(split_method, table["method"])), columns=["row", "decoding"], index=table.index, dtype=str
    )
    return table


def split_method(method: str) -> tuple[str, str]:
    """Name and decoding of a rival ("model (own, pure)"); a baseline's own name and no decoding."""
    found = re.fullmatch(r"model \((.+), (\w+)\)", method)
    return (found[1], found[2]) if found else (method, "")
