"""What is doubtful in the studies of a tree: asked, not answered. Each study gets the reasons to look at it."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise, takewhile
from typing import Any

from lung4d.convert.patient_headers import DAYS_PER_YEAR, NO_BIRTH_DATES, odd_ones, years_between
from lung4d.pipeline.tables.studies import Study

Person = dict[str, str]
FIRST_CT = date(1973, 1, 1)  # before it nobody's chest was scanned: such dates stand for "not known"
AGE_APART = 2.0  # years by which the age in a header may differ from that by its dates
NUMBERED = re.compile(r"(?i)(visit|ses|session|timepoint|time|tp|fu|follow.?up|year|month|wave|[tv])[ ._-]?(\d{1,3})")
LATEST_SHIFTED = date(1925, 1, 1)  # BIDS has dates that were shifted, for nobody to be known by, lie before it

SAME_DATE = "all studies of the tree have one date"
SAME_DAY = "two studies of the patient are on one day"
SAME_IMAGE = "an image of it is in another study too"
SAME_STUDY = "its study UID is that of another patient's study too"
SAME_PERSON = "two PatientIDs have one name and birth date"
WHOSE = "its name and birth date are those of patient"
FOREIGN = "it lies in the folder of another patient"
SAME_ID = "two patients have one PatientID"
NO_DATE = "the headers have no date"
FUTURE = "the study date is in the future"
TOO_EARLY = "the study date is from before chests were scanned"
UNBORN = "the study date is before the birth date"
AGES = "age, birth date and study date contradict each other"
BACKWARD = "years run back: visits are numbered against their dates"
AGES_BACK = "years run back: the patient is younger at a later date"
AGES_STILL = "the ages of the patient contradict the study dates"
MIXED = "some studies of the patient have a date, others years"


def drop_impossible_dates(studies: Iterable[Study], today: date) -> None:
    """Take the day from studies that cannot have been made on it, or have none, and say so in their `doubts`."""
    for study in studies:
        birth = study.person.get("birth")
        if study.day is None:
            reason = "" if study.is_volume else NO_DATE
        elif study.day > today + timedelta(days=1):  # it may be tomorrow elsewhere
            reason = FUTURE
        elif study.day < FIRST_CT and not _is_shifted(study):
            reason = TOO_EARLY
        else:
            reason = UNBORN if birth and study.day < date.fromisoformat(birth) else ""
        if reason:
            study.day = None
            _doubt([study], reason)


def _is_shifted(study: Study) -> bool:
    """Whether a date of BIDS is one that was moved into the far past, all of a patient by as much."""
    if study.day is None or not (study.is_volume and study.label):
        return False
    return study.day < LATEST_SHIFTED and study.day not in NO_BIRTH_DATES


def find_doubts(
    studies: list[Study], known: Mapping[str, Person], subject_of: Callable[[str], str]
) -> dict[str, Person]:
    """Add to the `doubts` of each study, and return who each patient is: those of `known`, where earlier trees had
    them, and those of this tree. `subject_of` gives the pseudonym of a patient's key."""
    of_patient = _grouped(studies, lambda study: study.patient)
    people = _doubt_people(of_patient, known, subject_of)
    _doubt_folders([study for study in studies if not study.is_volume], of_patient)
    shared = [study for study in studies if study.day]
    if len(shared) > 1 and len({study.day for study in shared}) == 1:
        _doubt(shared, SAME_DATE)
    for group in _shared(studies, lambda study: study.images):
        _doubt(group, SAME_IMAGE)
    for group in _grouped(studies, lambda study: study.uid).values():
        if len({study.patient for study in group}) > 1 and re.fullmatch(r"[\d.]+", group[0].uid):
            _doubt(group, SAME_STUDY)
    for group in of_patient.values():
        for same in _grouped([study for study in group if _time(study) is not None], _time).values():
            if len(same) > 1 and SAME_DATE not in same[0].doubts:
                _doubt(same, SAME_DAY)
        if any(study.day for study in group) and any(study.years is not None for study in group):
            _doubt(group, MIXED)
        _doubt_order(group)
    return people


def _doubt(studies: Iterable[Study], reason: str) -> None:
    for study in studies:
        if reason not in study.doubts:
            study.doubts.append(reason)


def _grouped(studies: Iterable[Study], label: Callable[[Study], Any]) -> dict[Any, list[Study]]:
    groups: dict[Any, list[Study]] = defaultdict(list)
    for study in studies:
        groups[label(study)].append(study)
    return groups


def _shared(studies: list[Study], labels: Callable[[Study], Iterable[str]]) -> list[list[Study]]:
    """Groups of studies that share a label."""
    first: dict[str, Study] = {}
    groups: dict[tuple[int, int], list[Study]] = {}
    for study in studies:
        for label in labels(study):
            other = first.setdefault(label, study)
            if other is not study:
                groups[id(other), id(study)] = [other, study]
    return list(groups.values())


# Persons


def _doubt_people(
    of_patient: dict[str, list[Study]], known: Mapping[str, Person], subject_of: Callable[[str], str]
) -> dict[str, Person]:
    """One patient with two birth dates, and two patients with one name and birth date.

    Who most of a patient's studies name is the patient; so a study in the wrong folder does not make two patients one.
    """
    people, odd = dict(known), []
    for patient, group in of_patient.items():
        found = odd_ones([study.person for study in group])
        odd += [(study, words) for study, words in zip(group, found, strict=True) if words]
        people[patient] = _person_of([study for study, words in zip(group, found, strict=True) if not words])
    named: dict[tuple[str, str], list[str]] = defaultdict(list)
    numbered: dict[str, list[str]] = defaultdict(list)
    for patient, person in people.items():
        if "name" in person and "birth" in person:
            named[person["name"], person["birth"]].append(patient)
        if "id" in person:
            numbered[person["id"]].append(patient)
    for reason, groups in ((SAME_PERSON, named.values()), (SAME_ID, numbered.values())):
        for patients in groups:
            for patient in patients if len(patients) > 1 else []:
                _doubt(of_patient.get(patient, []), reason)
    for study, words in odd:
        owners = named.get((study.person.get("name", ""), study.person.get("birth", "")), [])
        others = [f"{WHOSE} {subject_of(owner)}" for owner in owners if owner != study.patient]
        who = "one PatientID has" if study.patient.startswith("id ") else "one patient has"
        _doubt([study], "; ".join([f"{who} two {words}", *others[:1]]))
    return people


def _doubt_folders(studies: list[Study], of_patient: dict[str, list[Study]]) -> None:
    """A study apart from the patient's others, in a folder that is otherwise that of one other patient; not where the
    folders are no patients', but years or sites, say: then they are fewer, or patients are in several."""
    folders = [study.folder.split("/") for study in studies]
    shared = len(list(takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))))
    place = {id(study): "/".join(folder[shared : shared + 1]) for study, folder in zip(studies, folders, strict=True)}
    homes: dict[str, str] = {}
    grouped = [[place[id(study)] for study in group if id(study) in place] for group in of_patient.values()]
    several = [places for places in grouped if len(places) > 1]
    if len(set(place.values())) < len(of_patient) or 2 * sum(len(set(one)) > 1 for one in several) > len(several):
        return
    for patient, places in zip(of_patient, grouped, strict=True):
        most = max(sorted(set(places)), key=places.count, default="")
        if places.count(most) > max(1, len(places) / 2):
            homes[patient] = most
    owners = Counter(homes.values())
    for study in studies:
        home, here = homes.get(study.patient), place[id(study)]
        if home is not None and here != home and owners[here] == 1:
            _doubt([study], FOREIGN)


def _person_of(studies: list[Study]) -> dict[str, str]:
    """What most of the studies say, field by field."""
    said = [study.person for study in studies]
    fields = {field for person in said for field in person}
    values = {field: [person[field] for person in said if field in person] for field in fields}
    return {field: max(sorted(set(found)), key=found.count) for field, found in values.items()}


# Times


def _doubt_order(group: list[Study]) -> None:
    """Visits that their folders or labels number, or that tell the patient's age, where the dates run the other way."""
    of_word: dict[str, list[tuple[int, float | None]]] = defaultdict(list)
    for study in group:
        if (found := _number(study)) is not None:
            of_word[found[0]].append((found[1], _time(study)))
    for numbers in of_word.values():
        if len({number for number, _ in numbers}) == len(numbers) and _runs_back(numbers, 0.0):
            _doubt(group, BACKWARD)
    births = [study.day.toordinal() / DAYS_PER_YEAR - study.age for study in group if study.day and study.age]
    if _runs_back([(study.age, _time(study)) for study in group if study.age is not None], AGE_APART):
        _doubt(group, AGES_BACK)
    elif births and max(births) - min(births) > AGE_APART:
        _doubt([study for study in group if study.day and study.age], AGES_STILL)
    for study in group:
        if study.day is None or study.age is None or "birth" not in study.person:
            continue
        by_dates = years_between(date.fromisoformat(study.person["birth"]), study.day)
        if abs(by_dates - study.age) > AGE_APART:
            _doubt([study], AGES)


def _runs_back(pairs: Sequence[tuple[float, float | None]], slack: float) -> bool:
    """Whether the first of the pairs falls by more than `slack` from an earlier time to a later one."""
    timed = sorted((time, value) for value, time in pairs if time is not None)
    return any(later[0] > earlier[0] and earlier[1] - later[1] > slack for earlier, later in pairwise(timed))


def _number(study: Study) -> tuple[str, int] | None:
    """The number that a label or folder gives a visit, and its word: months are not compared with years."""
    if study.session_label:
        found = re.fullmatch(r"(\D*)(\d{1,3})", study.session_label)
        return (found[1].lower(), int(found[2])) if found else None
    numbers = [match for part in study.folder.split("/") if (match := NUMBERED.fullmatch(part))]
    return (numbers[-1][1].lower(), int(numbers[-1][2])) if numbers else None


def _time(study: Study) -> float | None:
    """Days or years: one patient's studies have all the one or all the other."""
    return float(study.day.toordinal()) if study.day else study.years
