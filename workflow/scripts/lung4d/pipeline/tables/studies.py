"""Studies and patients of a tree: DICOM by what the headers say, volume files by their folders.

A patient's key tells by what it was known: "label sub-01" (a BIDS folder), "id 4711", "name ... born ...",
"folder ...", "study ..." or "file ..." where nothing else is there. Keys, paths and series are for `private/` alone.
"""

import hashlib
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from lung4d.convert.dicom.headers import FEWEST_SLICES
from lung4d.convert.patient_headers import age_of, contradiction, day_of, person_of
from lung4d.convert.tree.files import Progress, told
from lung4d.convert.tree.headers import Image, ImageHeader, TreeHeaders
from lung4d.convert.tree.series import TreeSeries, lung_series
from lung4d.convert.tree.volumes import TreeScan, links_of_volume, thinnest_first, volumes_of_visit
from lung4d.convert.tree.years import VisitTimes
from lung4d.convert.volumes.names import volume_suffix

# Of a folder, and of a folder or a file's name.
LABEL, SESSION = re.compile(r"(?:^|/)sub-([A-Za-z0-9]+)(?=/)"), re.compile(r"(?:^|/)ses-([A-Za-z0-9]+)(?=/)")
ANY_LABEL = re.compile(r"(?:^|[/_])sub-([A-Za-z0-9]+)(?=[/_])")
ANY_SESSION = re.compile(r"(?:^|[/_])ses-([A-Za-z0-9]+)(?=[/_.])")
BESIDE_BIDS = ("derivatives/", "sourcedata/")
DATES = ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate")
MOST_DAYS_APART = 31  # of the dates that the headers of one study tell
NO_PATIENT = "the headers have no PatientID"
TWO_DATES = "the headers of the study tell two dates"
TWO_PEOPLE = "the headers of the study name two persons"
CUT = "files of the lung series are cut short"
NO_FOLDER = "the file lies in no patient's folder"
SEVERAL_SCANS = "several scans are in this visit's folder"


@dataclass
class Study:
    """A study that gives a row. `links`: by name below the scan's folder, the file in the tree; `texts`: small files
    that are written there instead; `mask`: a mask's file in the tree; `images`: what no other study may hold too."""

    patient: str
    uid: str
    folder: str
    label: str = ""
    session_label: str = ""
    person: dict[str, str] = field(default_factory=dict)
    day: date | None = None
    years: float | None = None
    age: float | None = None
    kernel: str = ""
    links: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    mask: str = ""
    images: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def is_volume(self) -> bool:
        """A volume file, whose header can tell no date and no person."""
        return not next(iter(self.links)).endswith(".dcm")

    @property
    def mask_name(self) -> str:
        """What the link to the mask is called."""
        return f"mask{volume_suffix(Path(self.mask))}"


@dataclass
class Contents:
    """What a tree holds: studies that give a row, all series as rows for `private/series.tsv`, patient and study of
    each, what files were not taken, by sentence, and files of images that are there twice."""

    studies: list[Study] = field(default_factory=list)
    series: list[dict[str, str]] = field(default_factory=list)
    keys: set[tuple[str, str]] = field(default_factory=set)
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    copies: list[str] = field(default_factory=list)

    def note_series(self, paths: Iterable[str], study: tuple[str, str], why: str, taken: bool, **facts: str) -> None:
        folders = Counter(path.rpartition("/")[0] for path in paths)
        row = {"folder": " | ".join(sorted(folders)), "files": str(folders.total()), "taken": "yes" if taken else "no"}
        self.series.append(row | {"patient": study[0], "study": study[1], "why": why} | facts)


def find_studies(root: Path, headers: TreeHeaders, times: VisitTimes, key: bytes, progress: Progress) -> Contents:
    """All studies of a tree; `key` gives the names of links an order that is not that of the tree, and `progress` is
    told of the studies."""
    contents = Contents()
    images, volumes = headers.images, headers.volumes
    if any(path.startswith("sub-") for path in volumes):  # what BIDS keeps beside its scans are the same again
        beside = {path for path in [*volumes, *(image.path for image in images)] if path.startswith(BESIDE_BIDS)}
        contents.notes["in derivatives or sourcedata of a BIDS folder, and not taken"] = sorted(beside)
        images = [image for image in images if image.path not in beside]
        volumes = [path for path in volumes if path not in beside]
    for study, of_study in told(_by_study(images).items(), "studies", progress):
        contents.keys.add(study)
        _add_dicom(contents, study, of_study, key)
    with_dicom = {image.path.partition("/")[0] for image in images if image.own[-1] is not None}
    _add_volumes(contents, root, volumes, with_dicom, times, progress)
    return contents


def printable(text: str) -> str:
    """`text` without line ends and other control characters, which names of folders may hold."""
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", text)


# DICOM


def _by_study(images: list[Image]) -> dict[tuple[str, str], list[Image]]:
    """Images by (patient, study). Without a UID, and where an export gave nearly each image a study of its own, a study
    is a date."""
    people: dict[int, dict[str, str]] = {}
    studies: dict[tuple[str, str], list[Image]] = defaultdict(list)
    for image in images:
        person = people.setdefault(id(image.shared), person_of(image.shared))
        day = image.shared.get("StudyDate")
        uid = image.shared.get("StudyInstanceUID") or (f"date {day}" if day else "")
        studies[_patient_of(image, person), str(uid)].append(image)
    days: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for study, found in studies.items():
        days[study[0], str(found[0].shared.get("StudyDate", ""))].append(study)
    for (patient, day), of_day in days.items():
        if len(of_day) >= FEWEST_SLICES and sum(len(studies[study]) for study in of_day) < 2 * len(of_day):
            studies[patient, f"date {day}"] = [image for study in of_day for image in studies.pop(study)]
    return studies


def _patient_of(image: Image, person: dict[str, str]) -> str:
    if match := LABEL.search(image.path):
        return f"label {printable(image.path[: match.end()])}"
    if "id" in person:
        return f"id {printable(person['id'])}"
    if "name" in person and "birth" in person:
        return f"name {person['name']} born {person['birth']}"
    folder, _, below = image.path.partition("/")
    return f"folder {printable(folder)}" if below else f"study {image.shared.get('StudyInstanceUID', '')}"


def _add_dicom(contents: Contents, study: tuple[str, str], images: list[Image], key: bytes) -> None:
    chosen, series = lung_series(images)
    for one in series:
        contents.note_series((image.path for image in one.images), study, one.why, one.taken, **_facts(one))
    if not chosen:
        return
    own = _own_images(images, contents.copies)
    first = chosen[0].shared
    person, doubts = _person_of(images)
    day, more = _day_of(images, chosen)
    doubts += more
    if any(image.cut for image in chosen):
        doubts.append(CUT)
    if study[0].startswith(("folder ", "study ")):
        doubts.append(NO_PATIENT)
    folder = os.path.commonpath({image.path.rpartition("/")[0] for image in chosen})
    label, session = LABEL.search(f"{folder}/"), SESSION.search(f"{folder}/")
    in_order = sorted(own, key=lambda path: hashlib.blake2b(os.fsencode(path), key=key).digest())
    contents.studies.append(
        Study(
            *study, folder, label[1] if label else "", session[1] if session and label else "", person, day,
            age=next((age for image in chosen if (age := age_of(image.shared.get("PatientAge"))) is not None), None),
            kernel=_kernel(first), links={sys.intern(f"{n:06d}.dcm"): path for n, path in enumerate(in_order, start=1)},
            images=sorted(set(own.values())), doubts=doubts,
        )
    )  # fmt: skip


def _own_images(images: list[Image], copies: list[str]) -> dict[str, str]:
    """The files of a study's images, each with the UID of its image; a second file of an image goes into `copies`."""
    files: dict[str, str] = {}
    first: dict[tuple, str] = {}
    for image in images:
        if image.own[-1] is None:  # no place in space
            continue
        if image.own[0] and first.setdefault((id(image.shared), image.own), image.path) != image.path:
            copies.append(image.path)
        else:
            files[image.path] = image.own[0].partition("/")[0] if image.own[0] else image.path
    return files


def _person_of(images: list[Image]) -> tuple[dict[str, str], list[str]]:
    """Whom most images name, and a doubt where others contradict them."""
    counts = Counter(id(image.shared) for image in images)
    headers = {id(image.shared): image.shared for image in images}
    people: Counter[tuple] = Counter()
    for number, count in counts.items():
        people[tuple(person_of(headers[number]).items())] += count
    (main, _), *others = people.most_common()
    person = dict(main)
    return person, [TWO_PEOPLE] if any(contradiction(person, dict(other)) for other, _ in others) else []


def _day_of(images: list[Image], chosen: list[Image]) -> tuple[date | None, list[str]]:
    """The day of a study, and a doubt where its headers tell days far apart."""
    headers = {id(image.shared): image.shared for image in images}.values()
    first = chosen[0].shared
    days = [day for name in DATES if (day := day_of(first.get(name)))]
    of_studies = [day for header in headers if (day := day_of(header.get("StudyDate")))]
    told = [*of_studies, *(day for name in DATES[:2] if (day := day_of(first.get(name))))]
    two = _days_apart(of_studies) > 1 or _days_apart(told) > MOST_DAYS_APART  # a study may last over midnight
    return days[0] if days else None, [TWO_DATES] if two else []


def _days_apart(days: list[date]) -> int:
    return (max(days) - min(days)).days if days else 0


def _kernel(shared: dict[str, Any]) -> str:
    kernel = shared.get("ConvolutionKernel") or ""
    text = kernel if isinstance(kernel, str) else " ".join(map(str, kernel))
    return re.sub(r"[^\w.+/-]+", " ", text, flags=re.ASCII).strip()[:64]


def _facts(series: TreeSeries) -> dict[str, str]:
    """Columns of `private/series.tsv` that tell a series."""
    header = ImageHeader(series.images[0])
    names = {"modality": "Modality", "number": "SeriesNumber", "description": "SeriesDescription"}
    facts = {column: str(header.get(name, "")) for column, name in names.items()}
    return facts | {"kernel": _kernel(series.images[0].shared)}


# Volume files


def _add_volumes(
    contents: Contents, root: Path, volumes: list[str], with_dicom: set[str], times: VisitTimes, progress: Progress
) -> None:
    visits: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in volumes:
        if path.partition("/")[0] in with_dicom:
            contents.notes["beside DICOM files, and not taken"].append(path)
        else:
            visits[_visit_of(path)].append(path)
    for (patient, visit), paths in told(visits.items(), "visits", progress):
        found = volumes_of_visit(root, sorted(paths))
        for path, why in found.others.items():
            contents.notes[why].append(path)
            contents.note_series([path], (patient, visit), why, False)
        if not found.scans:
            continue
        first, *more = thinnest_first(root, found.scans) if visit else found.scans
        _add_scan(contents, root, (patient, visit or printable(first.path)), first, times)
        for scan in more:
            if visit:
                contents.note_series([scan.path], (patient, visit), SEVERAL_SCANS, False)
                contents.studies[-1].doubts = [SEVERAL_SCANS]
            else:
                _add_scan(contents, root, (patient, printable(scan.path)), scan, times)


def _visit_of(path: str) -> tuple[str, str]:
    """(patient, visit) of a volume file: BIDS labels, or its first and second folder. The visit is "" where each scan
    is one: in the patient's own folder; the patient is "file" where the tree has no folder for it."""
    label, session = ANY_LABEL.search(path), ANY_SESSION.search(path)
    if label:
        return f"label {printable(path[: label.end()])}", f"ses-{session[1]}" if session else ""
    *folders, _ = printable(path).split("/")
    return (f"folder {folders[0]}" if folders else "file"), "/".join(folders[:2]) if len(folders) > 1 else ""


def _add_scan(contents: Contents, root: Path, study: tuple[str, str], scan: TreeScan, times: VisitTimes) -> None:
    """Add the study of a volume file, with what the small tables of the tree say of it."""
    patient, uid = study if study[0] != "file" else (f"file {printable(scan.path)}", study[1])
    label = patient.rpartition("sub-")[2] if patient.startswith("label ") else ""
    session = uid.removeprefix("ses-") if label and uid.startswith("ses-") else ""
    contents.keys.add((patient, uid))
    contents.note_series([scan.path], (patient, uid), "taken: a scan", True)
    found = Study(patient, uid, str(PurePosixPath(scan.path).parent), label, session, mask=scan.mask)
    place = patient.removeprefix("label ")
    time = times.of(scan.path, place, session)
    found.day, found.years = (time, None) if isinstance(time, date) else (None, time)
    age, sex = times.people.get(place, ("", ""))
    found.age = float(age) if re.fullmatch(r"\d{1,3}(\.\d+)?", age) else None
    if (letter := sex.strip().upper()[:1]) in ("M", "F"):
        found.person["sex"] = letter
    if patient.startswith("file "):
        found.doubts.append(NO_FOLDER)
    found.links, found.texts = links_of_volume(root, scan.path)
    found.images.append(_digest(root / scan.path))
    contents.studies.append(found)


def _digest(path: Path) -> str:
    """Of a file's length, beginning and end: two scans that share it are one."""
    size, most = path.stat().st_size, 2**16
    with path.open("rb") as stream:
        digest = hashlib.sha256(f"{size} ".encode() + stream.read(most))
        stream.seek(max(0, size - most))
        digest.update(stream.read(most))
    return digest.hexdigest()
