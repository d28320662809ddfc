from pathlib import Path

import pytest

from lung4d.cohort import read_cohort
from lung4d.configuration import InvalidInput, load_yaml

SCHEMAS = {
    name: load_yaml(Path(__file__).parent.parent / f"workflow/schemas/{name}.schema.yaml")
    for name in ("scans", "participants")
}


def cohort_of(folder: Path, scans: str, participants: str | None = None):
    (folder / "scans.tsv").write_text(scans.replace(" | ", "\t"))
    if participants is not None:
        (folder / "participants.tsv").write_text(participants.replace(" | ", "\t"))
    for name in ("a.nii", "b.nii", "c.nii"):
        (folder / name).write_bytes(b"")
    return read_cohort(folder / "scans.tsv", folder / "participants.tsv", SCHEMAS, folder)


def errors_of(*arguments):
    with pytest.raises(InvalidInput) as caught:
        cohort_of(*arguments)
    return "\n".join(caught.value.errors)


def test_scans_are_ordered_by_patient_and_years_and_identifiers_stay_text(tmp_path):
    cohort = cohort_of(
        tmp_path, "subject | session | years | path\n02 | b | 1.5 | a.nii\n02 | a | 0 | b.nii\n01 | 1 | 0 | c.nii\n"
    )
    assert cohort.subjects == ["01", "02"]
    assert cohort.sessions("02") == ["a", "b"]
    assert cohort.scan("02", "b")["years"] == 1.5
    assert cohort.scan("02", "b")["series"] is None


def test_dates_become_years_since_the_first_scan_and_are_gone(tmp_path):
    cohort = cohort_of(
        tmp_path,
        "subject | session | date | path | exclude\n"
        "1 | 1 | 2019-03-01 | a.nii | moved\n1 | 2 | 2020-03-01 | b.nii | \n1 | 3 | 2021-03-01 | c.nii | \n",
    )
    assert list(cohort.scans["years"]) == [pytest.approx(366 / 365.25, abs=1e-3), pytest.approx(2.0, abs=2e-3)]
    assert "date" not in cohort.scans
    assert cohort.excluded.to_dict("records") == [{"subject": "1", "session": "1", "reason": "moved"}]


def test_every_error_of_both_tables_is_told_with_row_value_and_remedy(tmp_path):
    told = errors_of(
        tmp_path,
        "subject | session | years | path | shape\n"
        "012 | 01 | twelve | a.nii | x\n"
        "012 | 02 | 1 | missing.nii | x\n"
        "012 | 02 | 2 | a.nii | x\n"
        "sub-3 | 01 | 0 | a.nii | x\n"
        "4 | 01 |  | a.nii | x\n",
        "subject | followup_years | event | sex\n012 | 1.0 | 2 | M\n012 | 3 | 1 | female\n",
    )
    assert "scans.tsv: unknown column 'shape'" in told
    assert "scans.tsv row 2, patient 012: years is 'twelve'; give a number of years since baseline, or a date" in told
    assert "scans.tsv row 3, patient 012: path names no file or folder that exists" in told
    assert "scans.tsv row 4, patient 012: session 02 is in row 3 already" in told
    assert "scans.tsv row 5: subject is 'sub-3'" in told
    assert "scans.tsv row 6, patient 4: years is empty" in told
    assert "participants.tsv row 2, patient 012: event is '2'" in told
    assert "participants.tsv row 2, patient 012: followup_years is 1, before the patient's scan at 2 years" in told
    assert "participants.tsv row 3, patient 012: sex is 'female'; M or F" in told
    assert "participants.tsv row 3, patient 012: the patient is in row 2 already" in told
    assert len(told.splitlines()) == 10


def test_a_cohort_needs_no_participants_table(tmp_path):
    cohort = cohort_of(tmp_path, "subject | session | years | path\n1 | 1 | 0 | a.nii\n")
    assert cohort.participants.empty


def test_a_missing_table_and_a_missing_column_are_told(tmp_path):
    with pytest.raises(InvalidInput, match=r"scans.tsv is not there; make it as config/README.md shows"):
        read_cohort(tmp_path / "scans.tsv", tmp_path / "participants.tsv", SCHEMAS, tmp_path)
    assert "column 'path' is missing" in errors_of(tmp_path, "subject | session | years\n1 | 1 | 0\n")


def test_participants_without_scans_are_left_out(tmp_path):
    cohort = cohort_of(
        tmp_path,
        "subject | session | years | path\n1 | 1 | 0 | a.nii\n",
        "subject | followup_years | event | age\n1 | 2 | 1 | \n2 | 3 | 0 | 60\n",
    )
    assert cohort.participants.to_dict("records") == [{"subject": "1", "followup_years": 2.0, "event": 1, "age": None}]


def test_a_table_without_rows_is_told(tmp_path):
    assert "scans.tsv: there is no row; give one per scan" in errors_of(tmp_path, "subject | session | years | path\n")
