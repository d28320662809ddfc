"""Many patients a job: who is in which shard, and a finished run that goes on with shards."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from helpers.running import ROOT, jobs_of, snakemake, times
from lung4d.pipeline.shards import result_digest, shards_of

SUBJECTS = [f"{number:04d}" for number in range(1000)]


def test_every_patient_is_in_one_shard():
    shards = shards_of(SUBJECTS, 10)
    assert sorted(subject for members in shards.values() for subject in members) == SUBJECTS
    assert len(shards) == 128 and next(iter(shards)) == "001-of-128"
    assert max(map(len, shards.values())) < 25


@pytest.mark.parametrize(("patients", "size", "shards"), [(1, 8, 1), (8, 8, 1), (0, 8, 0)])
def test_small_cohorts(patients, size, shards):
    assert len(shards_of(SUBJECTS[:patients], size)) == shards


def test_a_patient_more_changes_one_shard():
    before, after = shards_of(SUBJECTS[:999], 10), shards_of(SUBJECTS, 10)
    changed = [name for name in after if after[name] != before.get(name)]
    assert len(changed) == 1 and set(after[changed[0]]) - set(before[changed[0]]) == {SUBJECTS[-1]}


def test_digest_of_files_and_folders(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a").write_text("1")
    (tmp_path / "b").write_text("1")
    folder = result_digest(tmp_path)
    (tmp_path / "sub/a").touch()
    assert result_digest(tmp_path) == folder and result_digest(tmp_path / "sub/a") == result_digest(tmp_path / "b")
    (tmp_path / "sub/a").rename(tmp_path / "a")
    assert result_digest(tmp_path) != folder


@pytest.mark.slow
def test_a_finished_run_goes_on_with_shards(tiny_run, tmp_path):
    """No scan is done again, and the models that come out are the same, because nothing that they depend on changed."""
    folder = shutil.copytree(tiny_run, tmp_path / "run", symlinks=True)
    kept = ("simulate", "convert", "segment", "register", "resample")
    before = {name: time for name, time in times(folder / "results").items() if name.split("/")[0] in kept}
    models = [folder / f"results/{stage}/model.pt" for stage in ("train_vqgan", "train_ode")]
    weights = [model.read_bytes() for model in models]
    # The last result that shards are needed for.
    run = ("results/biomarkers/biomarkers.tsv", "--cores", "2", "--configfile", str(ROOT / "tests/tiny.yaml"))
    run += ("--config", "shard=2")

    jobs = jobs_of(snakemake(*run, folder=folder))
    assert not set(jobs) & {*kept, "extract_latents", "generate_trajectories"}
    assert Counter(jobs)["shard_scans"] == len(list((folder / "results/shards/scans").iterdir())) > 1
    after = times(folder / "results")
    assert {name: after[name] for name in before} == before
    assert [model.read_bytes() for model in models] == weights
    assert "going on from checkpoint" in (folder / "results/logs/train_vqgan/train_vqgan.log").read_text()

    assert not jobs_of(snakemake(*run, folder=folder))


@pytest.mark.slow
def test_a_shard_that_is_killed_goes_on_with_what_is_left(tmp_path):
    (tmp_path / "few.yaml").write_text("shard: 8\nsimulate: {patients: 2, faults: []}\n")
    options = ["--cores", "2", "--directory", str(tmp_path)]
    options += ["--configfile", str(ROOT / "tests/tiny.yaml"), str(tmp_path / "few.yaml")]
    command = [sys.executable, "-m", "snakemake", *options, "--", "results/shards/scans/1-of-1.tsv"]
    run = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    while not (finished := list(tmp_path.glob("results/resample/*/sub-*_status.json"))):
        assert run.poll() is None
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    # Snakemake may not have noted yet that the last results are whole; what they were made from it has.
    made_before = [Path(str(path).replace("resample", "segment")) for path in finished]
    before = {path: path.stat().st_mtime_ns for path in made_before}
    subprocess.run([*command[:3], *options, "--unlock"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(tmp_path.glob("results/resample/*/sub-*_status.json"))) > len(finished)
