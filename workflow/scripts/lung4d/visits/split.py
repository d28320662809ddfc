"""Patients to sets: train, val, test, external; by patient, seeded, and steady when the cohort grows."""

import hashlib
from collections.abc import Iterable

import pandas as pd

from lung4d.visits.scans import in_time_order

SETS = ("train", "val", "test", "external")
LONG_SERIES = 3  # usable scans from which a patient can be scored on a visit that two others did not show


def one_set_each(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """`{subject: set}` of (subject, set) rows; raises ValueError for an unknown set or a patient in two."""
    assigned: dict[str, str] = {}
    for subject, name in pairs:
        if name not in SETS:
            raise ValueError(f"patient {subject}: split is '{name}'; give one of {', '.join(SETS)}, or leave it empty")
        if assigned.setdefault(subject, name) != name:
            raise ValueError(f"patient {subject} is in two sets, {assigned[subject]} and {name}; give one of them")
    return assigned


def split_patients(
    visits: dict[str, int], assigned: dict[str, str], seed: int, val: float, test: float
) -> dict[str, str]:
    """`{subject: set}` for patients with `visits` usable scans each.

    Patients in `assigned` keep their set and count towards its share; `val` and `test` are shares of all patients
    that are not external. The others are drawn within two strata, patients with at least three usable scans and those
    with fewer, in the order of a hash of seed and subject: a new patient moves few of the others. There is always a
    training patient; with two patients or more one is in test, with three or more one in val, if those shares are
    not 0. Raises ValueError for shares that leave nothing to train on.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise ValueError(f"split: val {val:g} and test {test:g} must be shares from 0, together below 1")
    chosen = {subject: assigned[subject] for subject in visits if subject in assigned}
    inside = len(visits) - list(chosen.values()).count("external")
    strata = [
        _in_order([s for s in visits if s not in chosen and (visits[s] >= LONG_SERIES) == long], seed)
        for long in (True, False)
    ]
    wanted = {
        name: max(0, _count(share, inside, fewest) - list(chosen.values()).count(name))
        for name, share, fewest in (("test", test, 2), ("val", val, 3))
    }
    free = sum(map(len, strata))
    has_train = "train" in chosen.values()
    for name, count in wanted.items():
        count = min(count, free if has_train else max(free - 1, 0))
        for stratum, part in zip(strata, _shares(count, [len(stratum) for stratum in strata]), strict=True):
            chosen |= dict.fromkeys(stratum[:part], name)
            del stratum[:part]
        free -= count
    chosen |= {subject: "train" for stratum in strata for subject in stratum}
    return {subject: chosen[subject] for subject in visits}


def _count(share: float, patients: int, fewest: int) -> int:
    """Patients in a set: the rounded share, but one where there is a share and enough patients."""
    rounded = int(share * patients + 0.5)
    return max(rounded, 1) if share > 0 and patients >= fewest else 0


def _in_order(subjects: list[str], seed: int) -> list[str]:
    return sorted(subjects, key=lambda subject: hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest())


def _shares(count: int, sizes: list[int]) -> list[int]:
    """Divide `count` over strata in proportion to their sizes (largest remainder; the first stratum wins a tie)."""
    total = sum(sizes)
    if total == 0:
        return [0] * len(sizes)
    exact = [count * size / total for size in sizes]
    parts = [int(value) for value in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda index: parts[index] - exact[index])
    for index in by_remainder[: count - sum(parts)]:
        parts[index] += 1
    return parts


def split_scans(
    scans: pd.DataFrame, failures: dict[tuple[str, str], tuple[str, str]], assigned: dict[str, str],
    seed: int, val: float, test: float, together: dict[str, str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Tables of usable scans (subject, session, years, split) and unusable ones (subject, session, stage, reason).

    `scans` has one row per scan (subject, session, years since baseline); `failures` gives stage and reason of the
    scans that cannot be used; `together` names the patient whose set another one is in too. Rows are in order of
    subject and years.
    """
    scans = in_time_order(scans).reset_index(drop=True)
    failed = [(row.subject, row.session) in failures for row in scans.itertuples()]
    usable = scans.loc[[not bad for bad in failed], ["subject", "session", "years"]].reset_index(drop=True)
    visits = {str(subject): int(count) for subject, count in usable.groupby("subject", sort=True).size().items()}
    followers = {subject: lead for subject, lead in (together or {}).items() if subject in visits}
    leads = {subject: count for subject, count in visits.items() if subject not in followers}
    sets = split_patients(leads, assigned, seed, val, test)
    sets |= {subject: sets[lead] for subject, lead in followers.items()}
    usable["split"] = usable["subject"].map(sets).astype(str)
    rows = [(row.subject, row.session, *failures[row.subject, row.session]) for row in scans.loc[failed].itertuples()]
    return usable, pd.DataFrame(rows, columns=["subject", "session", "stage", "reason"], dtype=str)
