"""What a run would do and about how long it would take, from Snakemake's dry run and from what was recorded before."""

import base64
import json
import os
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lung4d.pipeline.shards import STAGES

TRAININGS = {
    "train_vqgan": "stage 1",
    "train_ode": "stage 2",
    "table3_train": "an autoencoder of Table 3",
    "table1_train": "a disease model of Table 1",
    "train_unet": "the U-Net that is told the years",
    "ablation_train": "a disease model of the ablation",
}
SAMPLE = 20  # jobs of a rule whose times are looked up
QUIET = ("-q", "--quiet", "all", "host", "progress", "reason", "rules")


def as_dry_run(arguments: Iterable[str]) -> list[str]:
    """The arguments that Snakemake was called with for `preflight`, changed to a dry run that tells everything."""
    kept = [word for word in arguments if word not in ("preflight", "--", *QUIET)]
    return ["--dry-run", *kept]


@dataclass
class Work:
    """The jobs of one rule: how many, the first reason given, and the resources that each asks for, as text."""

    jobs: int = 0
    reason: str = ""
    resources: dict[str, str] = field(default_factory=dict)


def read_dry_run(text: str) -> dict[str, Work]:
    """The rules of a dry run's output that would run, in its order; `all` and the like have no job."""
    works: dict[str, Work] = {}
    for rule, body in re.findall(r"^rule (\w+):\n((?:    .*\n)*)", text + "\n", re.M):
        if "output: " not in body:
            continue
        work = works.setdefault(rule, Work())
        work.jobs += 1
        fields = dict(re.findall(r"^    (\w+): (.*)$", body, re.M))
        work.reason = work.reason or _short(fields.get("reason", ""))
        parts = (part.partition("=") for part in re.split(r", (?=\w+=)", fields.get("resources", "")))
        work.resources = work.resources or {key: value for key, _, value in parts} | {
            "threads": fields.get("threads", "1")
        }
    return works


def _short(reason: str) -> str:
    """Snakemake's reason with at most two files of each kind named, and no values of parameters."""
    parts = []
    for part in re.sub(r"(Params have changed since last execution).*?(?=; [A-Z]|$)", r"\1", reason).split("; "):
        what, colon, files = part.partition(": ")
        named = sorted(files.split(", "))
        parts.append(what + colon + ", ".join(named[:2]) + (f" and {len(named) - 2} more" if len(named) > 2 else ""))
    return "; ".join(parts)


def due_stages(works: Iterable[str]) -> set[str]:
    """The stages of which these rules' jobs write results."""
    return {stage for rule in works for stage in STAGES.get(rule, (rule,))}


def recorded_seconds(metadata: Path) -> dict[str, float]:
    """Mean seconds of a rule's jobs, of up to SAMPLE of them, from the records that Snakemake keeps of results."""
    seen: Counter[str] = Counter()
    seconds: dict[str, list[float]] = {}
    for record in os.scandir(metadata) if metadata.is_dir() else ():
        stage = _stage_of(record.name)
        if record.is_dir() or seen[stage] >= SAMPLE * 10:  # several results a job
            continue
        seen[stage] += 1
        try:
            kept = json.loads(Path(record.path).read_text())
            seconds.setdefault(kept["rule"], []).append(float(kept["endtime"]) - float(kept["starttime"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {rule: statistics.mean(found) for rule, found in seconds.items()}


def _stage_of(record: str) -> str:
    """The folder of the result that a record is of; its name is the path in base64."""
    try:
        path = base64.urlsafe_b64decode(record).decode()
    except ValueError:
        return ""
    return "/".join(path.split("/")[1:2])


def training_seconds(checkpoints: Path) -> tuple[int, float] | None:
    """Steps of the last training in a folder of checkpoints, and the seconds that it took by the pace of its last ones.

    None where there are no two checkpoints of one training.
    """
    by_digest: dict[str, list[tuple[int, float]]] = {}
    for path in checkpoints.glob("step-*_digest-*.pt"):
        step, digest = path.stem.removeprefix("step-").split("_digest-", 1)
        by_digest.setdefault(digest, []).append((int(step), path.stat().st_mtime))
    trained = [sorted(steps)[-2:] for steps in by_digest.values() if len(steps) > 1]
    if not trained:
        return None
    (before, then), (steps, now) = max(trained, key=lambda pair: pair[-1][1])
    return steps, steps * (now - then) / (steps - before)


def plan_lines(
    works: Mapping[str, Work],
    seconds: Mapping[str, float],
    trained: Mapping[str, tuple[int, float]],
    estimated: Mapping[str, float] | None = None,
) -> list[str]:
    """What will run, a line a rule; and a sentence for every training that starts again or for the first time.

    A job's time is that of earlier ones (`seconds`), else an estimate (`lung4d.pipeline.estimate`).
    """
    if not works:
        return ["Nothing will run: all results are there and up to date."]
    lines = [f"{sum(work.jobs for work in works.values())} jobs will run:"]
    for rule, work in works.items():
        lines.append(f"  {work.jobs:6d}  {rule:<22} {_took(rule, work.jobs, seconds, estimated or {})}")
    for rule, name in TRAININGS.items():
        if rule in works:
            lines.append(_announce(rule, name, works[rule], trained.get(rule)))
    return lines


def _took(rule: str, jobs: int, seconds: Mapping[str, float], estimated: Mapping[str, float]) -> str:
    if rule in seconds:
        return f"about {duration_in_words(jobs * seconds[rule])} of work"
    if rule in estimated:
        return f"about {duration_in_words(jobs * estimated[rule])} of work, estimated"
    return "not timed yet"


def _announce(rule: str, name: str, work: Work, trained: tuple[int, float] | None) -> str:
    if trained is None:
        return f"This trains {name} ({rule}) for the first time: {work.reason}"
    steps, seconds = trained
    took = duration_in_words(seconds)
    pace = f"about {took} by the pace of the last one ({steps:,} steps, {seconds / steps:.2g} s a step)"
    return f"This retrains {name} ({rule}): {pace}, unless nothing that it learns from has changed. {work.reason}"


def duration_in_words(seconds: float) -> str:
    """A duration as people say it: 40 s, 12 min, 9.0 h, 3.1 days."""
    for size, unit, digits in ((172800, "days", 1), (5400, "h", 1), (120, "min", 0)):
        if seconds >= size:
            return f"{seconds / {'days': 86400, 'h': 3600, 'min': 60}[unit]:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def requests(works: Iterable[Work]) -> list[dict[str, str]]:
    """What the jobs ask of a cluster, each kind once: partition, account, gres, runtime (minutes), memory (MB),
    nodes, threads; nothing where the dry run was for this machine."""
    keys = {"slurm_partition": "partition", "slurm_account": "account", "gres": "gres", "runtime": "runtime",
            "mem_mb": "memory", "nodes": "nodes", "threads": "threads"}  # fmt: skip
    found = [{name: work.resources[key] for key, name in keys.items() if work.resources.get(key)} for work in works]
    return list({tuple(sorted(one.items())): one for one in found if "partition" in one}.values())
