"""Trees as hospitals really deliver them, and what the target `tables` makes of each: the cases of test_trees.py."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from helpers.tree_files import FIRST, SECOND, SLICES, uid_of, write_dicom, write_study, write_volume

LATER = {"StudyDate": "20140406"}


@dataclass(frozen=True)
class TreeCase:
    """`words` for a table, `write` makes the tree in an empty folder. `rows`: how many rows scans.tsv has, of how many
    `patients`, and how many of them are left out; `said`: parts of what is said; `refused`: part of the refusal."""

    words: str
    write: Callable[[Path], object]
    rows: int = 0
    patients: int = 0
    excluded: int = 0
    said: tuple[str, ...] = ()
    refused: str = ""


TREES: list[TreeCase] = []


def tree(words: str, **expected):
    """Add the decorated writer to TREES."""

    def add(write: Callable[[Path], object]) -> Callable[[Path], object]:
        TREES.append(TreeCase(words, write, **expected))
        return write

    return add


def two_visits(root: Path, first: dict | None = None, second: dict | None = None) -> None:
    """Two studies of one patient, a year apart, in folders that number nothing."""
    write_dicom(root / "a" / "x", {**FIRST, **(first or {})})
    write_dicom(root / "a" / "y", {**FIRST, **LATER, **(second or {})})


# What is there


@tree(
    "two patients with a localiser, a lung and a soft kernel in each study", rows=3, patients=2,
    said=("78 files, 9 series, 3 studies of 2 patients: 3 lung series taken. 1 patient has one visit.",),
)  # fmt: skip
def plain(root):
    write_study(root / "a" / "x", FIRST)
    write_study(root / "a" / "y", FIRST | LATER)
    write_study(root / "b" / "z", SECOND)


@tree("an empty folder", refused="0 files, 0 series, 0 studies of 0 patients: 0 lung series taken. No table was made.")
def empty(root):
    pass


@tree("one file", refused="1 file, 1 series, 1 study of 1 patient: 0 lung series taken. No table was made.")
def one_file(root):
    write_dicom(root, FIRST, slices=1)


@tree("magnetic resonance alone", refused="0 lung series taken. No table was made.")
def no_ct(root):
    write_dicom(root / "a", FIRST | {"Modality": "MR"})


@tree("a localiser and a reformat alone", refused="2 series, 1 study of 1 patient: 0 lung series taken.")
def no_lung_series(root):
    write_dicom(root / "a", FIRST | {"SeriesNumber": 1, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, slices=2)
    write_dicom(root / "b", FIRST | {"SeriesNumber": 2, "ImageType": ["DERIVED", "SECONDARY", "MPR"]})


@tree("reports, PDFs and pictures alone", refused="4 files, 1 series")
def reports_alone(root):
    report(root / "report", FIRST)
    for name in ("letter.pdf", "photo.jpg", "notes"):
        (root / name).write_bytes(b"%PDF-1.4 Planted")


def report(path: Path, tags: dict) -> None:
    """A DICOM file without an image."""
    erased = dict.fromkeys(["PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns"])
    write_dicom(path.parent, tags | erased | {"Modality": "SR", "SeriesNumber": 9}, slices=1, name=path.name)


@tree("all files in one folder", rows=3, patients=2)
def flat(root):
    for number, tags in enumerate((FIRST, FIRST | LATER, SECOND)):
        write_dicom(root, tags, name=f"I{number}{{:03d}}")


@tree("names without extension, with spaces, umlauts, line ends, points and bytes that are no text", rows=1, patients=1)
def strange_names(root):
    places = [
        "Müller, Jörg (2)",
        "two\nlines",
        "carriage\rreturn",
        "..planted",
        "tab\there",
        "a..b",
        "{braces}",
        "'quotes\"",
    ]
    for number in range(SLICES):
        source = write_dicom(root.parent / "all", FIRST, name="{}")
        place = root / places[number % len(places)] / "IM 1"
        place.mkdir(parents=True, exist_ok=True)
        (source / f"{number}").rename(place / f"é {number}")
    (root / "two\nlines").rename(Path(f"{root}/two\nlines \udcff"))


@tree("copies of a study in two folders", rows=1, patients=1, said=("12 images there under several names",))
def copies(root):
    write_dicom(root / "a", FIRST)
    write_dicom(root / "export of a", FIRST)


@tree("several series in one folder, under one name each", rows=1, patients=1)
def mixed_folder(root):
    for number, kernel in ((2, "B70f"), (3, "B30f"), (4, "B60f")):
        write_dicom(root, FIRST | {"SeriesNumber": number, "ConvolutionKernel": kernel}, name=f"{{:03d}}-{number}")


# Links


@tree("a link to the folder above, in a circle", rows=1, patients=1)
def circle(root):
    write_dicom(root / "a" / "b", FIRST)
    (root / "a" / "b" / "up").symlink_to("..")
    (root / "a" / "self").symlink_to("self")


@tree("a link to a folder that holds the tree", rows=1, patients=1,
      said=("1 linked folder that holds the tree, not entered",))  # fmt: skip
def holds_the_tree(root):
    write_dicom(root / "a", FIRST)
    write_dicom(root.parent / "other", SECOND)
    (root / "all").symlink_to(root.parent)


@tree("a folder of links to files and one that is a link, both out of the tree", rows=2, patients=2,
      said=("1 linked folder out of the tree, and followed",))  # fmt: skip
def linked_out(root):
    outside = root.parent / "archive"
    write_dicom(outside / "1", FIRST), write_dicom(outside / "2", SECOND)
    (root / "files").mkdir(parents=True)
    for file in (outside / "1").iterdir():
        (root / "files" / file.name).symlink_to(file)
    (root / "folder").symlink_to(outside / "2")


@tree("links within the tree to folders that are in it", rows=1, patients=1)
def linked_in(root):
    write_dicom(root / "archive" / "1", FIRST)
    (root / "by patient").mkdir()
    (root / "by patient" / "1").symlink_to("../archive/1")


@tree("links to nowhere", rows=1, patients=1, said=("1 link to nowhere",))
def dead_link(root):
    write_dicom(root / "a", FIRST)
    (root / "a" / "gone").symlink_to("nowhere")


@tree("a hidden folder with a second copy", rows=1, patients=1, said=("1 hidden folder not entered",))
def hidden(root):
    write_dicom(root / "a", FIRST)
    write_dicom(root / ".snapshot" / "a", FIRST)


# Files that are no slices


@tree("zips, a DICOMDIR, reports, PDFs and empty files beside the slices", rows=1, patients=1,
      said=("1 packed file (zip and the like) not opened",))  # fmt: skip
def strangers(root):
    write_dicom(root / "a", FIRST)
    report(root / "a" / "dose.dcm", FIRST)
    with zipfile.ZipFile(root / "more.zip", "w") as bundle:
        bundle.writestr("Planted/1.dcm", b"x")
    kind = b"1.2.840.10008.1.3.10"
    (root / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\2\0UI" + bytes([len(kind), 0]) + kind)
    (root / "letter.pdf").write_bytes(b"%PDF")
    (root / "a" / "empty.dcm").write_bytes(b"")


@tree("packed files of other kinds, and one without a suffix", rows=1, patients=1, said=("4 packed files",))
def packed(root):
    write_dicom(root / "a", FIRST)
    for name, start in (("1.dcm.gz", b"\x1f\x8b"), ("2.tar.bz2", b"BZh9"), ("3.tar.xz", b"\xfd7zXZ"), ("4", b"PK\3\4")):
        (root / name).write_bytes(start + bytes(300))


@tree("zips alone", refused="1 packed file (zip and the like) not opened")
def zips_alone(root):
    (root / "planted.zip").write_bytes(b"PK\3\4")


@tree("slices cut within the first 132 bytes, to nothing even", refused="3 DICOM files cannot be read: cut short")
def cut_at_once(root):
    for length, file in zip((0, 100, 131), sorted(write_dicom(root / "a", FIRST).iterdir()), strict=False):
        file.write_bytes(file.read_bytes()[:length])


@tree("slices whose pixels are cut short", rows=1, patients=1, excluded=1,
      said=("files of the lung series are cut short", "2 DICOM files shorter than the pixels should be"))  # fmt: skip
def cut_pixels(root):
    for file in sorted(write_dicom(root / "a", FIRST).iterdir())[:2]:
        file.write_bytes(file.read_bytes()[:-60])


@tree("slices that are cut within the header", rows=1, patients=1,
      said=("2 DICOM files cannot be read: cut short or damaged",))  # fmt: skip
def cut_headers(root):
    for file in sorted(write_dicom(root / "a", FIRST).iterdir())[:2]:
        file.write_bytes(file.read_bytes()[:200])


# Who it is


@tree("PatientID empty, with name and birth date", rows=2, patients=1)
def no_id(root):
    two_visits(root, {"PatientID": ""}, {"PatientID": None})


@tree("no PatientID, name or birth date: the folder is asked", rows=2, patients=2, excluded=2,
      said=("the headers have no PatientID",))  # fmt: skip
def nobody(root):
    nothing = {"PatientID": "", "PatientName": "", "PatientBirthDate": ""}
    write_dicom(root / "planted a", FIRST | nothing | {"StudyInstanceUID": uid_of("s", 1)})
    write_dicom(root / "planted b", FIRST | nothing | LATER | {"StudyInstanceUID": uid_of("s", 2)})


@tree("PatientID 0 for everybody", rows=2, patients=2)
def zero_id(root):
    for number, tags in enumerate((FIRST, SECOND)):
        write_dicom(root / str(number), tags | {"PatientID": "0", "StudyInstanceUID": uid_of("s", number)})


@tree("PatientID and name ANONYMOUS for everybody", rows=2, patients=2, excluded=2)
def anonymous(root):
    for number, day in enumerate(("20130405", "20140405")):
        same = {
            "PatientID": "ANONYMOUS",
            "PatientName": "Anonymized^",
            "PatientBirthDate": "19000101",
            "StudyDate": day,
        }
        write_dicom(root / f"p{number}", FIRST | same)


@tree("words of several languages for not known, for everybody", rows=12, patients=12, excluded=12,
      said=("the headers have no PatientID",))  # fmt: skip
def not_known(root):
    words = ["Anonymous^Patient", "UNKNOWN PATIENT", "N.N.", "n/a", "No^Name", "Desconhecido", "Sconosciuta",
             "inconnue", "anonymisé", "redacted", "Test^Patient", "XXXX"]  # fmt: skip
    for number, word in enumerate(words):
        same = {"PatientID": word, "PatientName": word, "PatientBirthDate": "19000101"}
        write_dicom(root / f"p{number}", FIRST | same | {"StudyDate": f"201304{number + 1:02d}"})


@tree("numbers that an anonymiser gave", rows=8, patients=8)
def numbered(root):
    for number, word in enumerate(
        ("ANON001", "ANON002", "Anonymous_12", "Patient 3", "Patient 9", "Test01", "9", "99")
    ):
        same = {"PatientID": word, "PatientName": "Anonymous", "PatientBirthDate": ""}
        write_dicom(root / f"p{number}", FIRST | same | {"StudyDate": f"201304{number + 1:02d}"})


@tree("PatientID of 64 characters", rows=2, patients=1)
def long_id(root):
    two_visits(root, {"PatientID": "PLANTED" + "7" * 57}, {"PatientID": "PLANTED" + "7" * 57})


@tree("a name for PatientID", rows=2, patients=1)
def name_for_id(root):
    two_visits(root, {"PatientID": "Planted^First^^Dr."}, {"PatientID": "Planted^First^^Dr. "})


@tree("one PatientID with two birth dates: the odd one of three studies", rows=4, patients=2, excluded=1,
      said=("one PatientID has two birth dates; its name and birth date are those of patient",))  # fmt: skip
def swapped(root):
    two_visits(root)
    write_dicom(root / "b", SECOND)
    stranger = {key: SECOND[key] for key in ("PatientName", "PatientBirthDate", "PatientSex")}
    write_dicom(root / "a" / "z", FIRST | stranger | {"StudyDate": "20150407"})


@tree("a study in the folder of another patient", rows=6, patients=2, excluded=1,
      said=("it lies in the folder of another patient",))  # fmt: skip
def wrong_folder(root):
    for number in range(3):
        write_dicom(root / "p" / f"x{number}", FIRST | {"StudyDate": f"2013040{number + 1}"})
        place = "p" if number == 1 else "q"
        write_dicom(root / place / f"y{number}", SECOND | {"StudyDate": f"2014040{number + 1}"})


@tree("one PatientID with two birth dates: one of two studies", rows=2, patients=1, excluded=2,
      said=("one PatientID has two birth dates",))  # fmt: skip
def two_birth_dates(root):
    two_visits(root, {}, {"PatientBirthDate": "19411231"})


@tree("one PatientID with two names and no birth date", rows=2, patients=1, excluded=2,
      said=("one PatientID has two names",))  # fmt: skip
def two_names(root):
    two_visits(root, {"PatientBirthDate": None}, {"PatientBirthDate": None, "PatientName": "Planted^Other"})


@tree("a name changed by marriage", rows=2, patients=1, said=("patients with two names, each taken for one patient",))
def married(root):
    two_visits(root, {}, {"PatientName": "Planted-Wed^First"})


@tree("the same name written in several ways", rows=2, patients=1)
def spelled(root):
    two_visits(root, {"PatientName": "PLÄNTED^FIRST"}, {"PatientName": "First Plänted"})


@tree("two PatientIDs with one name and birth date", rows=2, patients=2, excluded=2,
      said=("two PatientIDs have one name and birth date",))  # fmt: skip
def renamed(root):
    two_visits(root, {}, {"PatientID": "PLANTED-77"})


@tree("one series that names two persons", rows=1, patients=1, excluded=1,
      said=("the headers of the study name two persons",))  # fmt: skip
def two_in_a_study(root):
    write_study(root / "b", FIRST)
    write_dicom(root / "c", FIRST | {"PatientBirthDate": "19410302", "SeriesNumber": 4})


@tree("folders of years, in which patients lie side by side", rows=7, patients=3)
def years_as_folders(root):
    for day in ("a20130101", "a20130601", "a20140601", "b20140101", "b20140301", "c20130303", "c20150303"):
        tags = {"PatientID": f"PLANTED-{day[0]}", "PatientName": f"Planted^{day[0]}", "PatientBirthDate": ""}
        write_dicom(root / day[1:5] / day, FIRST | tags | {"StudyDate": day[1:]})


# When it was


@tree("empty dates", rows=2, patients=1, excluded=1, said=("the headers have no date",))
def no_date(root):
    two_visits(root, {}, {"StudyDate": "", "StudyInstanceUID": uid_of("none")})


@tree("dates that are none", rows=2, patients=1, excluded=1, said=("the headers have no date",))
def wrong_date(root):
    two_visits(root, {}, {"StudyDate": "20139999"})


@tree("one date in all headers", rows=3, patients=2, excluded=3, said=("all studies of the tree have one date",))
def one_date(root):
    two_visits(root, {}, {"StudyDate": FIRST["StudyDate"], "StudyInstanceUID": uid_of("other")})
    write_dicom(root / "b", SECOND | {"StudyDate": FIRST["StudyDate"]})


@tree("two studies of a patient on one day", rows=3, patients=2, excluded=2,
      said=("two studies of the patient are on one day",))  # fmt: skip
def one_day(root):
    two_visits(root, {}, {"StudyDate": FIRST["StudyDate"], "StudyInstanceUID": uid_of("other")})
    write_dicom(root / "b", SECOND)


@tree("a date in the future", rows=2, patients=1, excluded=1, said=("the study date is in the future",))
def future(root):
    two_visits(root, {}, {"StudyDate": "20620304"})


@tree("a date that stands for not known", rows=2, patients=1, excluded=1,
      said=("the study date is from before chests were scanned",))  # fmt: skip
def placeholder(root):
    two_visits(root, {"StudyDate": "19000101"})


@tree("a study before the birth", rows=1, patients=1, excluded=1, said=("the study date is before the birth date",))
def unborn(root):
    write_dicom(root, FIRST | {"PatientBirthDate": "20160101"})


@tree("visits numbered against their dates", rows=2, patients=1, excluded=2, said=("visits are numbered against",))
def backward(root):
    write_dicom(root / "a" / "visit 1", FIRST | {"StudyDate": "20150101"})
    write_dicom(root / "a" / "visit 2", FIRST | {"StudyDate": "20140101"})


@tree("a patient who becomes younger", rows=2, patients=1, excluded=2, said=("the patient is younger at a later date",))
def younger(root):
    two_visits(root, {"PatientBirthDate": "", "PatientAge": "072Y"}, {"PatientBirthDate": "", "PatientAge": "065Y"})


@tree("an age that birth date and study date contradict", rows=1, patients=1, excluded=1,
      said=("age, birth date and study date contradict each other",))  # fmt: skip
def wrong_age(root):
    write_dicom(root, FIRST | {"PatientAge": "060Y"})


@tree("months and years as names of folders", rows=3, patients=1)
def months_and_years(root):
    for name, day in (("month 6", "20130601"), ("year 1", "20140101"), ("year 2", "20150101")):
        write_dicom(root / "a" / name, FIRST | {"StudyDate": day})


@tree("one age at two visits ten years apart", rows=2, patients=1, excluded=2,
      said=("the ages of the patient contradict the study dates",))  # fmt: skip
def age_stands_still(root):
    age = {"PatientBirthDate": "", "PatientAge": "067Y"}
    two_visits(root, age, age | {"StudyDate": "20230405"})


@tree("a study over midnight", rows=1, patients=1)
def midnight(root):
    same = FIRST | {"StudyInstanceUID": uid_of("night")}
    write_dicom(root / "a", same)
    write_dicom(root / "b", same | {"StudyDate": "20130406", "SeriesNumber": 3})


@tree("one study UID for two visits twenty days apart", rows=1, patients=1, excluded=1,
      said=("the headers of the study tell two dates",))  # fmt: skip
def visits_with_one_uid(root):
    same = {"StudyInstanceUID": uid_of("one")}
    two_visits(root, same, same | {"StudyDate": "20130425"})


@tree("two visits without study UIDs", rows=2, patients=1)
def visits_without_uid(root):
    two_visits(root, {"StudyInstanceUID": None}, {"StudyInstanceUID": None})


@tree("a study whose headers tell two dates", rows=1, patients=1, excluded=1,
      said=("the headers of the study tell two dates",))  # fmt: skip
def two_dates(root):
    write_dicom(root, FIRST | {"AcquisitionDate": "20150101"})


@tree("ages such as 010D, 003W and 999Y", rows=4, patients=4)
def odd_ages(root):
    for number, age in enumerate(("010D", "003W", "999Y", "000D")):
        tags = {"PatientID": f"PLANTED-{number}", "PatientName": f"Planted^{number}", "PatientBirthDate": ""}
        write_dicom(root / f"{number}", FIRST | tags | {"PatientAge": age, "StudyDate": f"2013040{number + 1}"})


@tree("ages such as 067Y and 018M", rows=2, patients=2)
def ages(root):
    write_dicom(root / "a", FIRST | {"PatientBirthDate": "", "PatientAge": "067Y"})
    write_dicom(root / "b", SECOND | {"PatientBirthDate": "", "PatientAge": "018M"})


# UIDs


@tree("two series of two studies with one UID", rows=2, patients=1)
def one_series_uid(root):
    two_visits(root, {"SeriesInstanceUID": uid_of("same")}, {"SeriesInstanceUID": uid_of("same")})


@tree("the same images in two studies of a patient", rows=2, patients=1, excluded=2,
      said=("an image of it is in another study too",))  # fmt: skip
def one_image(root):
    two_visits(root, {"SOPInstanceUID": uid_of("image")}, {"SOPInstanceUID": uid_of("image")})


@tree("one study UID for two patients", rows=2, patients=2, excluded=2,
      said=("its study UID is that of another patient's study too",))  # fmt: skip
def one_study_uid(root):
    for number, tags in enumerate((FIRST, SECOND)):
        same = {"StudyInstanceUID": uid_of("study"), "SeriesInstanceUID": uid_of("series", number)}
        write_dicom(root / str(number), tags | same)


@tree("a study UID of its own for each slice", rows=1, patients=1)
def torn_study(root):
    for number in range(SLICES):
        one = FIRST | {"StudyInstanceUID": uid_of("s", number), "SeriesInstanceUID": uid_of("one")}
        source = write_dicom(root.parent / "all", one)
        (source / f"{number:03d}.dcm").rename(root / f"{number}.dcm")


@tree("series and studies without any UID", rows=1, patients=1)
def no_uid(root):
    write_dicom(root / "a", FIRST | dict.fromkeys(["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]))


# Labels and volume files


@tree("DICOM in a BIDS folder", rows=2, patients=1)
def bids_dicom(root):
    write_dicom(root / "sub-P01" / "ses-first" / "ct", FIRST)
    write_dicom(root / "sub-P01" / "ses-second" / "ct", FIRST | LATER)


@tree("NIfTI in a BIDS folder, with years in sessions.tsv and ages in participants.tsv", rows=2, patients=1)
def bids(root):
    for number, session in enumerate(("a", "b")):
        write_volume(root / f"sub-07/ses-{session}/ct/sub-07_ses-{session}_ct.nii.gz", seed=number)
    (root / "sub-07" / "sub-07_sessions.tsv").write_text("session_id\tacq_time\nses-a\t2013-04-05\nses-b\t2014-04-05\n")
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-07\t67\tF\n")


@tree("BIDS whose sessions are numbered against their years", rows=2, patients=1, excluded=2,
      said=("visits are numbered against their dates",))  # fmt: skip
def bids_backward(root):
    for session in ("01", "02"):
        write_volume(root / f"sub-07/ses-{session}/ct/sub-07_ses-{session}_ct.nii.gz", seed=int(session))
    (root / "sub-07" / "sub-07_sessions.tsv").write_text("session_id\tyears\nses-01\t2\nses-02\t0\n")


@tree("BIDS with the times of scans in scans.tsv", rows=2, patients=1)
def bids_scans(root):
    for session in ("1", "2"):
        write_volume(root / f"sub-07/ses-{session}/ct/sub-07_ses-{session}_ct.nii.gz", seed=int(session))
        table = f"filename\tacq_time\nct/sub-07_ses-{session}_ct.nii.gz\t201{session}-01-01T08:00:00\n"
        (root / f"sub-07/ses-{session}/sub-07_ses-{session}_scans.tsv").write_text(table)


@tree("BIDS whose dates were moved before 1925", rows=2, patients=1)
def bids_moved(root):
    for session in ("1", "2"):
        write_volume(root / f"sub-07/ses-{session}/ct/sub-07_ses-{session}_ct.nii.gz", seed=int(session))
    (root / "sub-07" / "sub-07_sessions.tsv").write_text("session_id\tacq_time\nses-1\t1897-01-01\nses-2\t1899-01-01\n")


@tree(
    "years.tsv with paths and numbers as people write them, and rows of nothing",
    rows=3,
    patients=1,
    said=(
        "2 rows of years.tsv without years or a date, or of nothing in the tree",
        "1 file called nearly as years.tsv",
    ),
)
def years_as_written(root):
    for number in range(3):
        write_volume(root / "p" / f"v{number}" / "scan.nii.gz", seed=number)
    rows = ["Path\tYears", "./p/v0\t0", "p\\v1\t1,5", "p/v2/\t2.0", "p/v7\t3", "p/v2/scan.nii.gz\tlater"]
    (root / "years.tsv").write_text("\n".join(rows) + "\n")
    (root / "Years.csv").write_text("path,years\n")


@tree("two scans of a patient with the same years", rows=2, patients=1, excluded=2,
      said=("two studies of the patient are on one day",))  # fmt: skip
def same_years(root):
    for number in range(2):
        write_volume(root / "p" / f"v{number}" / "scan.nii.gz", seed=number)
    (root / "years.tsv").write_text("path\tyears\np\t1\n")


@tree("years for one scan of a patient, dates for the others", rows=3, patients=1, excluded=3,
      said=("some studies of the patient have a date, others years",))  # fmt: skip
def years_and_dates(root):
    for number in range(3):
        write_volume(root / "p" / f"v{number}" / "scan.nii.gz", seed=number)
    (root / "years.tsv").write_text("path\tyears\tdate\np/v0\t0\t\np/v1\t\t2014-01-01\np/v2\t\t2016-01-01\n")


@tree("all patients' folders in one more folder", rows=2, patients=1, said=("all volume files lie in one folder",))
def one_more_folder(root):
    for name in ("a", "b"):
        write_volume(root / "export" / name / "scan.nii.gz", seed=ord(name))


@tree("files of 16 bits that say lung on the grid of a scan, and a mask in French", rows=2, patients=2,
      said=("1 file: its name says lung, and it has the grid of another scan",))  # fmt: skip
def sixteen_bits(root):
    write_volume(root / "p" / "ct.nii.gz", seed=1), write_volume(root / "p" / "lungs.nii.gz", seed=2)
    write_volume(root / "q" / "ct.nii.gz", seed=3), write_volume(root / "q" / "poumons_masque.nii.gz", seed=4)


@tree("labels of a data set that calls its patients LUNG1", rows=1, patients=1, said=("1 file: it looks like a mask",))
def lung_for_a_name(root):
    write_volume(root / "LUNG1-001" / "LUNG1-001.nii.gz", seed=1)
    write_volume(root / "LUNG1-001" / "LUNG1-001_seg.nii.gz", seed=2, kind=np.uint8)


@tree("NIfTI in patients' folders, without years", rows=3, patients=2, said=("3 scans have no years",))
def folders_of_volumes(root):
    write_volume(root / "Planted First" / "2013" / "scan.nii.gz", seed=1)
    write_volume(root / "Planted First" / "2014" / "scan.nii.gz", seed=2)
    write_volume(root / "Planted Second" / "scan.nii", seed=3)


@tree("MetaImage headers with their voxels in another file", rows=1, patients=1,
      said=("1 file: it cannot be read as MetaImage",))  # fmt: skip
def detached(root):
    write_volume(root / "p" / "v" / "planted.mhd")
    (root / "q").mkdir()
    (root / "q" / "alone.mhd").write_bytes((root / "p" / "v" / "planted.mhd").read_bytes())


@tree("NRRD with a lung mask, a mask on another grid and a mask of something else", rows=1, patients=1,
      said=("2 files: it looks like a mask or labels",))  # fmt: skip
def masks(root):
    write_volume(root / "p" / "scan.nrrd")
    write_volume(root / "p" / "scan_lung_mask.nrrd", kind=np.uint8)
    write_volume(root / "p" / "lung_mask_of_other.nrrd", kind=np.uint8, origin=5.0)
    write_volume(root / "p" / "lung_nodule_mask.nrrd", kind=np.uint8)


@tree("volume files in no folder", rows=2, patients=2, excluded=2, said=("the file lies in no patient's folder",))
def flat_volumes(root):
    for number in (1, 2):
        write_volume(root / f"planted{number}.nii.gz", seed=number)


@tree("two scans in the folder of a visit", rows=1, patients=1, excluded=1,
      said=("several scans are in this visit's folder",))  # fmt: skip
def two_scans(root):
    for number in (1, 2):
        write_volume(root / "p" / "v" / f"{number}.mha", seed=number)


@tree("one volume under two patients", rows=2, patients=2, excluded=2,
      said=("an image of it is in another study too",))  # fmt: skip
def one_volume(root):
    for name in ("p", "q"):
        write_volume(root / name / "v" / "scan.mha")


@tree("volumes that are none: a slice, a damaged file, four dimensions", refused="0 lung series taken")
def no_volumes(root):
    write_volume(root / "p" / "small.nii", size=8)
    (root / "p" / "damaged.nii.gz").write_bytes(b"\x1f\x8b Planted")
    image = sitk.GetImageFromArray(np.zeros((2, 12, 32, 32), np.int16), isVector=False)
    sitk.WriteImage(image, str(root / "p" / "four.nii"))


@tree("volume files beside DICOM files of the same patient", rows=1, patients=1,
      said=("1 file: beside DICOM files, and not taken",))  # fmt: skip
def beside_dicom(root):
    write_dicom(root / "p" / "dicom", FIRST)
    write_volume(root / "p" / "converted.nii.gz")
