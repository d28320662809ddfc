"""The target `tables`: every tree of bad_trees.py, and what happens when it is run again, edited, killed or moved."""

import csv
import multiprocessing
import os
import shutil
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from helpers import toy_run
from helpers.bad_trees import LATER, TREES
from helpers.ct_files import IDENTIFIERS, volume, write_enhanced, write_series
from helpers.running import ROOT, snakemake
from helpers.tree_files import FIRST, PLANTED, SECOND, SLICES, state_of, uid_of, write_dicom, write_study, write_volume
from lung4d.convert.dicom import headers as dicom_headers
from lung4d.convert.read import read_scan
from lung4d.convert.tree.headers import read_headers, slices_of_images
from lung4d.convert.tree.volumes import read_volume_header
from lung4d.pipeline import private
from lung4d.pipeline.door.cohort import read_cohort
from lung4d.pipeline.door.configuration import load_yaml
from lung4d.pipeline.patient_hashes import FLAG, compare_hashes, leave_hashes, with_identity
from lung4d.pipeline.tables.make import make_tables
from lung4d.pipeline.tables.pseudonyms import LETTERS
from lung4d.pipeline.tables.writing import Refused

TODAY = date(2026, 11, 30)
SCHEMAS = {name: load_yaml(ROOT / f"workflow/schemas/{name}.schema.yaml") for name in ("scans", "participants", "qc")}


def tables_of(tree: Path, folder: Path, processes: int = 1) -> list[str]:
    folder.mkdir(exist_ok=True)
    return make_tables(tree, folder, processes, TODAY, lambda what, done, total: None)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def scans_of(folder: Path) -> list[dict[str, str]]:
    return rows_of(folder / "config" / "scans.tsv")


@pytest.fixture
def places(tmp_path) -> tuple[Path, Path]:
    """A folder for the tree and the working folder."""
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree", tmp_path / "work"


@pytest.mark.parametrize("case", TREES, ids=lambda case: case.write.__name__)
def test_a_tree_gives_its_rows_or_a_sentence_says_why_not(places, case):
    tree, folder = places
    case.write(tree)
    before = state_of(tree)
    if case.refused:
        with pytest.raises(Refused) as caught:
            tables_of(tree, folder)
        assert case.refused in str(caught.value) and list(folder.iterdir()) == []
    else:
        lines = tables_of(tree, folder)
        rows = scans_of(folder)
        assert [part for part in case.said if part not in "\n".join(lines)] == []
        assert (len(rows), len({row["subject"] for row in rows})) == (case.rows, case.patients)
        assert sum(bool(row["exclude"]) for row in rows) == case.excluded, rows
        assert len(lines) <= 20
        check_is_private(folder, lines)
        check_links(folder, rows)
        made = state_of(folder)
        assert "Nothing is new" in tables_of(tree, folder)[1]
        assert state_of(folder) == made
    assert state_of(tree) == before


def check_is_private(folder: Path, lines: list[str]) -> None:
    """No name, number, date or UID of the tree is in `config/`, in what is said, or in the name of a link."""
    texts = [path.read_text() for path in (folder / "config").iterdir()]
    names = [path.relative_to(folder).as_posix() for path in (folder / "private" / "scans").rglob("*")]
    said = "\n".join([*texts, *names, *lines]).lower()
    assert [planted for planted in PLANTED if planted in said] == []
    assert (folder / "private").stat().st_mode & 0o777 == 0o700
    assert (folder / "private" / ".gitignore").read_text() == "*\n"


def check_links(folder: Path, rows: list[dict[str, str]]) -> None:
    """Every row's folder holds links, all of them whole, and the door takes the tables where years are known."""
    for row in rows:
        assert row["path"] == f"private/scans/sub-{row['subject']}/ses-{row['session']}"
        files = list((folder / row["path"]).iterdir())
        assert files and all(file.exists() for file in files)
    if all(row["years"] or row["exclude"] for row in rows) and not all(row["exclude"] for row in rows):
        cohort = read_cohort(folder / "config", SCHEMAS, folder)
        assert len(cohort.scans) + len(cohort.excluded) == len(rows)
    assert private.private_problems(folder) == []


def test_each_part_of_the_work_says_how_far_it_is(places):
    tree, folder = places
    write_study(tree / "a" / "x", FIRST)
    write_study(tree / "a" / "y", FIRST | LATER)
    folder.mkdir()
    said = []
    make_tables(tree, folder, 1, TODAY, lambda *how_far: said.append(how_far))
    files = sum(path.is_file() for path in tree.rglob("*"))
    assert [one for one in said if one[1] in (0, one[2])] == [
        (what, done, of)
        for what, of in (("files", files), ("studies", 2), ("visits", 0), ("folders of links", 2))
        for done in sorted({0, of})
    ]


def test_there_are_many_trees():
    assert len(TREES) >= 50 and len({case.words for case in TREES}) == len(TREES)


# What a row holds


def test_rows_hold_years_kernel_age_and_sex_and_links_to_the_study(places):
    tree, folder = places
    write_study(tree / "a" / "x", FIRST)
    write_study(tree / "a" / "y", FIRST | LATER | {"PatientAge": "073Y"})
    tables_of(tree, folder)
    first, second = scans_of(folder)
    assert (first["session"], second["session"]) == ("01", "02")
    assert (first["years"], second["years"]) == ("0", "1.002")  # 366 days
    assert first["kernel"] == "B70f" and first["exclude"] == ""
    assert len(list((folder / first["path"]).iterdir())) == 2 + 2 * SLICES
    (person,) = rows_of(folder / "config" / "participants.tsv")
    assert person == {"subject": first["subject"], "followup_years": "", "event": "", "age": "72.2", "sex": "F"}
    assert len(first["subject"]) == 6 and set(first["subject"]) <= set(LETTERS)


@pytest.mark.parametrize(
    ("told", "age"),
    [("067Y", "67"), ("018M", "1.5"), ("003W", "0.06"), ("000Y", ""), ("999Y", ""), ("abc", ""), (None, "")],
)
def test_the_age_is_that_of_the_header_where_there_is_no_birth_date(places, told, age):
    tree, folder = places
    write_dicom(tree, FIRST | {"PatientBirthDate": "", "PatientAge": told})
    tables_of(tree, folder)
    assert rows_of(folder / "config" / "participants.tsv")[0]["age"] == age


def test_every_series_stands_in_private_with_why_it_was_taken_or_not(places):
    tree, folder = places
    write_study(tree / "Planted" / "x", FIRST)
    tables_of(tree, folder)
    rows = {row["number"]: row for row in rows_of(folder / "private" / "series.tsv")}
    assert {number: row["taken"] for number, row in rows.items()} == {"1": "no", "2": "yes", "3": "no"}
    assert rows["2"]["folder"] == "Planted/x/2" and rows["2"]["files"] == str(SLICES)
    assert "the rule prefers another" in rows["3"]["why"] and rows["1"]["why"]
    (patient,) = rows_of(folder / "private" / "patients.tsv")
    assert patient["patient"] == "id PLANTED-1" and patient["birth"] == "1941-02-03"


def test_neither_rows_nor_links_follow_the_names_in_the_tree(places):
    tree, folder = places
    for number in range(8):
        write_dicom(tree / f"{number}", FIRST | {"PatientID": f"PLANTED-{number}", "PatientName": f"Planted^{number}"})
    tables_of(tree, folder)
    orders = []
    for row in scans_of(folder):
        links = sorted((folder / row["path"]).iterdir())
        targets = [str(link.readlink()) for link in links]
        assert targets != sorted(targets) and len(targets) == SLICES  # by chance once in 12!
        orders.append(targets[0].split("/")[-2])
    assert orders != sorted(orders) or scans_of(folder) == sorted(scans_of(folder), key=lambda row: row["subject"])


def test_several_processes_find_what_one_finds(places):
    tree, folder = places
    for number in range(40):
        write_dicom(tree / f"{number}", FIRST | {"PatientID": f"PLANTED-{number}", "PatientName": f"Planted^{number}"})
    told = [tables_of(tree, folder.with_name(name), count)[0] for name, count in (("one", 1), ("two", 2))]
    assert told[0] == told[1] and told[0].startswith("480 files, 40 series, 40 studies of 40 patients: 40 lung")
    kinds = [{(row["folder"], row["why"]) for row in rows_of(folder.with_name(name) / "private" / "series.tsv")}
             for name in ("one", "two")]  # fmt: skip
    assert kinds[0] == kinds[1]


# Headers


def stored(folder: Path, kind: str) -> Path:
    """A series stored in one of several ways."""
    if kind == "enhanced":
        write_enhanced(
            folder / "a.dcm", volume(), tags=FIRST | {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.4"}
        )
        return folder
    for path in sorted(write_series(folder, volume(), tags=FIRST).iterdir()):
        item = pydicom.dcmread(path)
        if kind == "sequence":
            item.RequestAttributesSequence = [pydicom.Dataset()]
            item["RequestAttributesSequence"].is_undefined_length = True
        if kind == "long":
            item.add_new(0x00291001, "OB", bytes(2**17))
        if kind == "deflated":
            item.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        if kind == "implicit":
            item.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        pydicom.dcmwrite(path, item, implicit_vr=kind == "implicit", little_endian=True)
        if kind == "bare":
            path.write_bytes(path.read_bytes()[132:])
    return folder


@pytest.mark.parametrize("kind", ["explicit", "implicit", "deflated", "sequence", "long", "bare", "enhanced"])
def test_a_header_says_what_pydicom_reads_in_it(places, kind):
    tree, _ = places
    stored(tree, kind)
    files = sorted(path.name for path in tree.iterdir())
    found = slices_of_images(read_headers(tree, files, 1, lambda what, done, total: None).images)
    expected = [item for name in files for item in dicom_headers.slices_of(tree / name)]
    assert len(found) == len(expected) == 24
    for one, other in zip(found, expected, strict=True):
        assert one.path.name == other.path.name and one.frame == other.frame
        assert one.depth == pytest.approx(other.depth) and np.allclose(one.directions, other.directions)
        for name in (
            "PatientID",
            "PatientBirthDate",
            "ConvolutionKernel",
            "Rows",
            "SeriesInstanceUID",
            "InstanceNumber",
        ):
            told = other.header.get(name)
            wanted = tuple(told) if isinstance(told, pydicom.multival.MultiValue) else told
            assert one.header.get(name) == wanted, name
        assert one.header.get("PatientName") == str(other.header.get("PatientName"))
        assert not one.header.image.cut


# Volume files


def test_labels_of_bids_are_kept_with_years_age_and_sex_of_its_tables(places):
    tree, folder = places
    next(case for case in TREES if case.write.__name__ == "bids").write(tree)
    tables_of(tree, folder)
    rows = scans_of(folder)
    assert [(row["subject"], row["session"], row["years"]) for row in rows] == [("07", "a", "0"), ("07", "b", "0.999")]
    person = rows_of(folder / "config" / "participants.tsv")[0]
    assert (person["subject"], person["age"], person["sex"]) == ("07", "67", "F")
    (link,) = (folder / rows[0]["path"]).iterdir()
    assert link.name == "ct.nii.gz"


def test_two_sites_with_one_label_are_two_patients_each_with_its_years_and_age(places):
    tree, folder = places
    for number, site in enumerate(("a", "b")):
        for session in (1, 2):
            scan = tree / site / "sub-07" / f"ses-{session}" / f"sub-07_ses-{session}_ct.nii.gz"
            write_volume(scan, seed=2 * number + session)
        years = f"session_id\tyears\nses-1\t0\nses-2\t{number + 1}\n"
        (tree / site / "sub-07" / "sub-07_sessions.tsv").write_text(years)
        (tree / site / "participants.tsv").write_text(f"participant_id\tage\tsex\nsub-07\t6{number}\tF\n")
    tables_of(tree, folder)
    years = {row["subject"]: row["years"] for row in scans_of(folder) if row["session"] == "2"}
    ages = {row["subject"]: row["age"] for row in rows_of(folder / "config" / "participants.tsv")}
    assert {(years[subject], ages[subject]) for subject in years} == {("1", "60"), ("2", "61")}


def test_years_come_from_a_small_table(places):
    tree, folder = places
    for number in range(3):
        write_volume(tree / "p" / f"v{number}" / "scan.nii.gz", seed=number)
    (tree / "years.tsv").write_text("path\tyears\np/v0\t0\np/v1/scan.nii.gz\t1.5\n")
    lines = tables_of(tree, folder)
    assert sorted(row["years"] for row in scans_of(folder)) == ["", "0", "1.5"]
    assert any(line.startswith("1 scan has no years: fill in the column in config/scans.tsv") for line in lines)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_the_link_to_a_volume_is_read_as_the_volume_is(places, suffix):
    tree, folder = places
    write_volume(tree / "Planted" / f"scan{suffix}", kind=np.int16, seed=3)
    tables_of(tree, folder)
    (row,) = scans_of(folder)
    (header,) = [file for file in (folder / row["path"]).iterdir() if "data" not in file.name]
    assert header.name == f"ct{suffix}"
    found = read_volume_header(folder, header.relative_to(folder).as_posix())
    told = read_volume_header(tree, f"Planted/scan{suffix}")
    assert found.size == told.size == (32, 32, SLICES) and found.on_grid_of(told)


def test_a_lung_mask_on_the_grid_of_the_scan_is_its_mask(places):
    tree, folder = places
    next(case for case in TREES if case.write.__name__ == "masks").write(tree)
    tables_of(tree, folder)
    (row,) = scans_of(folder)
    assert row["mask"] == f"private/masks/sub-{row['subject']}/ses-{row['session']}/mask.nrrd"
    assert str((folder / row["mask"]).readlink()).endswith("p/scan_lung_mask.nrrd")


# Run again


def test_new_studies_go_below_and_nothing_is_named_anew(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    write_dicom(tree / "b", SECOND)
    tables_of(tree, folder)
    old, links = (folder / "config" / "scans.tsv").read_text(), state_of(folder / "private" / "scans")
    write_dicom(tree / "a later", FIRST | LATER)
    write_dicom(tree / "c", SECOND | {"PatientID": "PLANTED-3", "PatientName": "Planted^Third"})
    lines = tables_of(tree, folder)
    new = (folder / "config" / "scans.tsv").read_text()
    assert new.startswith(old) and len(scans_of(folder)) == 4
    assert "2 new rows below those of config/scans.tsv." in lines
    subject = next(row["subject"] for row in rows_of(folder / "private" / "patients.tsv") if row["id"] == "PLANTED-1")
    assert {row["session"]: row["years"] for row in scans_of(folder) if row["subject"] == subject} == {
        "01": "0", "02": "1.002",
    }  # fmt: skip
    now = state_of(folder / "private" / "scans")
    assert {path: now[path] for path in links} == links


def test_rows_for_an_edited_table_wait_beside_it_until_they_are_moved(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    table, beside = folder / "config" / "scans.tsv", folder / "config" / "scans.new.tsv"
    people = folder / "config" / "participants.tsv"
    table.write_text(edited := table.read_text().replace("B70f", "sharp"))
    people.write_text(told := people.read_text().replace("\t\t\t", "\t3.5\t1\t"))
    write_dicom(tree / "b", SECOND)
    lines = tables_of(tree, folder)
    assert (table.read_text(), people.read_text()) == (edited, told)
    assert "1 row in config/scans.new.tsv: move them to scans.tsv by hand." in lines
    made = state_of(folder)
    tables_of(tree, folder)
    assert state_of(folder) == made
    table.write_text(edited + "".join(beside.read_text().splitlines(keepends=True)[1:]))
    tables_of(tree, folder)
    assert not beside.exists() and (folder / "config" / "participants.new.tsv").exists()


def test_an_edited_file_beside_a_table_is_not_lost(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    table, beside = folder / "config" / "scans.tsv", folder / "config" / "scans.new.tsv"
    table.write_text(table.read_text().replace("B70f", "sharp"))
    write_dicom(tree / "b", SECOND)
    tables_of(tree, folder)
    beside.write_text(beside.read_text().replace("B70f", "my own words"))
    write_dicom(tree / "c", FIRST | LATER)
    made = state_of(folder)
    with pytest.raises(Refused, match=r"config/scans.new.tsv was edited and would be lost"):
        tables_of(tree, folder)
    assert state_of(folder) == made


def test_a_study_before_the_first_one_moves_the_years_and_the_age(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    write_dicom(tree / "b", SECOND)
    tables_of(tree, folder)
    old = (folder / "config" / "scans.tsv").read_text()
    write_dicom(tree / "c", FIRST | {"StudyDate": "20110405"})
    lines = tables_of(tree, folder)
    assert (folder / "config" / "scans.tsv").read_text() == old
    rows = rows_of(folder / "config" / "scans.new.tsv")
    assert {(row["session"], row["years"]) for row in rows} == {("01", "2.001"), ("02", "0")}
    (person,) = rows_of(folder / "config" / "participants.new.tsv")
    assert person["age"] == "70.2" and person["subject"] == rows[0]["subject"]
    assert any(f"moves the years and the age of patient {rows[0]['subject']}" in line for line in lines)


def test_an_older_study_in_another_tree_moves_all_rows_of_the_patient_as_they_stand(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST), write_dicom(tree / "a2", FIRST | LATER), write_dicom(tree / "b", SECOND)
    tables_of(tree, folder)
    table = folder / "config" / "scans.tsv"
    table.write_text(edited := table.read_text().replace("B70f", "sharp"))
    other = tree.with_name("other")
    write_dicom(other / "c", FIRST | {"StudyDate": "20110405"})
    for place in (other, tree):  # nothing of an earlier tree is lost
        tables_of(place, folder)
        rows = rows_of(folder / "config" / "scans.new.tsv")
        told = [(row["session"], row["years"], row["kernel"]) for row in rows]
        assert told == [("01", "2.001", "sharp"), ("02", "3.003", "sharp"), ("03", "0", "B70f")]
        assert table.read_text() == edited


def test_new_rows_wait_beside_the_table_whatever_tree_is_read_next(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    table, beside = folder / "config" / "scans.tsv", folder / "config" / "scans.new.tsv"
    table.write_text(table.read_text().replace("B70f", "sharp"))
    for number, tags in enumerate((SECOND, FIRST | LATER)):
        tables_of(write_dicom(tree.with_name(f"tree {number}"), tags), folder)
        assert len(rows_of(beside)) == number + 1
    table.write_text(table.read_text() + "".join(beside.read_text().splitlines(keepends=True)[1:]))
    tables_of(tree, folder)
    assert not beside.exists()


def test_years_that_are_told_later_wait_beside_the_table(places):
    tree, folder = places
    for number in range(2):
        write_volume(tree / "p" / f"v{number}" / "scan.nii.gz", seed=number)
    tables_of(tree, folder)
    (tree / "years.tsv").write_text("path\tyears\np/v0\t0\np/v1\t1\n")
    tables_of(tree, folder)
    assert sorted(row["years"] for row in rows_of(folder / "config" / "scans.new.tsv")) == ["0", "1"]


def test_a_date_that_is_told_later_may_move_the_years(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST | {"StudyDate": "", "StudyInstanceUID": uid_of("a")})
    write_dicom(tree / "b", FIRST | LATER)
    tables_of(tree, folder)
    write_dicom(tree / "a", FIRST | {"StudyInstanceUID": uid_of("a")})
    tables_of(tree, folder)
    rows = rows_of(folder / "config" / "scans.new.tsv")
    assert {(row["years"], row["exclude"]) for row in rows} == {("1.002", ""), ("0", "")}


def test_a_doubt_about_a_row_that_is_in_the_table_is_told_as_such(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    (old,) = scans_of(folder)
    write_dicom(tree / "b", FIRST | LATER | {"PatientID": "PLANTED-9"})
    lines = tables_of(tree, folder)
    named = f"{old['subject']} {old['session']}"
    assert f"1 scan to be looked at is in use, as its row stands in config/scans.tsv: {named}." in lines
    assert any(line.startswith("1 scan to be looked at is left out") for line in lines)


def test_a_link_to_the_working_folder_is_not_followed(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    folder.mkdir()
    (tree / "work").symlink_to(folder)
    tables_of(tree, folder)
    made = state_of(folder)
    tables_of(tree, folder)
    assert state_of(folder) == made and len(scans_of(folder)) == 1


def test_a_table_written_by_hand_is_left_alone(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    (folder / "config").mkdir(parents=True)
    table = folder / "config" / "scans.tsv"
    table.write_text("subject\tsession\tyears\tpath\n001\t01\t0\tmine\n")
    tables_of(tree, folder)
    assert table.read_text().endswith("001\t01\t0\tmine\n") and len(rows_of(table)) == 1
    assert len(rows_of(folder / "config" / "scans.new.tsv")) == 1


def test_a_folder_of_links_that_was_deleted_is_made_anew(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    (row,) = scans_of(folder)
    shutil.rmtree(folder / row["path"])
    tables_of(tree, folder)
    assert len(list((folder / row["path"]).iterdir())) == SLICES


def test_more_files_of_a_study_are_told_and_its_links_left(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    write_dicom(tree / "b", FIRST | {"SeriesNumber": 5})
    lines = tables_of(tree, folder)
    (row,) = scans_of(folder)
    assert any("other files than when the links were made" in line for line in lines)
    assert len(list((folder / row["path"]).iterdir())) == SLICES


# private/ and the tables


def test_tables_without_their_private_folder_stop_every_run(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    shutil.move(folder / "private", folder / "elsewhere")
    for told in (private.private_problems(folder), [refusal_of(tree, folder)]):
        assert told[0].startswith(
            "config/scans.tsv was made by the target tables, and private/, where its scans are, is gone"
        )


@pytest.mark.parametrize("case", ["plain", "bids"])
def test_tables_with_the_private_folder_of_others_stop_every_run(places, case):
    tree, folder = places
    next(one for one in TREES if one.write.__name__ == case).write(tree)
    other = folder.with_name("other")
    tables_of(tree, folder), tables_of(tree, other)
    shutil.rmtree(folder / "private")
    shutil.copytree(other / "private", folder / "private", symlinks=True)
    assert "private/ is that of another folder" in private.private_problems(folder)[0]
    assert "private/ is that of another folder" in refusal_of(tree, folder)


def refusal_of(tree: Path, folder: Path) -> str:
    with pytest.raises(Refused) as caught:
        tables_of(tree, folder)
    return str(caught.value)


def test_a_tree_that_is_gone_is_told_before_a_run(places):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    tree.rename(tree.with_name("moved"))
    assert private.private_problems(folder)[0].startswith(
        "the files of 1 scan in config/scans.tsv are not where they were"
    )


@pytest.mark.parametrize("wrong", ["", "patient\tsubject\n", "no table"])
def test_a_damaged_register_gives_no_second_names(places, wrong):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    tables_of(tree, folder)
    (folder / "private" / "patients.tsv").write_text(wrong)
    made = state_of(folder)
    with pytest.raises(ValueError, match=r"private/\w+.tsv cannot be used"):
        tables_of(tree, folder)
    assert state_of(folder) == made


def test_nothing_is_written_into_the_tree(places):
    tree, _ = places
    write_dicom(tree / "a", FIRST)
    assert "The working folder lies in the tree" in refusal_of(tree, tree / "work")
    assert "is a file" in refusal_of(tree / "a" / "000.dcm", tree.with_name("work"))
    assert "is not there" in refusal_of(tree / "nowhere", tree.with_name("work"))
    assert "cannot be reached: File name too long" in refusal_of(tree / ("x" * 300), tree.with_name("work"))
    (tree.with_name("work") / "private").write_text("mine")
    assert "private is a file" in refusal_of(tree, tree.with_name("work"))


# Killed


def killed_at(number: int, tree: Path, folder: Path) -> None:
    """Run in this process, which ends at its `number`th change of a name or link."""
    left = [number]

    def counted(change):
        def changes(*arguments, **named):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return change(*arguments, **named)

        return changes

    for name in ("replace", "rename", "symlink", "mkdir", "unlink", "link"):
        setattr(os, name, counted(getattr(os, name)))
    tables_of(tree, folder)
    os._exit(0)


@pytest.mark.parametrize("again", [False, True])
def test_a_run_that_was_killed_anywhere_is_as_if_it_had_not_been(places, again):
    tree, folder = places
    write_dicom(tree / "a", FIRST)
    if again:
        tables_of(tree, folder)
        write_dicom(tree / "b", SECOND), write_dicom(tree / "c", FIRST | LATER)
    before = len(scans_of(folder)) if again else 0
    for number in range(0, 200, 7):
        place = folder.with_name(f"killed {number}")
        shutil.copytree(folder, place, symlinks=True) if again else place.mkdir()
        child = multiprocessing.get_context("fork").Process(target=killed_at, args=(number, tree, place))
        child.start(), child.join()
        there = (place / "config" / "scans.tsv").exists()
        rows = len(scans_of(place)) if there else 0
        assert rows in (before, 3 if again else 1)
        if rows != before and child.exitcode == 9:
            waits = private.private_problems(place)
            assert not waits or waits[0].startswith("the target tables was stopped while it wrote the tables")
        tables_of(tree, place)
        check_links(place, scans_of(place))
        assert len(scans_of(place)) == (3 if again else 1) and not (place / "private" / ".new").exists()
        assert len(rows_of(place / "private" / "patients.tsv")) == (2 if again else 1)
        if child.exitcode == 0:
            break
    assert child.exitcode == 0 and number > 20


def test_a_folder_that_cannot_be_read_is_told(places, monkeypatch):
    tree, folder = places
    write_dicom(tree / "a", FIRST), write_dicom(tree / "b", SECOND)
    scan = os.scandir

    def refuse(place):
        if str(place).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    assert "Look at: 1 folder cannot be read." in tables_of(tree, folder)
    assert "1 folder cannot be read\n  b" in (folder / "private" / "look_at.txt").read_text()


# Whom the headers name


ONE = {"id": "1", "name": "a", "birth": "1941-02-03", "sex": "F"}


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ([ONE, ONE], ["agree", "agree"]),
        ([ONE, ONE, ONE | {"birth": "1950-01-01"}], ["agree", "agree", "disagree"]),
        ([ONE, ONE | {"birth": "1950-01-01"}], ["disagree", "disagree"]),
        ([ONE, ONE | {"sex": "M"}], ["disagree", "disagree"]),
        ([ONE, ONE | {"name": "b"}], ["agree", "agree"]),
        ([ONE, ONE | {"id": "2"}], ["agree", "agree"]),
        ([ONE, ONE | {"id": "2", "name": "b"}], ["disagree", "disagree"]),
        ([ONE], ["unknown"]),
        ([ONE, {}], ["unknown", "unknown"]),
        ([{"sex": "F"}, {"id": "1"}], ["unknown", "unknown"]),
    ],
)
def test_scans_of_a_patient_are_compared_by_hashes(tmp_path, people, told):
    private.make_private(tmp_path)
    scans = [("x", f"{number:02d}") for number in range(len(people))]
    for scan, person in zip(scans, people, strict=True):
        assert leave_hashes(tmp_path, SimpleNamespace(subject=scan[0], session=scan[1]), person)
    assert list(compare_hashes(tmp_path, scans).values()) == told
    files = "".join(path.read_text() for path in (tmp_path / "private" / "identity").iterdir())
    assert "1941" not in files or "1941-02-03" not in files
    (tmp_path / "private" / "key").unlink()
    assert set(compare_hashes(tmp_path, scans).values()) == {"unknown"}
    private.make_private(tmp_path)  # another key
    assert set(compare_hashes(tmp_path, scans).values()) == {"unknown"}
    shutil.rmtree(tmp_path / "private")
    assert set(compare_hashes(tmp_path, scans).values()) == {"unknown"}
    assert not leave_hashes(tmp_path, SimpleNamespace(subject="x", session="01"), people[0])


def test_the_quality_table_says_whose_scans_disagree(tmp_path):
    private.make_private(tmp_path)
    for session, birth in (("01", "1941-02-03"), ("02", "1941-02-03"), ("03", "1950-01-01")):
        assert leave_hashes(tmp_path, SimpleNamespace(subject="x", session=session), ONE | {"birth": birth})
    table = pd.DataFrame({"subject": "x", "session": ["01", "02", "03", "04"], "flags": ["", "Thick.", "Thick.", ""]})
    told = with_identity(table, tmp_path)
    assert list(told["identity"]) == ["agree", "agree", "disagree", "unknown"]
    assert list(told["flags"]) == ["", "Thick.", f"Thick. {FLAG}", ""]


def test_a_scan_tells_whom_its_headers_name_but_not_in_its_facts(tmp_path):
    scan = read_scan(write_series(tmp_path / "in", volume(), tags=IDENTIFIERS))
    assert scan.person == {"id": "PLANTED-ID-77", "name": "person planted", "birth": "1941-02-03"}
    assert not [word for word in PLANTED if word in str(scan.facts).lower()]


# The command


def test_one_command_makes_tables_that_the_next_one_takes(places):
    tree, folder = places
    write_study(tree / "Planted" / "x", FIRST)
    write_study(tree / "Planted" / "y", FIRST | LATER)
    done = snakemake("--config", f"tree={tree}", "--", "tables", folder=folder)
    said = done.stdout + done.stderr
    assert "52 files, 6 series, 2 studies of 1 patient: 2 lung series taken." in said
    for path in (*folder.glob("results/**/*"), *folder.glob("config/*"), *folder.glob(".snakemake/log/*")):
        text = path.read_text().lower() if path.is_file() else ""
        assert [planted for planted in PLANTED if planted in text] == [], path
    assert snakemake("--cores", "1", "-n", "scans", folder=folder).returncode == 0
    shutil.rmtree(folder / "private")
    failed = snakemake("--cores", "1", "-n", "scans", folder=folder, check=False)
    assert failed.returncode and "private/, where its scans are, is gone" in failed.stdout + failed.stderr


def test_the_command_says_little_and_takes_a_tree_by_the_name_that_it_has(places):
    tree, folder = places
    write_study(tree.with_name("007"), FIRST)
    start = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    words = [*start, "--config", "tree=~/007", "--", "tables"]
    lines = toy_run.into_a_file(words, HOME=str(tree.parent))
    assert any(line.startswith("26 files, 3 series, 1 study of 1 patient: 1 lung series taken.") for line in lines)
    assert len(lines) <= 8, lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--config", "tree=nowhere", "--", "tables"), "The tree is not there"),
        (("--cores", "1", "--config", "tree=/tmp", "--", "scans"), "the target tables alone reads it"),
        (("--config", "tree=/tmp", "--", "tables", "scans"), "tables runs alone"),
        (("--config", "tree=", "--", "tables"), "tree: it is empty; give the folder of the scans"),
    ],
)
def test_a_command_that_is_not_right_is_told_why(tmp_path, words, said):
    failed = snakemake(*words, folder=tmp_path, check=False)
    assert failed.returncode and said in failed.stdout + failed.stderr
