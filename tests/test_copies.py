"""Identity by content: copies are found by what scans show, whatever they are called and wherever they lie."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.copy_cases import (
    FOLDER_OTHERWISE,
    MIRRORED,
    NEAR_COPIES,
    SAME_VOXELS,
    SHARED_SLICES,
    WRITTEN_OTHERWISE,
    chest,
)
from helpers.scripts import run_script
from lung4d.convert.looks import fingerprint_of, lung_looks
from lung4d.io.fingerprint import Fingerprint, packed, unpacked
from lung4d.io.names import STATUS, scan_file
from lung4d.io.status import Status, read_status, write_status
from lung4d.io.tables import read_table
from lung4d.pipeline.door.cohort import read_cohort
from lung4d.pipeline.door.configuration import InvalidInput, load_yaml
from lung4d.visits.copies import ALIKE, SAME, SLICES, Copies, copies_table, find_copies, left_out, shared_sets
from lung4d.visits.split import split_patients

SCHEMAS = {
    name: load_yaml(Path(__file__).parent.parent / f"workflow/schemas/{name}.schema.yaml")
    for name in ("scans", "participants", "qc")
}
A, B = ("001", "01"), ("002", "01")


@cache
def scan(person: int, visit: int = 0):
    return chest(person, visit)


@cache
def known(person: int, visit: int = 0) -> Fingerprint:
    return fingerprint_of(scan(person, visit))


@pytest.mark.parametrize("change", SAME_VOXELS.values(), ids=SAME_VOXELS)
def test_the_same_voxels_are_found_wherever_they_lie(change):
    assert find_copies({A: known(1), B: fingerprint_of(change(scan(1)))}) == [Copies(SAME, (A, B))]


@pytest.mark.parametrize("change", SHARED_SLICES.values(), ids=SHARED_SLICES)
def test_a_part_of_the_slices_is_found(change):
    (found,) = find_copies({A: known(1), B: fingerprint_of(change(scan(1)))})
    assert (found.kind, found.scans) == (SLICES, (A, B)) and found.likeness == 1


@pytest.mark.parametrize("name", NEAR_COPIES)
def test_a_copy_with_other_voxels_is_found_and_other_people_are_not(name):
    others = {(f"{person:03d}", "01"): known(person) for person in (3, 4)}
    (found,) = find_copies({A: known(1), B: fingerprint_of(NEAR_COPIES[name](scan(1))), **others})
    assert (found.kind, found.scans, found.turned) == (ALIKE, (A, B), name in MIRRORED)
    assert 0.965 <= found.likeness <= 1


def test_visits_of_one_patient_and_patients_are_no_copies_of_each_other():
    scans = {(f"{person:03d}", f"{visit:02d}"): known(person, visit) for person in (1, 2, 3) for visit in (0, 1, 2)}
    assert find_copies(scans) == []


def test_a_scan_without_lungs_has_no_looks_and_is_compared_all_the_same():
    water = np.full((20, 40, 40), 3, np.int16)
    assert lung_looks(water, (3.0, 3.0, 3.0)) is None
    assert find_copies({A: Fingerprint("x", (), None), B: Fingerprint("y", (), None)}) == []


def test_a_fingerprint_is_kept_in_a_status_and_costs_no_other_status_a_byte(tmp_path):
    for fingerprint in (known(1), Fingerprint("x", (), None)):
        write_status(Status(True, "convert", content=packed(fingerprint)), tmp_path / "status.json")
        read = unpacked(read_status(tmp_path / "status.json").content)
        assert (read.voxels, read.slices) == (fingerprint.voxels, fingerprint.slices)
        np.testing.assert_array_equal(read.lungs, fingerprint.lungs)
    write_status(Status(True, "segment"), tmp_path / "status.json")
    assert "content" not in (tmp_path / "status.json").read_text()


# What follows from a copy: patients, their assigned sets, and the scan's places; who is in whose set.
SETS = {
    "dealt, both": ((A, B), {}, {"002": "001"}),
    "the second assigned": ((A, B), {"002": "test"}, {"001": "002"}),
    "the first assigned": ((A, B), {"001": "val"}, {"002": "001"}),
    "both assigned alike": ((A, B), {"001": "test", "002": "test"}, {"002": "001"}),
    "three patients, the last assigned": ((A, B, ("003", "02")), {"003": "external"}, {"001": "003", "002": "003"}),
    "one patient": ((A, ("001", "02")), {}, {}),
}


@pytest.mark.parametrize(("scans", "assigned", "expected"), SETS.values(), ids=SETS)
@pytest.mark.parametrize("kind", [SAME, SLICES])
def test_patients_with_equal_voxels_share_a_set_and_an_assigned_one_leads(kind, scans, assigned, expected):
    assert shared_sets([Copies(kind, scans)], assigned) == expected


def test_copies_of_copies_are_in_one_set_too():
    pairs = [Copies(SAME, (("004", "01"), ("002", "01"))), Copies(SLICES, (("004", "02"), ("001", "03")))]
    assert shared_sets(pairs, {}) == {"004": "001", "002": "001"}


def test_what_only_looks_alike_moves_nobody():
    assert shared_sets([Copies(ALIKE, (A, B), 0.99)], {"001": "train", "002": "test"}) == {}


def test_two_assigned_sets_that_differ_are_an_error_that_names_both():
    with pytest.raises(ValueError) as told:
        shared_sets([Copies(SAME, (A, B))], {"001": "train", "002": "test"})
    assert str(told.value) == (
        "patient 001, visit 01, and patient 002, visit 01, have the same voxels, but their split is train and test; "
        "give both the same, or exclude one of the scans"
    )


def test_within_a_patient_the_first_of_equal_scans_is_kept():
    found = [Copies(SAME, (("002", "01"), ("001", "01"), ("001", "02"), ("001", "03")))]
    assert list(left_out(found)) == [("001", "02"), ("001", "03")]
    assert all(reason.startswith("It is voxel for voxel the scan of visit 01") for reason in left_out(found).values())
    table = copies_table(found)
    assert table["left_out"].tolist() == [False, False, True, True]
    assert table["flag"][0].startswith("It is voxel for voxel the scan of patient 001, visit 01, patient 001, visit 02")


def run_split(folder, fingerprints, assigned=None):
    """The stage's script on scans with these fingerprints, one a year; its tables."""
    for scan_key, fingerprint in fingerprints.items():
        write_status(Status(True, "resample"), scan_file(folder / "resample", *scan_key, STATUS))
        content = packed(fingerprint)
        write_status(Status(True, "convert", content=content), scan_file(folder / "convert", *scan_key, STATUS))
    scans = [{"subject": s, "session": n, "years": float(n)} for s, n in reversed(list(fingerprints))]
    params = {"scans": scans, "assigned": assigned or {}, "sites": {}, "seed": 1, "val": 0.2, "test": 0.34}
    params["folders"] = {stage: folder / stage for stage in ("convert", "resample")}
    outputs = {name: folder / f"{name}.tsv" for name in ("split", "unusable", "copies")}
    run_script("split", {}, outputs, params, folder / "log")
    return [read_table(path) for path in outputs.values()]


def own(number: int) -> Fingerprint:
    return Fingerprint(str(number), (), None)


def test_the_same_voxels_in_two_patients_are_never_in_two_sets(tmp_path):
    patients = [f"{number:03d}" for number in range(1, 13)]
    for one, other in (("001", "007"), ("004", "012"), ("002", "003")):
        prints = {(subject, "01"): own(int(one if subject == other else subject)) for subject in patients}
        split, unusable, copies = run_split(tmp_path, prints)
        sets = dict(zip(split["subject"], split["split"], strict=True))
        assert sets[one] == sets[other] and set(sets.values()) == {"train", "val", "test"} and unusable.empty
        assert copies["subject"].tolist() == [one, other]
        split, *_ = run_split(tmp_path, prints, {one: "test"})
        assert set(split.loc[split["subject"].isin([one, other]), "split"]) == {"test"}


def test_equal_follow_ups_are_left_out_but_the_first(tmp_path):
    prints = {("001", "01"): own(1), ("001", "02"): own(2), ("001", "03"): own(2), ("002", "01"): own(3)}
    split, unusable, copies = run_split(tmp_path, prints)
    assert split["session"].tolist() == ["01", "02", "01"]
    assert unusable[["subject", "session", "stage"]].to_numpy().tolist() == [["001", "03", "split"]]
    assert "scan of visit 02" in unusable["reason"][0] and copies["left_out"].tolist() == [False, True]


def test_a_cohort_without_copies_is_split_as_ever(tmp_path):
    prints = {(f"{number:03d}", "01"): own(number) for number in range(1, 9)}
    split, unusable, copies = run_split(tmp_path, prints)
    assert list(split.columns) == ["subject", "session", "years", "split", "site", "digest"]
    assert dict(zip(split["subject"], split["split"], strict=True)) == split_patients(
        {subject: 1 for subject, _ in prints}, {}, 1, 0.2, 0.34
    )
    assert unusable.empty and copies.empty


@pytest.mark.parametrize("name", [*WRITTEN_OTHERWISE, *(f"folder, {name}" for name in FOLDER_OTHERWISE)])
def test_a_source_named_in_two_ways_is_an_error(tmp_path, name):
    folder = tmp_path / "cohort"
    (folder / "series").mkdir(parents=True)
    (folder / "a.nii").write_bytes(b"")
    first = "series" if name.startswith("folder, ") else "a.nii"
    otherwise = WRITTEN_OTHERWISE.get(name) or FOLDER_OTHERWISE[name.removeprefix("folder, ")]
    rows = [("1", "1", "0", first), ("2", "1", "0", otherwise(folder))]
    table = pd.DataFrame(rows, columns=["subject", "session", "years", "path"])
    table.to_csv(folder / "scans.tsv", sep="\t", index=False)
    with pytest.raises(InvalidInput) as told:
        read_cohort(folder, SCHEMAS, folder)
    assert told.value.errors == [
        "scans.tsv row 3, patient 2: path leads to the file or folder, and the series, of row 2 already; "
        "give each scan its own"
    ]


def test_another_series_of_a_folder_and_an_excluded_row_are_no_error(tmp_path):
    (tmp_path / "series").mkdir()
    rows = [("1", "1", "series", "2", ""), ("1", "2", "series/", "3", ""), ("1", "3", "./series", "3", "moved")]
    table = pd.DataFrame(rows, columns=["subject", "session", "path", "series", "exclude"])
    table.assign(years=range(3)).to_csv(tmp_path / "scans.tsv", sep="\t", index=False)
    assert read_cohort(tmp_path, SCHEMAS, tmp_path).sessions("1") == ["1", "2"]
