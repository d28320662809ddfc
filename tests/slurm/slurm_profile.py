"""The shipped profile for SLURM with the times and sizes of the test cluster, and nothing else changed."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from helpers.running import ROOT
from slurm_conf import CPUS

SNAKEMAKE = str(Path(__file__).with_name("snakemake_for_short_jobs.py"))  # who runs the profile
SHIPPED = ROOT / "profiles/slurm/config.yaml"
MEMORY_SHARE = 8  # jobs of tests ask for an eighth of the memory
SHARD = 3  # patients a job, so that the tests' few patients are several jobs
# Without accounting, the queue is asked how jobs are, first after 2 s and then every 3 s: short times, for short jobs.
# What a failed job printed is shown: a test leaves nothing else behind.
ADDED = {
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 2,
    "seconds-between-status-checks": 3,
    "show-failed-logs": True,
}


def shipped() -> dict:
    return yaml.safe_load(SHIPPED.read_text())


def write_profile(
    folder: Path, minutes: int = 5, warning: int = 30, rules: Mapping[str, Mapping[str, object]] | None = None
) -> Path:
    """Write the profile for tests into `folder` and return it, for `snakemake --profile`.

    All jobs may run `minutes`, and trainings hear of their end `warning` seconds before (SLURM may be up to 60 s
    early). `rules` changes resources of single rules, such as {"train_vqgan": {"runtime": 1, "mem_mb": 400}}.
    """
    profile = shipped() | ADDED | {"latency-wait": 5, "config": {"shard": SHARD}}
    profile["set-threads"] = {rule: min(threads, CPUS) for rule, threads in profile["set-threads"].items()}
    profile["default-resources"] = _shorter(profile["default-resources"], minutes, warning)
    profile["set-resources"] = {
        rule: _shorter(resources, minutes, warning) for rule, resources in profile["set-resources"].items()
    }
    for rule, resources in (rules or {}).items():
        profile["set-resources"].setdefault(rule, {}).update(resources)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(profile, sort_keys=False))
    return folder


def _shorter(resources: Mapping[str, object], minutes: int, warning: int) -> dict[str, object]:
    short = dict(resources)
    if "runtime" in short:
        short["runtime"] = minutes
    if "mem_mb" in short:
        short["mem_mb"] = _divided(short["mem_mb"])
    if "slurm_extra" in short:
        short["slurm_extra"] = re.sub(r"TERM@\d+", f"TERM@{warning}", short["slurm_extra"])
    return short


def _divided(memory: int | str) -> int | str:
    """A number of MB, or an expression with such numbers ("16000 * attempt"), by `MEMORY_SHARE`."""
    if isinstance(memory, int):
        return memory // MEMORY_SHARE
    return re.sub(r"\d{4,}", lambda number: str(int(number[0]) // MEMORY_SHARE), memory)
