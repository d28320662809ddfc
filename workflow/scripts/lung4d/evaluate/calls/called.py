"""calls.tsv: which shares of the stable, the fast and the other patients a method calls stable, slow or fast."""

import numpy as np
import pandas as pd

from lung4d.evaluate.calls.cutoffs import KINDS, STABLE, Cutoff, choose_cutoff, true_kind
from lung4d.evaluate.change import SEEN, TRUTH
from lung4d.metrics import share_interval

CALLS = (STABLE, "slow", "fast")
TABLE = [
    *["set", "visits_given", "after", "method", "by", "group", "source", "patients"],
    *[f"called_{call}{end}" for call in CALLS for end in ("", "_low", "_high")],
    *["stable_below", "fast_from", "val_patients"],
]


def call_patients(rates: pd.DataFrame) -> pd.DataFrame:
    """`rates` (of `rate_table`) of all sets but val, with `kind` by the truth, `call`, and the cutoffs that made it.

    Cutoffs are chosen on the set val, for each method, number of given visits and question by itself.
    """
    parts = []
    for _, part in rates.groupby(["visits_given", "after", "method"], sort=False):
        cutoff: Cutoff = choose_cutoff(part[part["set"] == "val"])
        judged = part[part["set"] != "val"]
        parts.append(
            judged.assign(
                kind=true_kind(judged["true"].to_numpy(float)),
                call=cutoff.call(judged["number"].to_numpy(float)),
                stable_below=cutoff.stable,
                fast_from=cutoff.fast,
                val_patients=cutoff.patients,
            )
        )
    if not parts:
        return rates.reindex(columns=[*rates.columns, "kind", "call", "stable_below", "fast_from", "val_patients"])
    return pd.concat(parts, ignore_index=True)


def call_table(called: pd.DataFrame) -> pd.DataFrame:
    """TABLE's columns from `call_patients`: a row per set, question, method and group of patients.

    `by` "truth": stable, between and fast ones; `by` "course": the courses of a simulated cohort that has several.
    Intervals are Wilson's of a share of so many patients, each of whom counts once.
    """
    rows = []
    for keys, part in called.groupby(["set", "visits_given", "after", "method"], sort=False):
        source = SEEN if (part["source"] == SEEN).any() else TRUTH
        groups = [("truth", kind, part[part["kind"] == kind]) for kind in KINDS]
        groups += [("course", name, own) for name, own in part.groupby("course") if name]
        for by, group, own in groups:
            row = dict(zip(("set", "visits_given", "after", "method"), keys, strict=True))
            row |= {"by": by, "group": group, "source": source, "patients": len(own)}
            for call in CALLS:
                row |= _share(f"called_{call}", own["call"].to_numpy() == call)
            rows.append(row | part[["stable_below", "fast_from", "val_patients"]].iloc[0].to_dict())
    return pd.DataFrame(rows, columns=TABLE).astype({"patients": int, "val_patients": int})


def _share(name: str, called: np.ndarray) -> dict[str, float]:
    interval = share_interval(float(called.mean()) if len(called) else 0.0, len(called))
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
