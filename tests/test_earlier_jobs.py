"""When a training's outputs are safe from the jobs before it: known answers for each kind of job."""

import json
import logging
import os
import subprocess
import time
from types import SimpleNamespace

import pytest

from lung4d.training import earlier_jobs as jobs
from lung4d.training.earlier_jobs import EarlierJobs

HERE = os.uname().nodename
OTHER = "elsewhere"


@pytest.fixture
def record(tmp_path, monkeypatch):
    """The file that names the jobs, for a job outside SLURM."""
    monkeypatch.delenv("LUNG4D_JOB_PID", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(jobs, "POLL", 0.01)
    return tmp_path / "train.jobs.json"


@pytest.fixture
def other():
    """A process that runs on this host."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Put a squeue in the place of SLURM's that does what a line of shell says."""

    def put(line):
        (tmp_path / "squeue").write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked\n{line}\n")
        (tmp_path / "squeue").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return tmp_path / "asked"

    return put


def write(record, **job):
    known = {"host": HERE, "pid": 1, "started": "0", "slurm": "", "ended": None}
    record.write_text(json.dumps([known | job]))


def enter(record, give_up=lambda: False):
    earlier = EarlierJobs(record, give_up)
    earlier.enter()
    return earlier


def test_a_process_is_waited_for_and_not_a_later_one_with_its_number(record, other, monkeypatch):
    """The process `other` started a training that has ended."""
    with monkeypatch.context() as patch:
        patch.setenv("LUNG4D_JOB_PID", str(other.pid))
        enter(record).leave()
    assert not enter(record).gone()
    (first, _) = json.loads(record.read_text())
    assert (first["host"], first["pid"]) == (HERE, other.pid)
    write(record, **first | {"started": "1"})
    assert enter(record).gone()
    write(record, **first)
    earlier = enter(record)
    other.kill()
    earlier.wait()  # returns also where nobody asks what became of it, so that a zombie remains
    other.wait()
    assert enter(record).gone()


def test_the_next_attempt_of_a_job_does_not_wait_for_itself(record, other, monkeypatch):
    monkeypatch.setenv("LUNG4D_JOB_PID", str(other.pid))
    enter(record).leave()
    assert enter(record).gone()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    write(record, host=OTHER, slurm="7")  # SLURM put it back into the queue, and it began anew on another node
    assert enter(record).gone()


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ("echo RUNNING", False),
        ("echo COMPLETING", False),
        ("echo SUSPENDED", False),
        ("echo COMPLETED", True),
        ("echo CANCELLED", True),
        ("echo PENDING", True),
        ("true", True),
        ("echo slurm_load_jobs error: Invalid job id specified >&2; exit 1", True),
        ("echo Unable to contact slurm controller >&2; exit 1", False),
    ],
)
def test_slurm_is_asked_about_its_jobs(record, squeue, answer, gone):
    asked = squeue(answer)
    write(record, slurm="7")  # whatever process of this host has the number
    assert enter(record).gone() is gone
    assert "--jobs=7" in asked.read_text()


def test_where_nothing_can_be_said_it_waits_five_minutes_and_says_so(record, squeue, monkeypatch, caplog):
    now = 0.0

    def sleep(_seconds):
        nonlocal now
        now += 100

    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep, time=time.time))
    write(record, host=OTHER)
    enter(record).wait()
    assert f"process 1 on {OTHER} may still be there: the outputs are written all the same" in caplog.text
    squeue("echo Unable to contact slurm controller >&2; exit 1")
    write(record, slurm="7")
    enter(record).wait()
    assert caplog.text.count("SLURM does not tell about its job 7: Unable to contact slurm controller") == 1
    assert caplog.text.count("waiting until job 7 of SLURM is gone") == 1
    monkeypatch.setenv("PATH", "")
    write(record, slurm="7")
    enter(record).wait()
    assert "SLURM cannot be asked about its job 7: [Errno 2] No such file or directory: 'squeue'" in caplog.text
    assert now == 3 * 400


def test_a_training_that_ended_long_ago_is_not_asked_about(record, squeue, monkeypatch):
    asked = squeue("exit 1")
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", "7")
        patch.setattr(time, "time", lambda: 1000.0)
        enter(record).leave()
    assert enter(record).gone() and not asked.exists()
    assert [job["slurm"] for job in json.loads(record.read_text())] == [""]


def test_all_jobs_that_may_be_there_are_waited_for(record, squeue):
    """Also that before one that was stopped while it waited; and one of several processes that train together."""
    squeue('case "$*" in *=7*) echo RUNNING;; esac')
    known = {"host": OTHER, "pid": 1, "started": "0", "ended": time.time()}
    record.write_text(json.dumps([known | {"slurm": number} for number in ("7", "8")]))
    enter(record)
    rank = EarlierJobs(record, lambda: False)
    rank.enter(held=True)
    assert not rank.gone()
    assert [job.slurm for job in rank.before] == ["7"]
    assert len(json.loads(record.read_text())) == 3  # that of the process which started it


def test_a_stop_is_heard_while_waiting_for_a_job(record, other, caplog):
    write(record, pid=other.pid, started=jobs._start_of(other.pid))
    with caplog.at_level(logging.WARNING), pytest.raises(SystemExit) as exit_:
        enter(record, give_up=lambda: True).wait()
    assert exit_.value.code == 75 and f"process {other.pid}" in caplog.text


@pytest.mark.parametrize("text", ["", "[{}]", "null", '[{"host": "a"}]', "{"])
def test_a_record_that_cannot_be_read_names_nobody(record, text):
    record.write_text(text)
    assert enter(record).gone()
    assert len(json.loads(record.read_text())) == 1
