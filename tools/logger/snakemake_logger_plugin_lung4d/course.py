"""The course of a run: which jobs of which stage are done, failed and running."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

CLOCKS = 60  # seconds that those of two machines may differ
# Rules that only gather what others make, and those that are no part of a run and say themselves what they found.
TARGETS = ("all", "scans", "models", "preflight", "tables")


@dataclass
class Job:
    """A job that was started, at `begun` seconds; `log` is "" where it has none."""

    rule: str
    wildcards: Mapping[str, str]
    outputs: Sequence[str]
    log: str
    begun: float
    handed_over: float  # seconds since the epoch, as files have them
    working: bool = False

    def at_work(self) -> bool:
        """Whether it has begun to write its log: until then a cluster keeps it waiting."""
        if not self.working:
            with suppress(OSError):
                self.working = Path(self.log).stat().st_mtime >= self.handed_over - CLOCKS
        return self.working


@dataclass
class Stage:
    """The jobs of a rule, by Snakemake's numbers, and the scans that they found unusable."""

    name: str
    total: int
    begun: float
    latest: float = 0.0  # when a job ended last
    done: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    running: dict[int, Job] = field(default_factory=dict)
    left_out: int = 0

    @property
    def over(self) -> bool:
        return not self.running and len(self.done) + len(self.failed) >= self.total

    def seconds_left(self, now: float) -> float | None:
        """By the pace of the jobs that are done; None before the first, and when that pace is not kept."""
        if not self.done:
            return None
        wanted = (self.total - len(self.done)) * (self.latest - self.begun) / len(self.done)
        left = wanted - (now - self.latest)
        return left if left > 0 else None


class Course:
    """What has happened so far; `totals` has the jobs that were planned of every rule."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.jobs: dict[int, Job] = {}
        self.stages: dict[str, Stage] = {}
        self.ended: set[int] = set()  # of all rules

    def plan(self, counts: Mapping[str, int]) -> None:
        self.totals = {rule: int(count) for rule, count in counts.items() if rule != "total"}

    @property
    def total(self) -> int:
        return sum(self.totals.values())

    @property
    def failed(self) -> set[int]:
        return {number for stage in self.stages.values() for number in stage.failed}

    def start(self, number: int, job: Job) -> None:
        self.jobs[number] = job
        if job.rule in TARGETS:
            return
        stage = self.stages.setdefault(job.rule, Stage(job.rule, self.totals.get(job.rule, 1), job.begun))
        stage.failed.discard(number)
        stage.running[number] = job

    def finish(self, number: int, now: float) -> Stage | None:
        """The stage of a job that went well; None of a job that belongs to none."""
        self.ended.add(number)
        stage = self._leave(number)
        if stage is not None:
            stage.done.add(number)
            stage.latest = now
        return stage

    def fail(self, number: int) -> Stage | None:
        stage = self._leave(number)
        if stage is not None:
            stage.failed.add(number)
        return stage

    def stop(self, number: int) -> None:
        """A job that was told to stop: neither done nor failed."""
        self._leave(number)

    def _leave(self, number: int) -> Stage | None:
        job = self.jobs.get(number)
        stage = self.stages.get(job.rule) if job else None
        if stage is not None:
            stage.running.pop(number, None)
        return stage

    def alone(self) -> list[Job]:
        """Jobs that run and belong to no stage."""
        return [job for number, job in self.jobs.items() if job.rule in TARGETS and number not in self.ended]

    def not_done(self) -> list[str]:
        """What is missing of every stage: "segment 20 of 52"; the name alone where nothing of it is done."""
        found = []
        for rule, total in self.totals.items():
            done = len(self.stages[rule].done) if rule in self.stages else 0
            if rule not in TARGETS and done < total:
                found.append(f"{rule} {total - done} of {total}" if done else rule)
        return found
