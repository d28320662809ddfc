"""Change itself: what a method says will change since the last given visit, held against what did.

*Predicted change* is a forecast minus the same method's own estimate for the day of the last given visit: what it gains
by removing noise is in both, and cancels. *True change* is the noise-free truth's where a cohort is simulated, else the
withheld scan minus that same estimate, which holds the noise of that scan; `source` says which.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lung4d import metrics
from lung4d.biomarkers.measures import lung_density
from lung4d.evaluate.methods import CHANGES
from lung4d.evaluate.scoring import Target
from lung4d.io.volumes import from_unit
from lung4d.metrics import percentile_interval, resampling_weights

TRUTH, SEEN = "truth", "seen"  # where a true change comes from
READ = [f"{kind}_{name}" for name in CHANGES for kind in ("predicted", "true")]
SCORES = [*READ, "delta_ssim", "delta_error", "delta_size"]
ESTIMATES = ("slope", "correlation", "drawn")
TABLE = [
    *["set", "task", "horizon", "pace", "course", "method", "measure", "source", "patients"],
    *[f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")],
]
LEAST = 1e-9  # variance, in squared units of a read-out, below which nothing varies


@dataclass(frozen=True)
class ReadOut:
    """What change is read from: low-passed density (voxels,) of the lung, and the values of CHANGES."""

    smooth: np.ndarray
    values: Mapping[str, float]


def read_out(unit: np.ndarray, target: Target) -> ReadOut:
    """The read-outs of a volume (D, H, W), clipped to the window as a file is."""
    unit = np.clip(unit, -0.5, 0.5).astype(np.float32)
    smooth = target.ruler.smooth(unit, target.visit)
    density, high = lung_density(from_unit(unit, target.ruler.window), target.visit.region)
    return ReadOut(smooth, {"density": density, "high_attenuation": high, "extent": target.ruler.extent(smooth)})


@dataclass(frozen=True)
class TrueChange:
    """The change of a withheld visit since the last given one; what is read of it is kept."""

    target: Target

    @property
    def known(self) -> bool:
        """Whether the noise-free truth of both visits is known."""
        return self.target.true is not None and self.target.true_last is not None

    @cached_property
    def after(self) -> ReadOut:
        return read_out(self.target.true if self.known else self.target.visit.unit[0], self.target)

    @cached_property
    def true_before(self) -> ReadOut:
        return read_out(self.target.true_last, self.target)

    def score(self, forecast: ReadOut, estimate: ReadOut) -> dict[str, object]:
        """SCORES of a method's forecast, whose estimate for the day of the last given visit is `estimate`.

        `delta_ssim` is the similarity of both low-passed maps of change over the lung; `delta_error` and `delta_size`
        are the mean absolute difference of predicted and true change, and the mean absolute true change, whose sums
        over patients give Delta-RMAE (arXiv 2512.09185).
        """
        before, region = self.true_before if self.known else estimate, self.target.visit.region
        predicted, true = forecast.smooth - estimate.smooth, self.after.smooth - before.smooth
        scores: dict[str, object] = {"source": TRUTH if self.known else SEEN}
        for name in CHANGES:
            scores[f"predicted_{name}"] = forecast.values[name] - estimate.values[name]
            scores[f"true_{name}"] = self.after.values[name] - before.values[name]
        return scores | {
            "delta_ssim": metrics.ssim(_map(predicted, region), _map(true, region), region),
            "delta_error": float(np.mean(np.abs(predicted - true), dtype=np.float64)),
            "delta_size": float(np.mean(np.abs(true), dtype=np.float64)),
        }


def change_table(groups: Iterable[tuple[dict[str, str], pd.DataFrame]], n: int, seed: int) -> pd.DataFrame:
    """change.tsv from groups of rows of forecast.tsv: TABLE's columns, with 95 % bootstrap intervals over patients.

    A patient enters once, with the means over the withheld visits. `slope`: of true on predicted change; `correlation`:
    of both, after the group's mean change a year, times the years, is taken off each; `drawn`: the sum of the predicted
    changes over that of the true ones. NaN where a method predicts nothing.
    """
    rows: list[dict[str, object]] = []
    for keys, chosen in groups:
        lung = chosen[(chosen["region"] == "lung") & chosen[READ[0]].notna()]
        for method, part in lung.groupby("method", sort=False):
            means = part.groupby("subject")[["horizon", *READ]].mean()
            row = {key: value for key, value in keys.items() if key in TABLE}
            row |= {"method": method, "source": SEEN if (part["source"] == SEEN).any() else TRUTH}
            for name in CHANGES:
                predicted, true, years = means[[f"predicted_{name}", f"true_{name}", "horizon"]].to_numpy().T
                estimates = _estimates(predicted, true, years, n, seed)
                rows.append({**row, "measure": name, "patients": len(means), **estimates})
    return pd.DataFrame(rows, columns=TABLE)


def _estimates(predicted: np.ndarray, true: np.ndarray, years: np.ndarray, n: int, seed: int) -> dict[str, float]:
    """ESTIMATES with their intervals, of (patients,) each."""
    patients = len(true)
    whole = _weighted(np.full((1, patients), 1 / patients), predicted, true, years)
    drawn = _weighted(resampling_weights(patients, n, seed), predicted, true, years)
    found: dict[str, float] = {}
    for name, value, values in zip(ESTIMATES, whole, drawn, strict=True):
        interval = percentile_interval(float(value[0]), values, patients)
        found |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found


def _weighted(weights: np.ndarray, predicted: np.ndarray, true: np.ndarray, years: np.ndarray) -> list[np.ndarray]:
    """ESTIMATES (draws,) each, of patients with weights (draws, patients) that sum to 1."""
    p, t, y = (weights @ values for values in (predicted, true, years))
    pp, tt, pt = (weights @ values for values in (predicted**2, true**2, predicted * true))
    py, ty, yy = (weights @ values for values in (predicted * years, true * years, years**2))
    # Without the mean change a year: rest = value - (mean / mean of years) * years, whose mean is zero.
    a, b = p / y, t / y
    rest_pp, rest_tt = pp - 2 * a * py + a * a * yy, tt - 2 * b * ty + b * b * yy
    rest_pt = pt - b * py - a * ty + a * b * yy
    varies, rest_varies = pp - p * p > LEAST, np.minimum(rest_pp, rest_tt) > LEAST
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(varies, (pt - p * t) / (pp - p * p), np.nan)
        correlation = np.where(rest_varies, rest_pt / np.sqrt(rest_pp * rest_tt), np.nan)
        share = np.where(np.abs(t) > LEAST, p / t, np.nan)
    return [slope, correlation, share]


def _map(values: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(D, H, W) with the lung's values (voxels,), 0 outside."""
    volume = np.zeros(region.shape, np.float32)
    volume[region] = values
    return volume
