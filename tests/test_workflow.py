"""The tiny cohort through every stage, once; then what a person would look for in the folder it leaves."""

import re

import pandas as pd
import pytest

from helpers.running import ROOT, faulty_scans, jobs_of, snakemake, times
from lung4d.io.names import parse_name
from lung4d.pipeline.door import name_lengths

TINY = ("--cores", "2", "--configfile", str(ROOT / "tests/tiny.yaml"))


@pytest.fixture(scope="module")
def repository_before():
    return times(ROOT / "workflow"), times(ROOT / "config")


def test_every_stage_leaves_its_results(repository_before, tiny_run):
    results = tiny_run / "results"
    for name in (
        "split/split.tsv",
        "train_vqgan/model.pt",
        "train_vqgan/progress.png",
        "codebook/codebook.tsv",
        "codebook/decoded.png",
        "codebook/exemplars.png",
        "train_ode/model.pt",
        "evaluate/reconstruction.tsv",
        "evaluate/forecast.tsv",
        "evaluate/calls.tsv",
        "evaluate/volume.tsv",
        "evaluate/coverage.tsv",
        "biomarkers/biomarkers.tsv",
        "biomarkers/readouts.tsv",
        "survival/cindex.tsv",
        "qc/qc.tsv",
        "report/index.html",
        "README.md",
    ):
        assert (results / name).stat().st_size > 0, name
    tables = [path for path in results.rglob("*.tsv") if "simulate" not in path.parts]
    assert all(path.with_suffix(".parquet").is_file() for path in tables if "sub-" not in path.name)


def test_the_repository_is_not_written_to(repository_before, tiny_run):
    assert (times(ROOT / "workflow"), times(ROOT / "config")) == repository_before


def test_a_second_run_does_nothing(tiny_run):
    before = times(tiny_run / "results")
    done = snakemake(*TINY, folder=tiny_run)
    assert not jobs_of(done)
    assert times(tiny_run / "results") == before


def test_preflight_says_that_nothing_is_left_to_do(tiny_run):
    done = snakemake("preflight", *TINY, folder=tiny_run)
    assert "6 patients" in done.stdout and "Nothing will run" in done.stdout
    assert "resample" in done.stdout and "Nothing stands in the way." in done.stdout


def test_preflight_beside_something_else_runs_nothing(tiny_run):
    before = times(tiny_run / "results")
    done = snakemake("preflight", *TINY, "--forcerun", "train_ode", folder=tiny_run, check=False)
    assert done.returncode != 0 and "with train_ode in the command Snakemake would do more" in done.stderr
    assert times(tiny_run / "results") == before


def test_the_split_and_the_unusable_scans_are_the_whole_cohort(tiny_run):
    text = {"subject": str, "session": str}
    made = pd.read_csv(tiny_run / "results/simulate/scans.tsv", sep="\t", dtype=text)
    used = pd.read_csv(tiny_run / "results/split/split.tsv", sep="\t", dtype=text)
    unusable = pd.read_csv(tiny_run / "results/split/unusable.tsv", sep="\t", dtype=text)
    keys = [set(zip(table["subject"], table["session"], strict=True)) for table in (made, used, unusable)]
    assert keys[0] == keys[1] | keys[2]
    assert not keys[1] & keys[2]


def test_no_name_is_longer_than_the_tables_are_checked_for(tiny_run):
    made = pd.read_csv(tiny_run / "results/simulate/scans.tsv", sep="\t", dtype={"subject": str, "session": str})
    sessions = made.groupby("subject")["session"].agg(list)
    names = [path.name for path in (tiny_run / "results").rglob("sub-*_*")]
    assert len(names) > 100
    for name in names:
        subject = parse_name(name)["sub"]
        longest = max(map(len, name_lengths.longest_names(subject, sessions[subject])))
        assert len(name_lengths.BEING_WRITTEN + name) <= longest, name


def test_only_what_judges_reads_the_truth():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            name, inputs = rule.split(":", 1)[0], rule.split("output:")[0]
            reads = "truth" in inputs.lower() or re.search(r"folders=folders\(.*simulate", rule)
            assert not reads or name in ("evaluate", "ablation", "unet", "report"), name


def test_bad_scans_are_named_in_the_report_and_stop_nothing(tiny_run):
    unusable = pd.read_csv(tiny_run / "results/split/unusable.tsv", sep="\t", dtype=str)
    assert set(zip(unusable["subject"], unusable["session"], strict=True)) == faulty_scans(tiny_run)
    assert len(unusable) == 3
    page = (tiny_run / "results/report/index.html").read_text()
    for row in unusable.itertuples():
        assert row.subject in page and row.reason in page
