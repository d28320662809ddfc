"""What a run would do, how long and on how much disk: read off texts and folders whose answer is known."""

import base64
import json
import os
from hashlib import sha256

import numpy as np
import pytest
import yaml

from helpers.running import ROOT
from lung4d.pipeline import disk_use, dry_run, preflight
from lung4d.pipeline.shards import STAGES

DRY_RUN = """
[Fri Nov 27 18:41:10 2026]
rule shard_scans:
    output: results/shards/scans/4-of-4.tsv
    log: results/logs/shards/scans/4-of-4.log
    jobid: 6
    reason: Missing output files: results/shards/scans/4-of-4.tsv
    wildcards: shard=4-of-4
    threads: 8
    resources: tmpdir=/tmp, mem_mb=64000, slurm_account=, slurm_partition=cpu, runtime=480
[Fri Nov 27 18:41:10 2026]
rule shard_scans:
    output: results/shards/scans/2-of-4.tsv
    jobid: 4
    reason: Missing output files: results/shards/scans/2-of-4.tsv
    threads: 8
    resources: tmpdir=/tmp, mem_mb=64000, slurm_account=, slurm_partition=cpu, runtime=480

[Fri Nov 27 18:41:11 2026]
rule train_vqgan:
    input: results/split/split.tsv
    output: results/train_vqgan/model.pt
    jobid: 9
    reason: Params have changed since last execution: was: 1; 2 now: 3; Input files updated by another job: c, a, b, d
    threads: 8
    resources: tmpdir=/tmp, mem_mb=64000, slurm_account=lung, slurm_partition=a100, runtime=2880, gres=gpu:a100:1
Shell command: None

[Fri Nov 27 18:41:11 2026]
rule all:
    input: results/report/index.html
    jobid: 0
"""


def test_a_dry_run_is_read():
    works = dry_run.read_dry_run(DRY_RUN)
    assert {rule: work.jobs for rule, work in works.items()} == {"shard_scans": 2, "train_vqgan": 1}
    assert works["train_vqgan"].reason == (
        "Params have changed since last execution; Input files updated by another job: a, b and 2 more"
    )
    assert dry_run.due_stages(works) == {*STAGES["shard_scans"], "train_vqgan"}
    cpu, gpu = dry_run.requests(works.values())
    assert cpu == {"partition": "cpu", "memory": "64000", "runtime": "480", "threads": "8"}
    assert (gpu["gres"], gpu["account"]) == ("gpu:a100:1", "lung")
    assert dry_run.read_dry_run("Nothing to be done.") == {} and "Nothing will run" in dry_run.plan_lines({}, {}, {})[0]


def test_a_retrain_is_announced_with_the_time_that_it_took():
    works = dry_run.read_dry_run(DRY_RUN)
    lines = dry_run.plan_lines(works, {"shard_scans": 1800.0}, {"train_vqgan": (20000, 32400.0)})
    assert lines[0] == "3 jobs will run:" and "about 60 min of work" in lines[1]
    assert lines[-1].startswith("This retrains stage 1 (train_vqgan): about 9.0 h by the pace of the last one (20,000")
    assert "for the first time" in dry_run.plan_lines(works, {}, {})[-1]


def test_the_pace_of_the_last_training(tmp_path):
    assert dry_run.training_seconds(tmp_path) is None
    for step, time, digest in ((500, 7000, "old"), (1000, 7400, "old"), (750, 9000, "new"), (1000, 9500, "new")):
        path = tmp_path / f"step-{step:08d}_digest-{digest}.pt"
        path.touch()
        os.utime(path, (time, time))
    assert dry_run.training_seconds(tmp_path) == (1000, 2000.0)


def test_seconds_of_jobs_from_snakemakes_records(tmp_path):
    for number, seconds in enumerate((2.0, 4.0)):
        name = base64.urlsafe_b64encode(f"results/convert/sub-{number}/x.nii.gz".encode()).decode()
        (tmp_path / name).write_text(json.dumps({"rule": "convert", "starttime": 10.0, "endtime": 10.0 + seconds}))
    (tmp_path / "half").write_text('{"rule": "con')
    assert dry_run.recorded_seconds(tmp_path) == {"convert": 3.0}
    assert dry_run.recorded_seconds(tmp_path / "nothing") == {}


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (720, "12 min"), (32400, "9.0 h"), (864000, "10.0 days")])
def test_durations_in_words(seconds, words):
    assert dry_run.duration_in_words(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(500, "0 kB"), (12e6, "12 MB"), (3.4e9, "3.4 GB"), (1.2e12, "1.2 TB")])
def test_sizes_in_words(size, words):
    assert disk_use.size_in_words(size) == words


def test_disk_that_is_used_and_expected(tmp_path):
    (tmp_path / "resample/sub-1").mkdir(parents=True)
    (tmp_path / "resample/sub-1/a").write_bytes(b"x" * 1000)
    (tmp_path / "resample/b").write_bytes(b"x" * 24)
    assert disk_use.used(tmp_path) == {"resample": 1024}
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    expected = disk_use.predicted(100 * 80e6, 100, 30, config)
    volume = 2 * np.prod(config["resample"]["shape"])
    assert expected["resample"] == pytest.approx(100 * volume, rel=0.01)
    assert disk_use.still_wanted(expected, dict.fromkeys(expected, 1e15)) == 0
    assert disk_use.still_wanted(expected, {}) == pytest.approx(sum(expected.values()))


def test_processes_that_cannot_share_a_training():
    config = {"train_vqgan": {"accumulation": 6}, "train_ode": {"accumulation": 8}}
    assert preflight.check_processes({"train_vqgan": {"processes": "6", "nodes": "3"}, "qc": {}}, config) == []
    uneven = preflight.check_processes({"train_vqgan": {"processes": "4"}, "train_ode": {"processes": "4"}}, config)
    assert len(uneven) == 1 and "train_vqgan.accumulation is 6, which 4 processes" in uneven[0]
    (spread,) = preflight.check_processes({"table3_train": {"processes": "3", "nodes": "2"}}, config)
    assert "table3_train: 3 processes cannot be spread evenly over 2 nodes" in spread


def test_weights_that_are_others(tmp_path):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert preflight.check_weights(config) == []
    config["segment"]["weights"] = str(tmp_path / "r231.pth")
    assert preflight.check_weights(config) == []  # said by the rules of the configuration
    (tmp_path / "r231.pth").write_bytes(b"weights")
    config["segment"]["weights_sha256"] = "0" * 64
    assert "another SHA-256" in preflight.check_weights(config)[0]
    config["segment"]["weights_sha256"] = sha256(b"weights").hexdigest().upper()
    assert preflight.check_weights(config) == []


def test_a_folder_of_forecasts_that_holds_none(tmp_path):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert preflight.check_forecasts(config) == []
    config["evaluate"]["forecasts"] = str(tmp_path / "theirs")
    assert "is no folder" in preflight.check_forecasts(config)[0]
    (tmp_path / "theirs").mkdir()
    assert "has no volume" in preflight.check_forecasts(config)[0]
    (tmp_path / "theirs" / "sub-001_given-01+02_ses-03_ct.nii.gz").touch()
    assert preflight.check_forecasts(config) == []


def test_event_files_without_their_package():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["train_ode"]["tensorboard"] = True
    assert preflight.check_tensorboard(config, there=True) == []
    assert preflight.check_tensorboard(config, there=False)[0].startswith("train_ode.tensorboard is true, but")


def test_a_folder_of_links_takes_what_they_lead_to(tmp_path):
    archive, visit = tmp_path / "archive", tmp_path / "visit"
    archive.mkdir(), visit.mkdir()
    (archive / "a.dcm").write_bytes(b"1" * 1000)
    (visit / "a.dcm").symlink_to(archive / "a.dcm")
    (visit / "gone.dcm").symlink_to(archive / "gone.dcm")
    assert disk_use.folder_bytes(visit) == 1000
    (visit / "series").symlink_to(archive)
    (archive / "circle").symlink_to(archive)
    assert disk_use.folder_bytes(visit) == 2000 and disk_use.folder_bytes(archive) == 1000
