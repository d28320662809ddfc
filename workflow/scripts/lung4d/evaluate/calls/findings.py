"""What is found of calls: the model's beside those of the best method that needs none."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from lung4d.evaluate.calls.cutoffs import FAST, KINDS, STABLE, choose_cutoff, correctness, true_kind
from lung4d.evaluate.calls.rates import ASKED
from lung4d.evaluate.calls.records import Called, CalledFromMore
from lung4d.evaluate.methods import BASELINE, GIVEN, MODEL, of_kind, sets_in_order
from lung4d.metrics import Interval, percentile_interval, resampling_weights

Judge = Callable[[float, float, float, int], str]


def find_calls(
    table: pd.DataFrame, called: pd.DataFrame, rates: pd.DataFrame, judge: Judge, bootstrap: int, seed: int
) -> tuple[tuple[Called, ...], tuple[CalledFromMore, ...]]:
    """From calls.tsv, and the calls and rates of the patients. The rival is the baseline that does best on val.

    judge: (difference of an error, low, high, patients) to a verdict.
    """
    found, more = [], []
    ours = [*of_kind(MODEL), *of_kind(GIVEN)]
    for name in sets_in_order(table["set"].unique()):
        for given, after in ASKED:
            part = called[(called["set"] == name) & (called["visits_given"] == given) & (called["after"] == after)]
            rival = best_on_val(rates[(rates["visits_given"] == given) & (rates["after"] == after)])
            for method in (method for method in ours if (part["method"] == method).any()):
                gained = gain(part, part, method, rival, bootstrap, seed)
                found.append(_called(table, name, given, after, method, rival, gained, judge))
        two, four = (_asked(called, name, given) for given in (2, 4))
        for method in (method for method in ours if (four["method"] == method).any()):
            gained = gain(four, two, method, method, bootstrap, seed)
            stable, fast = (int(((four["method"] == method) & (four["kind"] == kind)).sum()) for kind in (STABLE, FAST))
            verdict = _judged(judge, gained, min(stable, fast))
            more.append(CalledFromMore(name, method, stable, fast, *gained, verdict))
    return tuple(found), tuple(more)


def _asked(called: pd.DataFrame, name: str, given: int) -> pd.DataFrame:
    return called[(called["set"] == name) & (called["visits_given"] == given) & (called["after"] == 4)]


def best_on_val(rates: pd.DataFrame) -> str:
    """The baseline with the most correct calls of val patients by its own cutoff, "" where none can be told."""
    val, correct = rates[rates["set"] == "val"], {}
    for method in of_kind(BASELINE):
        own = val[val["method"] == method]
        numbers, kinds = own["number"].to_numpy(float), true_kind(own["true"].to_numpy(float))
        stable, fast = numbers[kinds == STABLE], numbers[kinds == FAST]
        cutoff = choose_cutoff(own).stable
        if len(stable) and len(fast):
            correct[method] = correctness(stable < cutoff, fast >= cutoff)
    return max(correct, key=lambda method: correct[method], default="")


def gain(mine: pd.DataFrame, theirs: pd.DataFrame, method: str, rival: str, bootstrap: int, seed: int) -> Interval:
    """Correct calls of `method` in one table minus those of `rival` in the other, with a 95 % interval.

    Correct calls are the mean of two shares, of stable patients called stable and of fast patients not called so. Both
    are of the same patients; stable and fast ones are drawn by themselves. NaN without patients of both kinds.
    """
    one = mine[mine["method"] == method].set_index("subject")
    other = theirs[theirs["method"] == rival].set_index("subject").reindex(one.index)
    known = other["call"].notna()
    total, drawn, fewest = 0.0, np.zeros(bootstrap), len(one)
    for number, (kind, sign) in enumerate(((STABLE, 0.5), (FAST, -0.5))):
        chosen = known & (one["kind"] == kind)
        stable, others = ((calls["call"] == STABLE).to_numpy(float)[chosen] for calls in (one, other))
        if not len(stable):
            return Interval(float("nan"), float("nan"), float("nan"))
        difference = sign * (stable - others)
        total += float(difference.mean())
        drawn += resampling_weights(len(stable), bootstrap, seed + number) @ difference
        fewest = min(fewest, len(stable))
    return percentile_interval(total, drawn, fewest)


def _called(
    table: pd.DataFrame, name: str, given: int, after: int, method: str, rival: str, gained: Interval, judge: Judge
) -> Called:
    rows = table[(table["set"] == name) & (table["visits_given"] == given) & (table["after"] == after)]
    rows = rows[(rows["method"] == method) & (rows["by"] == "truth")].set_index("group")
    stable, between, fast = (int(rows.loc[kind, "patients"]) for kind in KINDS)
    right, missed = (rows.loc[kind] for kind in (STABLE, FAST))
    share = "called_stable"
    return Called(
        set=name,
        given=given,
        after=after,
        method=method,
        source=str(right["source"]),
        stable=stable,
        between=between,
        fast=fast,
        right=float(right[share]),
        right_low=float(right[f"{share}_low"]),
        right_high=float(right[f"{share}_high"]),
        missed=float(missed[share]),
        missed_low=float(missed[f"{share}_low"]),
        missed_high=float(missed[f"{share}_high"]),
        cutoff=float(right["stable_below"]),
        val_patients=int(right["val_patients"]),
        rival="" if np.isnan(gained.mean) else rival,
        gained=gained.mean,
        gained_low=gained.low,
        gained_high=gained.high,
        verdict=_judged(judge, gained, min(stable, fast)),
    )


def _judged(judge: Judge, gained: Interval, patients: int) -> str:
    return judge(-gained.mean, -gained.high, -gained.low, patients)
