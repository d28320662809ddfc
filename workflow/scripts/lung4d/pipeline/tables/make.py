"""The target `tables`: from a tree of files to config/scans.tsv, config/participants.tsv and `private/`."""

import os
import secrets
from datetime import date
from pathlib import Path

from lung4d.convert.tree.files import Progress, told, walk_tree
from lung4d.convert.tree.headers import read_headers
from lung4d.convert.tree.years import read_visit_times
from lung4d.pipeline import private
from lung4d.pipeline.private import IDENTITY, MARK, PRIVATE, SCANS, VISITS, Staging, table_text
from lung4d.pipeline.tables.doubts import drop_impossible_dates, find_doubts
from lung4d.pipeline.tables.pseudonyms import LETTERS, KnownVisit, Register
from lung4d.pipeline.tables.rows import MASKS, participant_rows, scan_rows
from lung4d.pipeline.tables.studies import Contents, Study, find_studies
from lung4d.pipeline.tables.words import Found, all_lines, look_lines, nothing_words, text_of
from lung4d.pipeline.tables.writing import Refused, write_tables

SERIES_COLUMNS = [
    "subject", "session", "folder", "files", "modality", "number", "description", "kernel", "taken", "why", "patient",
    "study",
]  # fmt: skip


def make_tables(tree: Path, folder: Path, processes: int, today: date, progress: Progress) -> list[str]:
    """Make the tables of the files below `tree` in the working `folder`, and return what to say on a terminal.

    Nothing is written into the tree. Until all is read, nothing is written at all. Raises Refused.
    """
    _check_places(tree, folder)
    if (folder / PRIVATE).is_dir():
        with private.alone(folder):
            private.finish(folder)
    if problems := private.private_problems(folder):
        raise Refused(problems[0])
    files = walk_tree(tree, folder)
    headers = read_headers(tree, files.files, processes, progress)
    times = read_visit_times(tree, files.files)
    found = Found(files, headers, times, find_studies(tree, headers, times, secrets.token_bytes(32), progress))
    if not found.contents.studies and not (folder / VISITS).is_file():
        raise Refused(nothing_words(found))
    private.make_private(folder)
    (folder / PRIVATE).chmod(0o700)
    with private.alone(folder):
        try:
            return _write_all(Path(os.path.realpath(tree)), folder, found, today, progress)
        finally:
            private.finish(folder)


def _check_places(tree: Path, folder: Path) -> None:
    try:
        there, is_folder = tree.exists(), tree.is_dir()
    except OSError as error:  # a folder above it that may not be entered, or a name that is too long
        raise Refused(f"The tree cannot be reached: {os.strerror(error.errno or 0)}.") from None
    if not is_folder:
        what = "is a file: give the folder that it lies in" if there else "is not there: give a folder"
        raise Refused(f"The tree {what}, as --config tree=/path/to/tree.")
    if not os.access(tree, os.R_OK | os.X_OK):
        raise Refused("The tree cannot be read: ask its owner for the permission.")
    if folder.resolve().is_relative_to(tree.resolve()):
        raise Refused(
            "The working folder lies in the tree, into which nothing is written: give another one with --directory."
        )


def _write_all(tree: Path, folder: Path, found: Found, today: date, progress: Progress) -> list[str]:
    """Name patients and studies, ask what is doubtful, and write everything at once."""
    studies, register = found.contents.studies, Register(folder)
    drop_impossible_dates(studies, today)
    register.name(studies)
    known = {key: patient.person for key, patient in register.patients.items()}
    for key, person in find_doubts(studies, known, register.subject_of).items():
        register.patients[key].person = person
    staging = Staging(folder)
    rows, people = scan_rows(studies, register), participant_rows(studies, register)
    written = write_tables(staging, register, rows, people)
    grown: list[KnownVisit] = []
    for study in told(studies, "folders of links", progress):
        grown += _link(staging, tree, study, register)
    look = look_lines(found, register, grown)
    for path, text in register.texts().items():
        staging.write(path, text)
    staging.write(PRIVATE / "series.tsv", _series_text(found.contents, register))
    staging.write(PRIVATE / "look_at.txt", text_of(look))
    mark = private.text_of_file(folder / IDENTITY) or "".join(secrets.choice(LETTERS) for _ in range(24))
    for path in (IDENTITY, MARK):
        staging.write(path, f"{mark}\n")
    staging.commit()
    return all_lines(found, rows, written, look)


def _link(staging: Staging, tree: Path, study: Study, register: Register) -> list[KnownVisit]:
    """Make the folders of links of a study, where they are not there; a visit that has more files now is returned."""
    visit = register.visit_of(study)
    name = f"sub-{visit.subject}/ses-{visit.session}"
    place = staging.make_folder(SCANS / name)
    if place is None:
        return [visit] if visit.files != len(study.links) else []
    visit.files = len(study.links)
    for link, target in study.links.items():
        (place / link).symlink_to(tree / target)
    for file, text in study.texts.items():
        (place / file).write_text(text, encoding="latin-1", newline="")
    if study.mask and (masks := staging.make_folder(MASKS / name)) is not None:
        (masks / study.mask_name).symlink_to(tree / study.mask)
    return []


def _series_text(contents: Contents, register: Register) -> str:
    """The table of all series, by folder, with the names of those that gave a row."""
    rows = []
    for series in contents.series:
        patient = register.patients.get(series["patient"])
        visit = register.visits.get((patient.subject, series["study"])) if patient else None
        names = {"subject": patient.subject if patient else "", "session": visit.session if visit else ""}
        rows.append(series | names)
    return table_text(SERIES_COLUMNS, sorted(rows, key=lambda row: (row["folder"], row["why"], row["study"])))
