"""The models that are compared, and their variables for each patient, scan and clock."""

from dataclasses import dataclass

import pandas as pd

from lung4d.survival.covariates import CovariateEncoder, encode, gap_points, learn_encoder
from lung4d.survival.cox import CannotFit
from lung4d.survival.landmark import LandmarkSample

LUNG_FUNCTION = {"FVC": "fvc_pct", "DLCO": "dlco_pct"}


@dataclass(frozen=True)
class Candidate:
    """A Cox model: the covariates and `biomarkers` (columns). `per_scan`: it differs between real and generated scans.

    `points`: no model is fitted, the GAP index itself is the risk.
    """

    name: str
    biomarkers: tuple[str, ...] = ()
    per_scan: bool = False
    points: bool = False


def candidates(selected: list[str], participants: pd.DataFrame, of_change: bool) -> list[Candidate]:
    """The five codes of the paper, and beside them what anyone has without codes.

    FVC, DLCO (percent of predicted at baseline, each with the covariates) and GAP where `participants` know them, but
    not for an analysis `of_change`, because their change is not known.
    """
    models = [
        Candidate("codes", tuple(selected), per_scan=True),
        Candidate("covariates only"),
        Candidate("mean lung density", ("mean_density_hu",), per_scan=True),
        Candidate("high-attenuation area", ("high_attenuation_percent",), per_scan=True),
    ]
    if of_change:
        return models
    measured = participants.columns[participants.notna().any()]
    models += [Candidate(name, (column,)) for name, column in LUNG_FUNCTION.items() if column in measured]
    if gap_points(participants).notna().any():
        models.append(Candidate("GAP index", points=True))
    return models


@dataclass(frozen=True)
class Design:
    """How `participants` (index subject) become variables: encoders learnt on development patients."""

    participants: pd.DataFrame
    covariates: CovariateEncoder
    lung_function: CovariateEncoder

    def variables(self, model: Candidate, sample: LandmarkSample, scan: str) -> pd.DataFrame:
        """Covariates and the model's biomarkers of `scan`, floats, index: the sample's patients that have that scan,
        without those with a covariate of which nothing was learnt.

        Age is that at the start of the clock; lung function is the baseline's. Raises CannotFit where no training
        patient has the model's lung function: without it the model would be another one.
        """
        table = self.covariate_table(sample)
        if model.per_scan:
            return table.join(sample.features[scan][list(model.biomarkers)], how="inner")
        measured = encode(self.lung_function, self.participants.reindex(table.index))
        if unknown := [name for name in model.biomarkers if name not in measured and name not in table]:
            raise CannotFit(f"{', '.join(unknown)} is not known of any training patient with an outcome")
        return table.join(measured[[name for name in model.biomarkers if name in measured]]).dropna()

    def covariate_table(self, sample: LandmarkSample) -> pd.DataFrame:
        table = encode(self.covariates, self.participants.reindex(sample.clock.index)).dropna()
        if "age" in table:
            table["age"] += sample.clock["start"]
        return table

    def points(self, sample: LandmarkSample) -> pd.Series:
        """GAP index of the sample's patients, of the baseline's values; patients without it are left out."""
        return gap_points(self.participants.reindex(sample.clock.index)).dropna()


def design(participants: pd.DataFrame, development: pd.Index, names: list[str]) -> Design:
    """Learn the encoders on the `development` patients (subjects) from the covariates' `names`."""
    inside = participants.index.isin(development)
    known, others = participants[inside], participants[~inside]
    comparators = [column for column in LUNG_FUNCTION.values() if column in participants and column not in names]
    return Design(
        participants,
        learn_encoder(known, names, others),
        learn_encoder(known, comparators, others),
    )
