"""What the target `tables` says on a terminal, without any name or date of the tree."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from lung4d.convert.tree.files import TreeFiles
from lung4d.convert.tree.headers import TreeHeaders
from lung4d.convert.tree.years import VisitTimes
from lung4d.pipeline.private import TABLE
from lung4d.pipeline.tables.pseudonyms import KnownVisit, Register
from lung4d.pipeline.tables.rows import Row
from lung4d.pipeline.tables.studies import Contents
from lung4d.pipeline.tables.writing import Written, beside

MOST_LINES = 20
MOST_NAMED = 4  # scans in a line
LAST = "Who is who, and why each series was taken or not, is in private/: pass it on to nobody."


@dataclass(frozen=True)
class Found:
    """All that was found in a tree."""

    files: TreeFiles
    headers: TreeHeaders
    times: VisitTimes
    contents: Contents


@dataclass(frozen=True)
class Look:
    """Something to look at: its sentence, the scans it is about, by subject and session, and places in the tree."""

    words: str
    scans: list[str]
    places: list[str]


def first_line(found: Found) -> str:
    """How much there is, and how much of it was taken."""
    contents = found.contents
    patients = Counter(study.patient for study in contents.studies)
    single = sum(count == 1 for count in patients.values())
    studies, people = len(contents.keys), len({patient for patient, _ in contents.keys})
    line = (
        f"{_count(len(found.files.files), 'file')}, {len(contents.series)} series, "
        f"{_count(studies, 'study', 'studies')} of {_count(people, 'patient')}: "
        f"{len(contents.studies)} lung series taken."
    )
    return f"{line} {_count(single, 'patient')} {'has' if single == 1 else 'have'} one visit." if single else line


def nothing_words(found: Found) -> str:
    """Why no table was made: what the series are, by reason, and what was not read."""
    reasons = Counter(series["why"].rstrip(".") for series in found.contents.series)
    told = [f"{count} series: {why}" for why, count in reasons.most_common(MOST_NAMED)]
    volumes = set(found.contents.notes)
    notes = [words for words, _ in _notes(found) if words.partition(": ")[2] not in volumes]
    return " ".join([f"{first_line(found)} No table was made.", *(f"{one}." for one in [*told, *notes[:MOST_NAMED]])])


def all_lines(found: Found, rows: list[Row], written: Written, look: list[Look]) -> list[str]:
    """All lines, at most MOST_LINES."""
    lines = [first_line(found), *_written_lines(written)]
    names = [(row["subject"], row["session"]) for row in rows]
    doubtful = [" ".join(name) for name, row in zip(names, rows, strict=True) if row["exclude"]]
    rows = [written.standing[name] for name in names if name in written.standing]
    used = {" ".join((row["subject"], row["session"])) for row in rows if not row.get("exclude")}
    in_use = [name for name in doubtful if name in used]
    rows = rows if written.new or written.below or written.beside else []
    if without := sum(not row.get("years") and not row.get("exclude") for row in rows):
        lines.append(
            f"{_count(without, 'scan')} {'has' if without == 1 else 'have'} no years: fill in the column in {TABLE}; "
            "private/visits.tsv says which scan is which."
        )
    if excluded := sum(bool(row.get("exclude")) for row in rows):
        lines.append(
            f"{_count(excluded, 'scan')} to be looked at {'is' if excluded == 1 else 'are'} left out; clear the cell "
            "`exclude` of each that you find in order."
        )
    if in_use:
        lines.append(
            f"{_count(len(in_use), 'scan')} to be looked at {'is' if len(in_use) == 1 else 'are'} in use, as "
            f"{'its row stands' if len(in_use) == 1 else 'their rows stand'} in {TABLE}{_named(in_use)}."
        )
    room = MOST_LINES - len(lines) - 2
    lines += [f"Look at: {one.words}{_named(one.scans)}." for one in look[:room]]
    if len(look) > room:
        lines.append(f"And {len(look) - room} more to look at, in private/look_at.txt.")
    elif look:
        lines.append("All of it to look at, with its place in the tree, is in private/look_at.txt.")
    return [*lines, LAST]


def look_lines(found: Found, register: Register, grown: list[KnownVisit]) -> list[Look]:
    """All that is to be looked at, scans first."""
    doubts: dict[str, list[str]] = defaultdict(list)
    places: dict[str, list[str]] = defaultdict(list)
    for study in found.contents.studies:
        visit = register.visit_of(study)
        for doubt in study.doubts:
            doubts[doubt].append(f"{visit.subject} {visit.session}")
            places[doubt].append(f"{visit.subject} {visit.session}: {study.folder}")
    lines = [Look(doubt, sorted(scans), sorted(places[doubt])) for doubt, scans in sorted(doubts.items())]
    names: dict[str, set[str]] = defaultdict(set)
    for study in found.contents.studies:
        if "name" in study.person and not study.doubts:
            names[register.subject_of(study.patient)].add(study.person["name"])
    if renamed := sorted(subject for subject, spelled in names.items() if len(spelled) > 1):
        lines.append(Look("patients with two names, each taken for one patient", renamed, []))
    in_folders = [study for study in found.contents.studies if study.is_volume and study.patient.startswith("folder ")]
    if len(in_folders) > 1 and len({study.patient for study in in_folders}) == 1:
        lines.append(Look("all volume files lie in one folder of the tree, taken for that of one patient", [], []))
    if grown:
        named = sorted(f"{visit.subject} {visit.session}" for visit in grown)
        lines.append(
            Look("other files than when the links were made; delete the folder of links to renew it", named, [])
        )
    there = {(register.subject_of(study.patient), study.uid) for study in found.contents.studies}
    gone = sorted(f"{visit.subject} {visit.session}" for key, visit in register.visits.items() if key not in there)
    if gone:
        lines.append(Look("of an earlier run and not in this tree", gone, []))
    return lines + [Look(words, [], sorted(places)) for words, places in _notes(found)]


def text_of(look: list[Look]) -> str:
    """The same for private/look_at.txt, with the places in the tree."""
    blocks = ["\n  ".join([f"{one.words}{_named(one.scans, 10**6)}", *one.places]) for one in look]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _notes(found: Found) -> list[tuple[str, list[str]]]:
    """What of the tree was not read, or twice."""
    files, headers, times = found.files, found.headers, found.times
    cut = sorted({image.path for image in headers.images if image.cut})
    kinds = [
        (files.unreadable, "{} cannot be read", "folder"),
        (headers.unreadable, "{} cannot be read", "file"),
        (headers.damaged, "{} cannot be read: cut short or damaged", "DICOM file"),
        (cut, "{} shorter than the pixels should be", "DICOM file"),
        (headers.packed, "{} (zip and the like) not opened: unpack what you want taken", "packed file"),
        (files.linked_out, "{} out of the tree, and followed", "linked folder"),
        (files.around, "{} that holds the tree, not entered", "linked folder"),
        (files.dead_links, "{} to nowhere", "link"),
        (files.hidden, "{} not entered", "hidden folder"),
        (times.unjoined, "{} of years.tsv without years or a date, or of nothing in the tree", "row"),
        (times.misnamed, "{} called nearly as years.tsv, which is a table with tabs, and not read", "file"),
        (sorted(found.contents.copies), "{} there under several names, and taken once", "image"),
    ]
    notes = [(words.format(_count(len(places), what)), places) for places, words, what in kinds if places]
    volumes = found.contents.notes.items()
    return notes + [(f"{_count(len(places), 'file')}: {why}", places) for why, places in sorted(volumes) if places]


def _written_lines(written: Written) -> list[str]:
    lines = [f"{table} has {_count(count, 'row')}." for table, count in written.new.items()]
    lines += [f"{_count(count, 'new row')} below those of {table}." for table, count in written.below.items()]
    for table, count in written.beside.items():
        lines.append(f"{_count(count, 'row')} in {beside(table)}: move them to {table.name} by hand.")
    if written.moved:
        named = _named(sorted(written.moved)).removeprefix(": ")
        lines.append(
            f"A study before the first one moves the years and the age of patient {named}: all rows are there."
        )
    return lines or ["Nothing is new, and no table was changed."]


def _named(names: list[str], most: int = MOST_NAMED) -> str:
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f": {', '.join(names[:most])}{more}"


def _count(number: int, what: str, several: str = "") -> str:
    return f"{number:,} {what if number == 1 else several or what + 's'}"
