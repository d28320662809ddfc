"""The split: by patient, steady under growth, assigned patients kept, small cohorts still usable."""

from collections import Counter

import pandas as pd
import pytest

from helpers.scripts import run_script
from lung4d.io.fingerprint import Fingerprint, packed
from lung4d.io.names import STATUS, scan_file
from lung4d.io.status import Status, write_status
from lung4d.io.tables import read_table
from lung4d.visits.split import one_set_each, split_patients, split_scans


def cohort(n: int, visits: int = 3) -> dict[str, int]:
    return {f"{i:03d}": visits for i in range(1, n + 1)}


def test_shares_and_determinism():
    sets = split_patients(cohort(100), {}, seed=1, val=0.16, test=0.2)
    assert Counter(sets.values()) == {"train": 64, "test": 20, "val": 16}
    assert sets == split_patients(dict(reversed(cohort(100).items())), {}, 1, 0.16, 0.2)
    assert sets != split_patients(cohort(100), {}, 2, 0.16, 0.2)


def test_shares_hold_in_both_strata():
    visits = cohort(60) | {f"s{i:02d}": 2 for i in range(40)}
    sets = split_patients(visits, {}, 1, 0.2, 0.25)
    short = Counter(name for subject, name in sets.items() if visits[subject] == 2)
    long = Counter(name for subject, name in sets.items() if visits[subject] == 3)
    assert (short["test"], short["val"], long["test"], long["val"]) == (10, 8, 15, 12)


def test_a_new_patient_moves_few():
    before = split_patients(cohort(80), {}, 1, 0.16, 0.2)
    for new in ("new1", "anna", "zoe"):
        after = split_patients(cohort(80) | {new: 3}, {}, 1, 0.16, 0.2)
        assert sum(after[subject] != before[subject] for subject in before) <= 2


def test_assigned_patients_keep_their_set():
    assigned = {"001": "test", "002": "train", "003": "external", "004": "val", "absent": "test"}
    sets = split_patients(cohort(20), assigned, 1, 0.16, 0.2)
    assert {s: sets[s] for s in ("001", "002", "003", "004")} == {k: v for k, v in assigned.items() if k != "absent"}
    # the shares are of the 19 patients that are not external, assigned ones included
    assert Counter(sets.values()) == {"train": 12, "test": 4, "val": 3, "external": 1}
    everyone = dict.fromkeys(cohort(5), "external")
    assert set(split_patients(cohort(5), everyone, 1, 0.16, 0.2).values()) == {"external"}


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        (0, {}),
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "test": 1, "val": 1}),
        (4, {"train": 2, "test": 1, "val": 1}),
    ],
)
def test_small_cohorts(patients, expected):
    assert Counter(split_patients(cohort(patients, visits=1), {}, 1, 0.16, 0.2).values()) == expected


def test_no_val_and_no_test():
    assert Counter(split_patients(cohort(10), {}, 1, 0.0, 0.2).values()) == {"train": 8, "test": 2}
    assert Counter(split_patients(cohort(3), {}, 1, 0.0, 0.0).values()) == {"train": 3}


def test_a_training_patient_is_left_beside_assigned_ones():
    assigned = {"001": "test", "002": "val"}
    assert split_patients(cohort(3), assigned, 1, 0.16, 0.2)["003"] == "train"
    assert split_patients(cohort(2), {"001": "train"}, 1, 0.16, 0.5)["002"] == "test"


def test_errors_name_the_patient():
    with pytest.raises(ValueError, match="patient 007 is in two sets, train and test"):
        one_set_each([("007", "train"), ("008", "val"), ("007", "test")])
    with pytest.raises(ValueError, match="patient 007: split is 'training'"):
        one_set_each([("007", "training")])
    assert one_set_each([("007", "train"), ("007", "train")]) == {"007": "train"}
    with pytest.raises(ValueError, match="together below 1"):
        split_patients(cohort(3), {}, 1, 0.5, 0.5)


def test_unusable_scans_are_listed():
    scans = pd.DataFrame(
        [("02", "01", 0.0), ("01", "02", 1.5), ("01", "01", 0.0), ("03", "01", 0.0)],
        columns=["subject", "session", "years"],
    )
    failures = {("01", "02"): ("segment", "No lungs found."), ("03", "01"): ("convert", "The file is empty.")}
    usable, unusable = split_scans(scans, failures, {}, 1, 0.16, 0.2)
    assert list(usable[["subject", "session", "years"]].itertuples(index=False, name=None)) == [
        ("01", "01", 0.0),
        ("02", "01", 0.0),
    ]
    assert unusable.to_dict("records") == [
        {"subject": "01", "session": "02", "stage": "segment", "reason": "No lungs found."},
        {"subject": "03", "session": "01", "stage": "convert", "reason": "The file is empty."},
    ]


@pytest.mark.parametrize("bad", [[], ["02"], ["01", "02", "03"]])
def test_script(tmp_path, bad):
    subjects = ["01", "02", "03"]
    for subject in subjects:
        failed = subject in bad
        status = Status(not failed, "convert" if failed else "resample", "The file is empty." if failed else "")
        write_status(status, tmp_path / f"sub-{subject}" / f"sub-{subject}_ses-01_status.json")
        content = packed(Fingerprint(subject, (), None))
        write_status(Status(True, "convert", content=content), scan_file(tmp_path / "convert", subject, "01", STATUS))
    outputs = {name: tmp_path / f"{name}.tsv" for name in ("split", "unusable", "copies")}
    scans = [{"subject": subject, "session": "01", "years": 0.0} for subject in subjects]
    params = {
        "scans": scans,
        "assigned": {"01": "train"},
        "sites": {"01": "north"},
        "seed": 1,
        "val": 0.16,
        "test": 0.2,
        "folders": {"convert": tmp_path / "convert", "resample": tmp_path},
    }
    run_script("split", {}, outputs, params, tmp_path / "log")
    usable, unusable = read_table(outputs["split"]), read_table(outputs["unusable"])
    assert list(usable["subject"]) == [subject for subject in subjects if subject not in bad]
    assert list(unusable["subject"]) == bad
    assert list(usable.columns) == ["subject", "session", "years", "split", "site", "digest"]
    assert list(usable["site"]) == ["north" if subject == "01" else "" for subject in usable["subject"]]
    pd.testing.assert_frame_equal(read_table(tmp_path / "unusable.parquet"), unusable, check_dtype=False)
    assert read_table(outputs["copies"]).empty
    if "01" not in bad:
        assert usable["split"][0] == "train"
