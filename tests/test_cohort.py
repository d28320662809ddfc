import os
import time
from pathlib import Path

import pytest

from lung4d.pipeline.door.cohort import read_cohort
from lung4d.pipeline.door.configuration import InvalidInput, load_yaml

SCHEMAS = {
    name: load_yaml(Path(__file__).parent.parent / f"workflow/schemas/{name}.schema.yaml")
    for name in ("scans", "participants", "qc")
}


def cohort_of(folder: Path, scans: str, participants: str | None = None, qc: str | None = None):
    for name, text in {"scans": scans, "participants": participants, "qc": qc}.items():
        if text is not None:
            (folder / f"{name}.tsv").write_text(text.replace(" | ", "\t"))
    for name in ("a.nii", "b.nii", "c.nii"):
        (folder / name).write_bytes(b"")
    return read_cohort(folder, SCHEMAS, folder)


def errors_of(*arguments, **tables):
    with pytest.raises(InvalidInput) as caught:
        cohort_of(*arguments, **tables)
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
        "sub-3 | 01 | 0 | b.nii | x\n"
        "4 | 01 |  | c.nii | x\n",
        "subject | followup_years | event | sex\n012 | 1.0 | 2 | M\n012 | 3 | 1 | female\n",
    )
    assert "scans.tsv: unknown column 'shape'" in told
    assert "scans.tsv row 2, patient 012: years is 'twelve'; give a number of years since baseline, or a date" in told
    assert "scans.tsv row 3, patient 012: path names no file or folder that exists" in told
    assert "scans.tsv row 4, patient 012: session 02 is in row 3 already" in told
    assert "scans.tsv row 4, patient 012: path and series are those of row 2 already" in told
    assert "scans.tsv row 5: subject is 'sub-3'" in told
    assert "scans.tsv row 6, patient 4: years is empty" in told
    assert "participants.tsv row 2, patient 012: event is '2'" in told
    assert "participants.tsv row 2, patient 012: followup_years is 1, before the patient's scan at 2 years" in told
    assert "participants.tsv row 3, patient 012: sex is 'female'; M or F" in told
    assert "participants.tsv row 3, patient 012: the patient is in row 2 already" in told
    assert len(told.splitlines()) == 11


def test_a_cohort_needs_no_participants_table(tmp_path):
    cohort = cohort_of(tmp_path, "subject | session | years | path\n1 | 1 | 0 | a.nii\n")
    assert cohort.participants.empty


def test_a_missing_table_and_a_missing_column_are_told(tmp_path):
    with pytest.raises(InvalidInput, match=r"scans.tsv is not there; make it as config/README.md shows"):
        read_cohort(tmp_path, SCHEMAS, tmp_path)
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


TWO_PATIENTS = (
    "subject | session | years | path | exclude\n"
    "1 | 1 | 0 | a.nii | \n1 | 2 | 1 | b.nii | \n1 | 3 | 2 | c.nii | moved\n2 | 1 | 0 | gone.nii | \n"
)


def test_qc_leaves_scans_out_as_exclude_does_and_their_files_may_be_gone(tmp_path):
    cohort = cohort_of(
        tmp_path, TWO_PATIENTS, qc="subject | session | reason\n1 | 1 | cut apex\n2 | 1 | prone\n1 | 3 | moved much\n"
    )
    assert list(zip(cohort.scans["subject"], cohort.scans["session"], strict=True)) == [("1", "2")]
    assert cohort.excluded.to_dict("records") == [
        {"subject": "1", "session": "1", "reason": "cut apex"},
        {"subject": "1", "session": "3", "reason": "moved much"},
        {"subject": "2", "session": "1", "reason": "prone"},
    ]


def test_every_error_of_qc_is_told_with_row_and_remedy(tmp_path):
    told = errors_of(
        tmp_path,
        TWO_PATIENTS,
        qc="subject | session | reason | who\n"
        "1 | 9 | x | me\n9 | 1 | x | me\n1 | 1 |  | me\n1 | 2 | x | me\n1 | 2 | y | me\n",
    )
    assert "qc.tsv: unknown column 'who'; known are subject, session, reason" in told
    assert "qc.tsv row 2, patient 1: scans.tsv has no session 9 of this patient; mend it, or remove the row" in told
    assert "qc.tsv row 3, patient 9: scans.tsv has no such patient; mend subject, or remove the row" in told
    assert "qc.tsv row 4, patient 1: reason is empty; say why the scan is left out" in told
    assert "qc.tsv row 6, patient 1: session 2 is in row 5 already; keep one row a scan" in told
    assert "scans.tsv row 5, patient 2: path names no file" in told
    assert len(told.splitlines()) == 6


def test_a_cohort_without_any_scan_left_is_told(tmp_path):
    told = errors_of(
        tmp_path,
        "subject | session | years | path | exclude\n1 | 1 | 0 | a.nii | x\n2 | 1 | 0 | b.nii | \n",
        qc="subject | session | reason\n2 | 1 | moved\n",
    )
    assert told == "scans.tsv: every scan is left out; keep at least one"


def test_marks_that_a_spreadsheet_leaves_are_no_error(tmp_path):
    cohort = cohort_of(tmp_path, "\ufeffsubject | session | years | path\n1 | 1 | 0 | a.nii | \n1 | 2 | 1 | b.nii | \n")
    assert cohort.sessions("1") == ["1", "2"]


def test_a_file_from_the_future_is_told(tmp_path):
    """Snakemake would fail the job that reads it, run after run, until that time has come."""
    cohort_of(tmp_path, "subject | session | years | path\n1 | 1 | 0 | a.nii\n")
    os.utime(tmp_path / "a.nii", (time.time() + 3600,) * 2)
    with pytest.raises(InvalidInput, match=r"row 2, patient 1: path was changed 60 minutes in the future"):
        read_cohort(tmp_path, SCHEMAS, tmp_path)
    os.utime(tmp_path / "a.nii", (time.time() + 30,) * 2)
    assert read_cohort(tmp_path, SCHEMAS, tmp_path).subjects == ["1"]


def test_years_and_dates_of_a_patient_are_not_mixed(tmp_path):
    told = errors_of(
        tmp_path,
        "subject | session | years | date | path\n"
        "1 | 1 | 0 |  | a.nii\n1 | 2 |  | 2015-01-01 | b.nii\n2 | 1 | 0 |  | c.nii\n",
    )
    assert told == (
        "scans.tsv row 2, patient 1: years without a date, where the patient has dates alone; give all of them one way"
    )


def test_dates_that_are_none_and_rows_without_a_patient_are_told_without_the_date(tmp_path):
    told = errors_of(
        tmp_path, "subject | session | date | path\n1 | 1 | 05.04.2013 | a.nii\n | 2 | 2014-01-01 | b.nii\n"
    )
    assert "scans.tsv row 2, patient 1: date is not a date; give it as YYYY-MM-DD" in told
    assert "scans.tsv row 3: subject is empty" in told
    assert len(told.splitlines()) == 2 and "2013" not in told
