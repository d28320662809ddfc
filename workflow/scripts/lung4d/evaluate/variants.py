"""Disease models of different settings on the same withheld visits, beside every baseline, which is computed once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch

from lung4d import logs
from lung4d.evaluate.comparisons import OWN, SCORED_SETS
from lung4d.evaluate.forecasters import CachedDecoder, decoder_of, forecaster_of
from lung4d.evaluate.forecasting import Forecaster, ScoredPatient, forecast_table, score_patient
from lung4d.evaluate.methods import model_name
from lung4d.evaluate.scoring import Scorer
from lung4d.evaluate.truth import noisefree_of, truth_files
from lung4d.evaluate.tuning import fit_baselines
from lung4d.ode.ensemble import Ensemble, load_ode
from lung4d.visits.patient import PatientVisits
from lung4d.vqgan.model import VQGAN, load_vqgan, parameter_hash


@dataclass(frozen=True)
class ScoredModel:
    """A model, and the decodings that are scored: nearly all time on a CPU goes into decoding."""

    ode: Ensemble
    decodings: Sequence[str]


@dataclass(frozen=True)
class Other:
    """A rival that is no model of stage 2, and what it calls its forecasts."""

    forecast: Forecaster
    decodings: Sequence[str]


def together(forecasters: Mapping[str, Forecaster]) -> Forecaster:
    """One function of several; what one of them forecasts stands under its `together_name`."""

    def forecast(given, years, mix):
        return {
            together_name(name, decoding): volumes
            for name, one in forecasters.items()
            for decoding, volumes in one(given, years, mix).items()
        }

    return forecast


def together_name(name: str, decoding: str) -> str:
    """What the forecasts of one of several models are called."""
    return f"{name}, {decoding}"


def load_variants(
    paths: Mapping[str, str | Path], vqgan: str | Path, device: torch.device
) -> tuple[VQGAN, dict[str, Ensemble]]:
    """The autoencoder of the file `vqgan`, and the models by name; raises ValueError for one of another autoencoder."""
    autoencoder = load_vqgan(vqgan, device)
    stage_1 = parameter_hash(autoencoder)
    return autoencoder, {name: load_ode(path, device, stage_1) for name, path in paths.items()}


def score_variants(
    models: Mapping[str, ScoredModel],
    vqgan: VQGAN,
    patients: list[PatientVisits],
    params: Any,
    truths: Iterable[str | Path] = (),
    given_too: bool = False,
    others: Mapping[str, Other] = MappingProxyType({}),
) -> pd.DataFrame:
    """forecast.tsv of the models by name and of all baselines, on the patients of SCORED_SETS with three visits.

    The baselines are fitted as for the model `OWN` alone. params: has the keys of the section `evaluate` as attributes.
    truths: folders of a simulated cohort's truth, if any. given_too: the given visits are scored too. others: rivals
    beside the models. The column `method` is told in `row` and `decoding`, those of a model or rival; a baseline is a
    row of its own name, without a decoding.
    """
    window = vqgan.settings.window
    own = forecaster_of(CachedDecoder(vqgan), models[OWN].ode, ("pure", "residual"))
    fitted = fit_baselines(patients, own, params.blur_sigmas, params.slope_sigmas, params.seed)
    remembering, ruler = CachedDecoder(vqgan), Scorer(window, params.low_pass)
    own_kind = {name: forecaster_of(remembering, one.ode, one.decodings) for name, one in models.items()}
    forecast = together(own_kind | {name: one.forecast for name, one in others.items()})
    noisefree, decode = truth_files(truths, "noisefree_ct"), decoder_of(remembering)
    held_out = [one for one in patients if one.split in SCORED_SETS and len(one) > 2]
    rows = []
    for patient in logs.progress(held_out, len(held_out), "held-out patients"):
        visits, true = patient.fresh(), noisefree_of(patient, noisefree)
        scored_as = ScoredPatient(patient.subject, patient.set, "", float("nan"))  # nothing here is told by pace
        rows += score_patient(scored_as, visits, fitted, decode, forecast, ruler, true, given_too)
    table = forecast_table(rows)
    decodings = {name: one.decodings for name, one in models.items()}
    decodings |= {name: one.decodings for name, one in others.items()}
    named = {
        model_name(together_name(row, decoding)): (row, decoding) for row, own in decodings.items() for decoding in own
    }
    table[["row", "decoding"]] = pd.DataFrame(
        [named.get(method, (method, "")) for method in table["method"]],
        columns=["row", "decoding"],
        index=table.index,
        dtype=str,
    )
    return table
