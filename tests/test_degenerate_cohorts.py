"""Cohorts with hardly anything in them run to the end, as far as they can; the report says what could not be done."""

import pandas as pd
import pytest

from helpers.running import faulty_scans, read_json, snakemake, take_over_scans, write_cohort

pytestmark = pytest.mark.slow


def run_on(tiny_run, folder, keep, participants=None, target="all"):
    """The tiny settings on the scans of the built-in cohort that `keep` selects."""
    images = tiny_run / "results/simulate"
    scans = keep(pd.read_csv(images / "scans.tsv", sep="\t", dtype=str))
    scans["path"] = [str(images / path) for path in scans["path"]]
    people = participants and participants(pd.read_csv(images / "participants.tsv", sep="\t", dtype=str))
    write_cohort(folder, scans, people)
    if target == "all":  # where what comes after the scans' own stages is tested
        take_over_scans(tiny_run, folder, scans)
    snakemake("--cores", "2", target, folder=folder)
    page = folder / "results/report/index.html"
    return page.read_text() if page.exists() else "", folder / "results"


def first(count):
    """The first visits of every patient, which are never the faulty ones."""
    return lambda scans: scans.groupby("subject").head(count)


def test_one_patient_with_one_visit_and_no_outcomes(tiny_run, tmp_path):
    page, results = run_on(tiny_run, tmp_path / "one", lambda scans: first(1)(scans).head(1))
    assert list((results / "generate_trajectories").rglob("*_desc-generated_ct.nii.gz"))
    assert "one visit" in page
    assert read_json(results / "survival/summary.json")


def test_no_third_visits_and_no_events(tiny_run, tmp_path):
    def four(table):
        return table[table["subject"] < "005"]

    folder = tmp_path / "two"
    page, results = run_on(tiny_run, folder, lambda scans: first(2)(four(scans)), lambda t: four(t).assign(event="0"))
    forecast = pd.read_csv(results / "evaluate/forecast.tsv", sep="\t")
    assert forecast.empty and "task" in forecast.columns
    assert "event" in page


def test_a_cohort_of_unusable_scans_alone_is_told_scan_by_scan(tiny_run, tmp_path):
    faults = faulty_scans(tiny_run)

    def faulty(scans):
        return scans[[key in faults for key in zip(scans["subject"], scans["session"], strict=True)]]

    _, results = run_on(tiny_run, tmp_path / "none", faulty, target="scans")
    assert pd.read_csv(results / "split/split.tsv", sep="\t").empty
    unusable = pd.read_csv(results / "split/unusable.tsv", sep="\t")
    assert len(unusable) == 3 and unusable["reason"].notna().all()
