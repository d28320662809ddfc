"""Tables as people really make them: read as anybody would read them, or refused in sentences that name the place."""

import csv
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers import bad_tables
from helpers.running import ROOT, snakemake
from lung4d.pipeline.door import cells, name_lengths
from lung4d.pipeline.door.cohort import read_cohort
from lung4d.pipeline.door.configuration import InvalidInput, load_yaml
from lung4d.pipeline.door.likely import normal_form
from lung4d.pipeline.door.stray_files import stray_settings, stray_tables
from lung4d.survival import covariates
from lung4d.survival.landmark import landmark, outcome_table

SCHEMAS = {name: load_yaml(ROOT / f"workflow/schemas/{name}.schema.yaml") for name in ("scans", "participants", "qc")}
CASES = [*bad_tables.JOINS, *bad_tables.STRAY_TABLES, *bad_tables.TIMES, *bad_tables.LENGTHS, *bad_tables.CELLS]
CASES += [*bad_tables.UNKNOWN, *bad_tables.SOURCES]


def write(path: Path, content: str | bytes | None) -> None:
    """A file, or a folder for None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def folder_of(case: bad_tables.TableCase, folder: Path) -> Path:
    """A working folder with the case's tables, and the files of its scans."""
    (folder / "config").mkdir()
    for name in ("scans", "participants", "qc"):
        if (content := getattr(case, name)) is not None:
            write(folder / "config" / f"{name}.tsv", content)
    for name, content in case.files.items():
        write(folder / name, content)
    named = re.findall(r"[\w]+\.nii", case.scans) if isinstance(case.scans, str) else []
    for name in {"a.nii", "b.nii", *named}:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_a_table_is_read_as_anybody_would_or_refused_in_its_sentences_alone(tmp_path, case):
    folder = folder_of(case, tmp_path)
    if case.refused:
        with pytest.raises(InvalidInput) as caught:
            read_cohort(folder / "config", SCHEMAS, folder)
        told = caught.value.errors
        assert len(told) == len(case.refused), told
        for part in case.refused:
            assert any(part in error for error in told), told
        return
    cohort = read_cohort(folder / "config", SCHEMAS, folder)
    for part in case.noticed:
        assert any(part in notice for notice in cohort.notices), cohort.notices
    if case.read:
        table, column, value = case.read
        found = getattr(cohort, table)[column].iloc[0]
        assert found == value and type(found) is type(value)


def test_every_kind_has_inputs_enough():
    assert all(len(cases) >= 8 for cases in bad_tables.KINDS.values())


@pytest.mark.parametrize("name", bad_tables.STRAY_SETTINGS)
def test_settings_that_nobody_would_read_are_an_error_that_names_them(tmp_path, name):
    (tmp_path / "config").mkdir()
    write(tmp_path / name, "seed: 1\n")
    (error,), notices = stray_settings(tmp_path / "config/config.yaml", [])
    assert f"{name} looks like config.yaml and is read by nobody" in error and notices == []
    assert stray_settings(tmp_path / "config/config.yaml", [tmp_path / name]) == ([], [])  # named on the command line


@pytest.mark.parametrize("name", bad_tables.OTHER_SETTINGS)
def test_other_files_of_settings_are_left_alone(tmp_path, name):
    (tmp_path / "config").mkdir()
    write(tmp_path / name, "seed: 1\n")
    assert stray_settings(tmp_path / "config/config.yaml", []) == ([], [])


def test_settings_beside_those_that_are_read_are_told(tmp_path):
    write(tmp_path / "config/config.yaml", "")
    write(tmp_path / "config/config.yml", "")
    errors, (notice,) = stray_settings(tmp_path / "config/config.yaml", [])
    assert errors == [] and "config/config.yml is not read, because config.yaml is there" in notice


def test_a_link_to_nothing_is_not_an_absent_table(tmp_path):
    (tmp_path / "participants.tsv").symlink_to(tmp_path / "gone.tsv")
    (error,), _ = stray_tables(tmp_path)
    assert error.endswith("participants.tsv is a folder, or a link to nothing; put the file there, or remove it")


def test_the_repository_itself_has_no_stray_file():
    assert stray_settings(ROOT / "config/config.yaml", []) == ([], [])
    assert stray_tables(ROOT / "config") == ([], [])


def test_names_too_long_for_a_folder_far_from_the_root_are_told(tmp_path):
    folder = tmp_path
    while len(str(folder)) < 3980:
        folder /= "f" * 50
    folder.mkdir(parents=True)
    (error,) = name_lengths.check_lengths({"001": ["01", "02"]}, "scans.tsv", folder)
    assert "work in a folder nearer to the root" in error
    assert name_lengths.check_lengths({"001": ["01", "02"]}, "scans.tsv", tmp_path) == []


def test_a_shard_whose_results_no_command_can_name_is_told():
    targets = {"1-of-1": ["results/resample/sub-001/sub-001_ses-01_status.json"] * 40_000}
    (error,) = name_lengths.check_commands(targets, 4000)
    assert error.startswith("config, shard is 4000: ")
    fewer = int(re.search(r"give (\d+) or less", error)[1])
    assert name_lengths.check_commands({"1-of-2": targets["1-of-1"][: fewer * 10]}, fewer) == []


# any text at all

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERLIKE = st.text("0123456789+-.,eE_xXaAnNiIfF \u0661\uff11", max_size=12)
COLUMNS = [(table, name) for table, schema in SCHEMAS.items() for name in schema["properties"]]


def plain_reading(text: str, column: dict) -> object:
    """What the text is to somebody with a pencil; raises ValueError where it is nothing of the column's kind."""
    if column["type"] == "string":
        return text
    if not re.fullmatch("[-+.0-9eE]+", text):
        raise ValueError(text)
    number = float(text)
    assert math.isfinite(number)
    return int(number) if column["type"] == "integer" else number


@pytest.mark.parametrize(("table", "name"), COLUMNS)
@given(text=st.one_of(TEXTS, NUMBERLIKE))
@example(text="1e999")
@example(text="0.9999999999999999999")
@example(text="\u0661")
@settings(max_examples=60, deadline=None)
def test_whatever_a_cell_holds_is_read_plainly_or_refused_by_its_value(table, name, text):
    schema = SCHEMAS[table]
    column, needed, text = schema["properties"][name], name in schema["required"], text.strip()
    value, problem = cells.typed(text, column, needed)
    if problem:
        assert value is None and (cells.shown(text) in problem or problem == "is empty")
    elif value is None:
        assert not needed and (not re.search("[1-9]", text) or cells.NO_NAME.fullmatch(text))
    else:
        assert value == plain_reading(text, column)
        if column["type"] != "string":
            assert column["minimum"] <= value <= column["maximum"]


@pytest.mark.parametrize("name", ["followup_years", "event", "sex", "site"])
@given(text=st.one_of(TEXTS, NUMBERLIKE))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_cell_of_a_file_holds_its_error_names_file_line_column_and_value(tmp_path, name, text):
    path = tmp_path / "participants.tsv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter="\t").writerows([["subject", name], ["001", text]])
    errors = []
    sheet = cells.read_sheet(path, SCHEMAS["participants"], errors)
    read = re.sub(r"\r\n?", "\n", text).strip()
    if "\0" in text or (re.search("[\r\n]", text) and "\t" in text):
        (error,) = errors
        assert re.match(r"participants.tsv row \d: (holds a NUL|a quotation mark)", error)
    elif errors:
        (error,) = errors
        assert error.startswith(f"participants.tsv row 2, patient 001: {name} is {cells.shown(read)}")
    elif sheet.rows[0][name] is None:
        assert read == "" or sheet.notices or read in ("n/a", "NA")
    else:
        assert sheet.rows[0][name] == plain_reading(read, SCHEMAS["participants"]["properties"][name])


@given(content=st.one_of(st.binary(max_size=200), TEXTS.map(lambda text: f"subject\tage\n{text}\n".encode())))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_at_all_ends_in_anything_but_rows_or_sentences(tmp_path, content):
    path = tmp_path / "participants.tsv"
    path.write_bytes(content)
    errors = []
    sheet = cells.read_sheet(path, SCHEMAS["participants"], errors)
    assert all(error.startswith("participants.tsv") for error in errors)
    assert sheet.whole or errors
    assert all(row["subject"] for row in sheet.rows) or errors


@given(name=st.text("0123456789ABCEPabcep", min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_what_hands_and_spreadsheets_do_to_a_name_leaves_its_form(name):
    form = normal_form(name)
    for changed in (f" {name} ", f"sub-{name}", name.upper(), name.lower(), f"'{name}"):
        assert normal_form(changed) == form
    if name.isdigit():
        assert normal_form(f"00{name}") == normal_form(f"{name}.0") == form
        assert normal_form("".join(chr(ord(digit) + 0xFEE0) for digit in name)) == form  # full width


# what is made of them

LEVELS = bad_tables.LEVELS


@pytest.mark.parametrize("case", LEVELS, ids=lambda case: case.words)
def test_a_value_of_which_nothing_was_learnt_is_neither_the_reference_nor_unsaid(case):
    training, held_out = (pd.DataFrame({case.name: values}) for values in (case.training, case.held_out))
    encoder = covariates.learn_encoder(training, [case.name], held_out)
    coded = covariates.encode(encoder, held_out)
    assert tuple(np.flatnonzero(coded.isna().any(axis=1))) == case.left_out
    assert any(case.said in sentence for sentence in encoder.words) if case.said else encoder.words == ()
    assert not covariates.encode(encoder, training).isna().any(axis=None)


@pytest.mark.parametrize(("followup", "event", "start", "reason"), bad_tables.FIRST_DAYS)
def test_an_end_on_the_first_day_is_an_outcome_that_came_too_early(followup, event, start, reason):
    outcomes = outcome_table([{"subject": "a", "followup_years": followup, "event": event}])
    clock, excluded = landmark(outcomes, pd.Series({"a": "test"}), pd.Series({"a": start}))
    assert {name for name, count in excluded.items() if count} == ({reason} if reason else set())
    assert len(clock) == (not reason)


# the whole door


def test_nothing_starts_where_settings_or_outcomes_are_in_files_that_nobody_reads(tmp_path):
    write(tmp_path / "config/scans.tsv", bad_tables.ONE)
    write(tmp_path / "config/config.yml", "seed: 1\n")
    write(tmp_path / "config/participants.csv", "subject,event\n001,1\n")
    (tmp_path / "a.nii").touch()
    done = snakemake("--cores", "1", "-n", folder=tmp_path, check=False)
    told = done.stdout + done.stderr
    assert done.returncode != 0 and "2 problems in the input; nothing was started" in told
    assert "config/config.yml looks like config.yaml" in told
    assert "config/participants.csv looks like participants.tsv" in told


def test_who_meets_no_scan_is_counted_when_a_run_starts_and_by_preflight(tmp_path):
    write(tmp_path / "config/scans.tsv", bad_tables.TWO)
    write(tmp_path / "config/participants.tsv", bad_tables.people("001\t4\t1", "077\t4\t0"))
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).touch()
    met = "1 of 2 rows are of patients of scans.tsv, 1 of nobody there (077); 1 of 2 patients have no row"
    done = snakemake("--cores", "1", "-n", folder=tmp_path)
    assert met in done.stdout + done.stderr
    done = snakemake("--cores", "1", "preflight", folder=tmp_path, check=False)
    assert met in done.stdout
