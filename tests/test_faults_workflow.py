"""Faults of a whole run: a folder that cannot be written to, clocks that differ, older results, two runs at once.

docs/faults.md says what a person does. Every case works on a copy of one finished run.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import yaml

from helpers.gates import Gates
from helpers.running import ROOT, jobs_of, snakemake, times
from helpers.small_disk import read_only
from lung4d.io.atomic import DamagedFile
from lung4d.io.latents import load_latents
from lung4d.io.nifti import read_image
from lung4d.io.status import read_status
from lung4d.io.tables import read_table
from lung4d.pipeline.job import remedy_for
from lung4d.vqgan.model import load_vqgan

pytestmark = pytest.mark.slow

RUN = ("--configfile", str(ROOT / "tests/tiny.yaml"), "--cores", "2")  # that option takes all words up to the next
MODEL = "results/train_vqgan/model.pt"
HOUR = 3600


@pytest.fixture
def folder(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run", symlinks=True)


def settings(folder, **sections):
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(sections))


def shift(path, seconds):
    """Set a file's time to now and `seconds` more."""
    os.utime(path, (time.time() + seconds,) * 2)


def planned(folder, *targets):
    return jobs_of(snakemake(*RUN, "--dry-run", *targets, folder=folder))


def log_of_training(folder):
    try:
        return (folder / "results/logs/train_vqgan/train_vqgan.log").read_text()
    except FileNotFoundError:
        return ""  # before a training and as the next one begins


# Files that are cut short


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def asked_for(message):
    """What the message says to ask for."""
    return re.search(r"run the same command once with `--force (\S+)` at its end", message).group(1)


def test_the_remedy_that_a_message_names_makes_the_file_again(folder):
    """Although no stage after it is due, and whether or not a job declares it as its input."""
    results = folder / "results"
    scan = next(path for path in sorted(results.glob("resample/*/*_status.json")) if read_status(path).ok)
    subject, stem = scan.parent.name, scan.name.removesuffix("_status.json")
    damaged = {
        "convert": (results / f"convert/{subject}/{stem}_ct.nii.gz", read_image),
        "resample": (scan, read_status),
        "extract_latents": (results / f"extract_latents/{subject}/{stem}_latents.npz", load_latents),
        "simulate": (next((results / f"simulate/truth/{subject}").glob("*.nii.gz")), read_image),
        "evaluate": (results / "evaluate/summary.tsv", read_table),
        "train_vqgan": (folder / MODEL, load_vqgan),
    }
    targets = []
    for path, read in damaged.values():
        with pytest.raises(DamagedFile) as caught:
            read(cut(path))
        targets.append(asked_for(remedy_for(caught.value.path)))
    assert set(damaged) <= set(planned(folder, "--force", *targets))


def test_a_stage_ends_with_the_name_of_the_file_that_is_cut_short(folder):
    """Through Snakemake: the job fails, the log says why, and after the remedy the run comes to its end."""
    path = cut(next((folder / "results/extract_latents").glob("*/*_latents.npz")))
    table = "results/codebook/codebook.tsv"
    expected = (folder / table).read_bytes()
    (folder / table).unlink()
    done = snakemake(*RUN, table, folder=folder, check=False)
    assert done.returncode == 1 and not (folder / table).exists()
    said = (folder / "results/logs/codebook/codebook.log").read_text()
    assert f"DamagedFile: {path.relative_to(folder)} cannot be used (" in said
    snakemake(*RUN, "--force", asked_for(said), folder=folder)
    snakemake(*RUN, table, folder=folder)
    assert (folder / table).read_bytes() == expected


# Folders that cannot be written to


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "run cannot be written to; mend its permissions"),
        ("results", "run/results cannot be written to; mend its permissions"),
        ("results/survival", "Write-protected output files for rule survival"),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_named_before_anything_starts(folder, name, said):
    target = "results/survival/summary.json"
    settings(folder, survival={"ridge": 0.2})
    if name == "results":  # files that are there, Snakemake itself names
        shutil.rmtree(folder / "results/survival")
    before = times(folder / "results")
    with read_only(folder / name):
        done = snakemake(*RUN, target, folder=folder, check=False)
        assert done.returncode == 1 and said in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        if name == "results":
            assert planned(folder, target) == {"survival": 1}  # looking is allowed
    assert times(folder / "results") == before
    snakemake(*RUN, target, folder=folder)


# Clocks


def test_results_from_the_future_that_have_not_changed_run_nothing(folder):
    for name in ("results/split/split.tsv", MODEL):
        shift(folder / name, HOUR)
    assert not planned(folder)


def test_a_training_whose_input_is_from_the_future_fails_and_is_not_lost(folder):
    """Snakemake takes the model away, because its input is newer; the checkpoint stays, until the clock is right."""
    settings(folder, train_vqgan={"lr": 0.00031})
    split = folder / "results/split/split.tsv"
    shift(split, HOUR)
    for started in ("anew", "from its end"):
        done = snakemake(*RUN, MODEL, folder=folder, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and not (folder / MODEL).exists()
        assert re.search(r"older modification time.*than input results/split/split.tsv.*clock skew", said), said[-3000:]
        assert ("going on from checkpoint step-00000012" in log_of_training(folder)) == (started == "from its end")
    shift(split, 0)
    snakemake(*RUN, MODEL, folder=folder)
    assert "going on from checkpoint step-00000012" in log_of_training(folder)
    assert not planned(folder, MODEL)


def test_results_from_the_past_run_nothing_or_are_made_again_once(folder):
    """The clock was behind when the split was written. Of files above a size Snakemake knows no content, here of any:
    then split and training run again, and what comes out is the same."""
    split, model = folder / "results/split/split.tsv", (folder / MODEL).read_bytes()
    table = split.read_bytes()
    shift(split, -24 * HOUR)
    assert not planned(folder)
    large = ("--max-checksum-file-size", "0")
    assert {"split", "train_vqgan"} <= set(jobs_of(snakemake(*RUN, *large, MODEL, folder=folder)))
    assert split.read_bytes() == table and (folder / MODEL).read_bytes() == model
    assert "going on from checkpoint step-00000012" in log_of_training(folder)
    assert not jobs_of(snakemake(*RUN, *large, "--dry-run", MODEL, folder=folder))


# Results and settings of an older version


def test_results_of_an_older_version_are_taken_on(folder):
    """Without the memory of how they were made, without digests and sites, and with logs where they were once."""
    shutil.rmtree(folder / ".snakemake")
    (folder / "logs").mkdir()
    (folder / "logs/convert.log").write_text("of an older version")
    when = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    for path in folder.glob("results/*/*/*_status.json"):
        status = json.loads(path.read_text())
        del status["digest"]
        path.write_text(json.dumps(status))
    split = folder / "results/split/split.tsv"
    older = read_table(split).drop(columns=["site", "digest"])
    older.to_csv(split, sep="\t", index=False, na_rep="n/a")
    older.to_parquet(split.with_suffix(".parquet"), index=False)
    for path, stat in when.items():
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for name in ("evaluate/summary.tsv", "survival/summary.json", "qc/qc.tsv", "report/index.html"):
        (folder / "results" / name).unlink()
    snakemake(*RUN, folder=folder)
    scans = list(folder.glob("results/convert/*/*_status.json"))
    simulated = read_table(folder / "results/simulate/scans.tsv")
    assert len(read_table(folder / "results/qc/qc.tsv")) == len(scans) == len(simulated)
    assert not planned(folder)


def test_a_key_that_is_no_more_is_named_with_the_nearest(folder):
    settings(folder, train_vqgan={"learning_rat": 0.1}, segmentation={})
    done = snakemake(*RUN, folder=folder, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said and "2 problems in the input; nothing was started" in said
    assert "config/config.yaml line 3, train_vqgan: unknown key 'learning_rat', known are" in said
    assert "config/config.yaml line 1: unknown key 'segmentation'" in said


# Two runs


def wait_for(condition):
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def model(folder):
    """The model's bytes. It is away, with its training."""
    content = (folder / MODEL).read_bytes()
    shutil.rmtree(folder / "results/train_vqgan")
    return content


@pytest.fixture
def start(folder):
    """Start a run up to the model, in a group of processes of its own, which ends with the test."""
    started = []

    def run(gates, *arguments):
        command = [sys.executable, "-m", "snakemake", "--directory", str(folder), *RUN, *arguments, "--", MODEL]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **gates.environment}
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **silent))
        return started[-1]

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def of_others(folder):
    """Times of the results but those of the training."""
    return {name: time for name, time in times(folder / "results").items() if "train_vqgan" not in name}


@pytest.mark.parametrize("killed", [False, True], ids=["nolock", "killed and unlocked"])
def test_two_runs_at_once_leave_the_model_of_one(folder, model, start, killed):
    """The second is refused by Snakemake's lock; past that lock, one training waits for the other.

    A master that was killed leaves its training behind, which goes on by itself.
    """
    gates = Gates(folder / "gates")
    gates.close("1 step")
    first = start(gates)
    wait_for(lambda: gates.reached("1 step"))
    before = of_others(folder)
    done = snakemake(*RUN, MODEL, folder=folder, check=False)
    assert done.returncode == 1 and first.poll() is None
    assert "Directory cannot be locked" in done.stdout + done.stderr
    assert of_others(folder) == before
    if killed:
        first.kill()
        first.wait()
        snakemake(*RUN, "--unlock", folder=folder)
    second = start(gates, *([] if killed else ["--nolock"]))
    wait_for(lambda: "trains in the same folder" in log_of_training(folder))
    gates.open("1 step")
    assert second.wait(600) == 0
    assert killed or first.wait(600) == 0
    assert (folder / MODEL).read_bytes() == model
    assert not list(folder.glob("results/train_vqgan/.tmp-*")) and not list(folder.rglob("lock.json"))
    assert not planned(folder, MODEL)


def test_a_run_that_misses_what_a_second_one_took_away_takes_nothing_with_it(folder, model, start):
    """The second begins when the training of the first has ended; it writes its outputs when the first run is gone."""
    gates = Gates(folder / "gates")
    gates.close("1 end")
    first = start(gates)
    wait_for(lambda: gates.reached("1 end"))
    assert (folder / MODEL).read_bytes() == model
    second = start(gates, "--nolock")
    wait_for(lambda: f"waiting until process {first.pid}" in log_of_training(folder))
    assert not (folder / MODEL).exists()
    gates.open("1 end")
    assert first.wait(600) == 1
    assert second.wait(600) == 0
    assert (folder / MODEL).read_bytes() == model
    assert not planned(folder, MODEL)
