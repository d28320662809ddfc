"""Snakemake's records, told in few words."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from snakemake_logger_plugin_lung4d.course import TARGETS, Course, Job, Stage
from snakemake_logger_plugin_lung4d.words import (
    STOPPED,
    duration_words,
    error_words,
    exit_words,
    job_words,
    left_out,
    progress_words,
    shard_words,
)

# What Snakemake says at every start, and of a failure that is told otherwise.
KNOWN = (
    "Building DAG of jobs",
    "Using shell",
    "Conda environments: ignored",
    "Singularity containers: ignored",
    "Group jobs: inactive",
    "Assuming unrestricted shared filesystem",
    "Processed ",
    "Exiting because a job execution failed",
    "Complete log(s)",
)
ONE_FAILED = "At least one job did not complete successfully"
AT_ONCE = "Terminating processes on user request"
SOON = "Will exit after finishing currently running jobs"
AGAIN = re.compile(r"Trying to restart job (\d+)")
LOOK_SECONDS = 5.0  # after which a file is looked at again
SHOWN = 5  # failures that the last lines name


@dataclass(frozen=True)
class Failure:
    """What failed, why, and its log."""

    job: str
    reason: str
    log: str

    def __str__(self) -> str:
        return f"{self.job}: {self.reason}" + (f" ({self.log})" if self.log else "")


class Teller:
    """Takes every record; what it gives are lines to be said now, lines that show how it stands, and the last lines.

    `counted` is whether Snakemake tells of jobs that end, which it does not with --quiet progress.
    """

    def __init__(self, counted: bool = True):
        self.counted = counted
        self.course = Course()
        self.begun = time.monotonic()
        self.planned = self.nothing = self.interrupted = self.remote = False
        self.failures: dict[int, Failure] = {}
        self.exits: dict[int | None, str] = {}  # how a command ended, by the thread that waited for it
        self.scans: set[str] = set()  # told to be left out
        self.looked: dict[str, tuple[float, str]] = {}
        self.waiting: list[str] = []  # rows of stages whose last job failed and may be tried again
        self.events: dict[str, Callable[[Any, float], list[str]]] = {
            "run_info": self._plan,
            "job_info": self._start,
            "job_finished": self._finish,
            "job_error": self._fail,
            "error": self._error,
            "resources_info": self._resources,
        }

    def take(self, record: logging.LogRecord, now: float) -> list[str]:
        text, event = str(record.msg or "").strip(), getattr(record, "event", None)
        if event is None and (found := AGAIN.match(text)):
            return self._again(int(found[1]))
        waited, self.waiting = self.waiting, []
        if event is None:
            return [*waited, *self._plain(text, record.levelno)]
        tell = self.events.get(str(event))
        return [*waited, *(tell(record, now) if tell else [])]

    def _again(self, number: int) -> list[str]:
        self.waiting = []
        self.failures.pop(number, None)
        job = self.course.jobs.get(number)
        return [f"{job_words(job.rule, job.wildcards)} is tried again"] if job else []

    def _plain(self, text: str, level: int) -> list[str]:
        if text.startswith((AT_ONCE, SOON)):
            return self._interrupt(text)
        self.nothing = self.nothing or text.startswith("Nothing to be done")
        known = text.startswith(KNOWN) or text.startswith("Nothing to be done")
        if known or not text or (self.planned and level < logging.WARNING):
            return []
        return [text]

    def _interrupt(self, text: str) -> list[str]:
        if self.interrupted:
            return []
        self.interrupted = True
        what = "jobs are told to stop" if text.startswith(AT_ONCE) else "jobs that run are waited for"
        return [f"Interrupted: {what}, no other is started"]

    def _resources(self, record: Any, now: float) -> list[str]:
        self.remote = self.remote or hasattr(record, "nodes")
        return []

    def _plan(self, record: Any, now: float) -> list[str]:
        self.planned = True
        self.course.plan(getattr(record, "stats", {}))
        stages = [rule for rule in self.course.totals if rule not in TARGETS]
        return [f"{self.course.total} jobs of {len(stages)} stages"] if stages else []

    def _start(self, record: Any, now: float) -> list[str]:
        log = next(iter(record.log or ()), "")
        wildcards = dict(record.wildcards or {})
        job = Job(record.rule_name, wildcards, tuple(map(str, record.output or ())), str(log), now, time.time())
        self.course.start(record.jobid, job)
        return []

    def _finish(self, record: Any, now: float) -> list[str]:
        stage, said = self.course.finish(record.job_id, now), []
        if stage is None:
            return []
        for scan, where, reason in left_out(self.course.jobs[record.job_id].outputs):
            if scan not in self.scans:
                self.scans.add(scan)
                stage.left_out += 1
                said.append(f"{scan} is left out: {where}: {reason}")
        return [*said, *self._over(stage, now)]

    def _fail(self, record: Any, now: float) -> list[str]:
        number, ended = record.jobid, exit_words(self.exits.pop(record.thread, ""))
        job = self.course.jobs.get(number)
        log = (job.log if job else "") or str(next(iter(record.log or ()), ""))
        said = error_words(log) if log and (job is None or job.at_work()) else ""
        reason = said or ended or " ".join(str(record.rule_msg or "").split()) or "it failed"
        if self.interrupted or any(word in reason for word in STOPPED):
            self.course.stop(number)
            return []
        stage = self.course.fail(number)
        failure = Failure(job_words(record.rule_name, job.wildcards if job else {}), reason, log)
        self.failures[number] = failure
        self.waiting = self._over(stage, now) if stage else []
        return [f"Failed: {failure}"]

    def _error(self, record: Any, now: float) -> list[str]:
        """An error that is no job's; that a job's command ended badly is told by the job."""
        text = str(record.msg or "").strip()
        if "CalledProcessError" in text:
            self.exits[record.thread] = text
            return []
        if self.planned and (ONE_FAILED in text or "Cancelling snakemake on user request" in text):
            return []
        return [text]

    def _over(self, stage: Stage, now: float) -> list[str]:
        if not stage.over:
            return []
        return [f"{self._row(stage)}{duration_words(now - stage.begun)}"]

    def _row(self, stage: Stage, counted: bool = True) -> str:
        counts = f"{len(stage.done):>5} of {stage.total:<5}" if counted else ""
        bad = [f"{len(stage.failed)} failed"] if stage.failed else []
        bad += [f"{stage.left_out} left out"] if stage.left_out else []
        return f"{stage.name:<22}{counts}" + "".join(f"{words}, " for words in bad)

    def status(self, now: float) -> list[str]:
        """How it stands: the whole run, then the stages that run."""
        took = duration_words(now - self.begun)
        if not self.planned:
            return [f"Reading the cohort, planning the jobs: {took}"]
        head = f"{len(self.course.ended)} of {self.course.total} jobs done, {took}"
        stages = [stage for stage in self.course.stages.values() if not stage.over]
        rows = [f"  {self._row(stage, stage.total > 1)}{self._how(stage, now)}" for stage in stages]
        alone = [(job.rule, self._progress(job, now)) for job in self.course.alone()]
        return [head, *rows, *(f"  {rule:<22}{said}" for rule, said in alone if said)]

    def _how(self, stage: Stage, now: float) -> str:
        """How a stage gets on: its one job, or how many are at it and how long it will take."""
        parts = []
        if self.remote and stage.running:
            working = sum(job.at_work() for job in stage.running.values())
            parts += [f"{working} running", f"{len(stage.running) - working} queued"]
        if len(stage.running) == 1 and (said := self._progress(next(iter(stage.running.values())), now)):
            return ", ".join([*parts, said])
        left = stage.seconds_left(now)
        if left is not None:
            parts.append(f"about {duration_words(left)} left")
        elif stage.running:
            parts.append(f"for {duration_words(now - stage.begun)}")
        return ", ".join(parts)

    def _progress(self, job: Job, now: float) -> str:
        """How far a job is, by what it says; once it has said something, its log is not read each time."""
        when, said = self.looked.get(job.log, (-LOOK_SECONDS, ""))
        if now - when >= LOOK_SECONDS or not said:
            said = shard_words(job.rule, job.wildcards) if "shard" in job.wildcards else ""
            said = said or (progress_words(job.log) if job.log and job.at_work() else "")
            self.looked[job.log] = (now, said)
        return said

    @property
    def finished(self) -> bool:
        """Whether all jobs are done, as far as is known."""
        if self.nothing or not self.counted:
            return not (self.failures or self.interrupted)
        return self.planned and not self.course.not_done() and not self.interrupted

    def ending(self, now: float) -> list[str]:
        """The last lines, as far as the jobs tell them; none where nothing was to run but what changes nothing."""
        if self.nothing:
            return ["Nothing to do: all results are there and up to date."]
        if not set(self.course.totals) - set(TARGETS):
            return []
        took, total, done = duration_words(now - self.begun), self.course.total, len(self.course.ended)
        if self.finished:
            return [f"Done: {total} jobs in {took}."]
        so_far = f"{done} of {total} jobs are done" if self.counted else f"there were {total} jobs"
        if self.interrupted:
            head, why = f"Interrupted after {took}: {so_far}", "the run was interrupted"
        elif self.failures:
            head, why = f"Failed after {took}: {so_far}, {len(self.failures)} failed", "because of that"
        else:
            head, why = f"Stopped after {took}: {so_far}", "because of the error above"
        more = len(self.failures) - SHOWN
        named = [f"  {failure}" for failure in list(self.failures.values())[:SHOWN]]
        named += [f"  and {more} more"] if more > 0 else []
        missing = self.course.not_done() if self.counted else []
        lines = [*self.waiting, f"{head}.", *named, *([f"Not done: {', '.join(missing)}; {why}."] if missing else [])]
        return [*lines, "What is done is kept: the same command goes on from there."]
