"""Quality table: known statuses give known rows and flags."""

import itertools

import pandas as pd

from helpers.scripts import run_script
from lung4d.io.status import Status, write_status
from lung4d.io.tables import read_table, write_table
from lung4d.qc import Thresholds, flatten
from lung4d.visits.copies import SAME, Copies, copies_table

LIMITS = Thresholds(max_volume_change=0.4, min_dice_after=0.9)


def went_through(volume, dice, flags=()):
    return [
        Status(True, "convert", metrics={"slices": 120}),
        Status(True, "segment", metrics={"volume_ml": volume}, flags=list(flags)),
        Status(True, "register", metrics={"dice_after": dice}),
        Status(True, "resample"),
    ]


def table(scans, **more):
    return flatten([(*scan, status) for scan, statuses in scans.items() for status in statuses], LIMITS, **more)


def test_metrics_carry_their_stage():
    row = table({("001", "01"): went_through(4000.0, 1.0)}).iloc[0]
    assert row["ok"] and row["stage"] == "" and row["reason"] == "" and row["flags"] == ""
    assert (row["convert_slices"], row["segment_volume_ml"], row["register_dice_after"]) == (120, 4000.0, 1.0)


def test_the_first_failure_is_named_whatever_the_order():
    handed_on = [Status(False, "segment", "No lungs found."), Status(False, "segment", "No lungs found.")]
    statuses = [*handed_on, Status(False, "segment", "No lungs found.", {"volume_ml": 3.0}), Status(True, "convert")]
    row = table({("001", "01"): statuses}).iloc[0]
    assert not row["ok"]
    assert (row["stage"], row["reason"], row["segment_volume_ml"]) == ("segment", "No lungs found.", 3.0)


def test_flags_name_the_change_against_the_baseline_in_time():
    scans = {("001", "b"): went_through(4000.0, 1.0), ("001", "a"): went_through(2000.0, 0.85)}
    frame = table(scans, years={("001", "b"): 0.0, ("001", "a"): 1.5}).set_index("session")
    assert frame.loc["b", "flags"] == ""
    assert "50 % smaller" in frame.loc["a", "flags"]
    assert "Dice 0.85, below 0.9" in frame.loc["a", "flags"]


def test_the_baseline_is_the_first_visit_with_lungs():
    cut = [Status(False, "convert", "The file is empty.")] * 4
    follow_ups = {("001", "02"): went_through(4000.0, 1.0), ("001", "03"): went_through(2000.0, 0.85)}
    frame = table({("001", "01"): cut, **follow_ups}).set_index("session")
    assert frame.loc["02", "flags"] == "" and "50 % smaller than at the baseline" in frame.loc["03", "flags"]
    assert frame.loc["01", "flags"] == "" and not frame.loc["01", "ok"]


def test_a_copy_that_is_left_out_is_not_usable_and_one_that_is_not_is_flagged():
    scans = {scan: went_through(4000.0, 1.0) for scan in (("001", "01"), ("001", "02"), ("002", "01"))}
    found = copies_table([Copies(SAME, (("001", "01"), ("001", "02"))), Copies(SAME, (("001", "01"), ("002", "01")))])
    frame = table(scans, copies=found).set_index(["subject", "session"])
    assert frame["ok"].tolist() == [True, False, True]
    assert frame.loc[("001", "02"), "stage"] == "split" and "scan of visit 01" in frame.loc[("001", "02"), "reason"]
    assert "visit 02 of the same patient" in frame.loc[("001", "01"), "flags"]
    assert "patient 001, visit 01" in frame.loc[("002", "01"), "flags"]


def test_within_the_thresholds_nothing_is_flagged():
    scans = {("001", "01"): went_through(4000.0, 1.0), ("001", "02"): went_through(2401.0, 0.9)}
    assert (table(scans)["flags"] == "").all()


def test_flags_of_the_stages_come_first_and_once():
    flagged = went_through(4000.0, 0.5, flags=["Only one lung was found.", "Only one lung was found."])
    frame = table({("001", "01"): went_through(4000.0, 1.0), ("001", "02"): flagged})
    assert frame.loc[1, "flags"].startswith("Only one lung was found. After registration")


def test_lists_become_text_and_missing_numbers_flag_nothing():
    odd = [Status(True, "convert", metrics={"size": [1, 2]}), Status(True, "segment", metrics={"volume_ml": None})]
    frame = table({("001", "01"): odd, ("001", "02"): odd})
    assert frame["convert_size"].tolist() == ["[1, 2]"] * 2
    assert (frame["flags"] == "").all()


def test_script_writes_both_twins(tmp_path):
    stages = ("convert", "segment")
    for stage, session in itertools.product(stages, ("01", "02")):
        path = tmp_path / f"{stage}/sub-001/sub-001_ses-{session}_status.json"
        failed = session == "02"
        write_status(Status(not failed, "convert" if failed else stage, "The file is empty." if failed else ""), path)
    scans = [{"subject": "001", "session": s, "years": y} for s, y in (("01", 0.0), ("02", 1.0))]
    params = {"max_volume_change": 0.4, "min_dice_after": 0.9, "scans": scans}
    params["folders"] = {stage: str(tmp_path / stage) for stage in stages}
    found = [Copies(SAME, (("001", "01"), ("002", "01")))]
    write_table(copies_table(found), tmp_path / "copies.tsv")
    outputs = {"table": str(tmp_path / "qc.tsv")}
    run_script("qc", {"copies": tmp_path / "copies.tsv"}, outputs, params, tmp_path / "qc.log")
    for name in ("qc.tsv", "qc.parquet"):
        frame = read_table(tmp_path / name)
        assert frame["subject"].tolist() == ["001", "001"]
        assert frame["session"].tolist() == ["01", "02"]
        assert frame["ok"].tolist() == [True, False]
        assert "voxel for voxel the scan of patient 002, visit 01" in frame["flags"][0]
    assert pd.read_parquet(tmp_path / "qc.parquet")["reason"].tolist() == ["", "The file is empty."]
