"""What a cohort can show, by its numbers, before anything is run: visits, sets, deaths.

All is said as if every scan could be used; the sets are those that the stage `split` would deal then.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lung4d.visits.split import LONG_SERIES, SETS, split_patients


@dataclass(frozen=True)
class Enough:
    """Below these the stages give no verdict, fit nothing, or warn (lung4d.evaluate.findings, lung4d.survival).

    patients: test patients whose withheld visits are scored; events: deaths among training patients; per_variable:
    such deaths for each variable of a Cox model.
    """

    patients: int
    events: int
    per_variable: int


@dataclass(frozen=True)
class SetCounts:
    """Patients of a set: all, with two visits or more, with three or more, with a known outcome, and deaths."""

    patients: int = 0
    two: int = 0
    three: int = 0
    followed: int = 0
    deaths: int = 0


def count_sets(
    visits: Mapping[str, int],
    participants: Iterable[Mapping[str, Any]],
    assigned: Mapping[str, str],
    split: Mapping[str, Any],
) -> dict[str, SetCounts]:
    """Counts by set, of the sets that have patients.

    visits: scans by subject; participants: subject, and where known followup_years and event, of which those that end
    on the first day tell nothing; assigned: sets that the
    table asks for; split: the section of the configuration. Raises ValueError as `split_patients` does.
    """
    sets = split_patients(dict(visits), dict(assigned), split["seed"], split["val"], split["test"])
    deaths = {
        row["subject"]: int(row["event"])
        for row in participants
        if row.get("event") is not None and (row.get("followup_years") or 0) > 0
    }
    counts = {}
    for name in SETS:
        members = [subject for subject, other in sets.items() if other == name]
        if members:
            known = [subject for subject in members if subject in deaths]
            two, three = (sum(visits[subject] >= number for subject in members) for number in (2, LONG_SERIES))
            counts[name] = SetCounts(len(members), two, three, len(known), sum(deaths[subject] for subject in known))
    return counts


def count_lines(visits: Mapping[str, int], sets: Mapping[str, SetCounts]) -> list[str]:
    """The counts in words."""
    numbers = Counter(min(count, LONG_SERIES) for count in visits.values())
    lines = [
        f"Patients with one visit: {numbers[1]}, with two: {numbers[2]}, with three or more: {numbers[LONG_SERIES]}."
    ]
    if not sets:
        return lines
    lines.append("Sets, if every scan can be used:")
    for name, one in sets.items():
        outcomes = f"{one.deaths} died of {one.followed} with an outcome" if one.followed else "no outcome"
        long = f"{one.two} with two visits, {one.three} with three"
        lines.append(f"  {name:<9}patients: {one.patients}, {long}; {outcomes}")
    return lines


def cannot_show(sets: Mapping[str, SetCounts], config: Mapping[str, Any], enough: Enough) -> list[str]:
    """Sentences on what this cohort is too small to show, each with its number and what would be needed."""
    train, val, test = (sets.get(name, SetCounts()) for name in ("train", "val", "test"))
    return [*_of_change(train, val, test, enough), *_of_survival(sets, config["survival"], enough)]


def _of_change(train: SetCounts, val: SetCounts, test: SetCounts, enough: Enough) -> list[str]:
    found = []
    if not train.two:
        found.append("how lungs change: no training patient has two visits, and the last scan is carried forward")
    if test.three < enough.patients:
        found.append(
            f"whether a forecast is better than the last scan: {test.three} test patients have three visits, "
            f"{enough.patients} are needed (more such patients, or a larger split.test)"
        )
    if not val.two:
        found.append("which step of the training forecasts best: no val patient has two visits to choose it by")
    return found


def _of_survival(sets: Mapping[str, SetCounts], settings: Mapping[str, Any], enough: Enough) -> list[str]:
    if not any(one.followed for one in sets.values()):
        return ["survival: no patient has an outcome (followup_years and event in config/participants.tsv)"]
    fitted = sum(one.deaths for name, one in sets.items() if name in ("train", "val"))
    others = sum(one.deaths for name, one in sets.items() if name not in ("train", "val"))
    found = []
    variables = settings["top_codes"] + len(settings["covariates"])
    if fitted < enough.events:
        found.append(f"survival: {fitted} deaths among training and val patients, {enough.events} are needed to fit")
    elif fitted < enough.per_variable * variables:
        found.append(
            f"steady survival models: {fitted} deaths among training and val patients for {variables} variables, "
            f"{enough.per_variable} each are usual (fewer survival.top_codes or covariates)"
        )
    if not others:
        found.append("what survival models are worth on other patients: no death among test or external patients")
    return found
