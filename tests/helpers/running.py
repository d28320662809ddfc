"""Running the workflow in a test: as a person would, in a process and a folder of its own."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import yaml

from helpers.forked import run_snakemake

ROOT = Path(__file__).resolve().parents[2]
SCAN_STAGES = ("convert", "segment", "register", "resample")


def snakemake(
    *arguments: str,
    folder: Path,
    repository: Path = ROOT,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    program: str = "snakemake",
) -> subprocess.CompletedProcess:
    """Run `snakemake` on the workflow of `repository` with everything written below `folder`.

    `environment` is added to that of the tests, such as a cluster's; `program` may be a file that runs Snakemake.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "PYTEST_"))}
    environment = {**inherited, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
    done = run_snakemake(["--directory", str(folder), *arguments], repository, environment, program)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(done.args)} ended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        )
    return done


def jobs_of(done: subprocess.CompletedProcess) -> Counter:
    """How many jobs of each rule a run or a dry run had, by its table of job counts."""
    text = done.stdout + done.stderr
    table = re.search(r"^Job stats:\njob +count\n[- ]+\n(.*?)^total", text, re.M | re.S)
    if table is None:
        assert "Nothing to be done" in text, text[-3000:]
        return Counter()
    rows = (line.split() for line in table.group(1).splitlines())
    return Counter({name: int(count) for name, count in rows})


def write_cohort(folder: Path, scans: pd.DataFrame, participants: pd.DataFrame | None = None) -> None:
    """Make `folder` that of a user with these tables and the settings of the tiny run."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    scans.to_csv(folder / "config/scans.tsv", sep="\t", index=False)
    if participants is not None:
        participants.to_csv(folder / "config/participants.tsv", sep="\t", index=False)
    settings = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    settings.pop("cohort"), settings.pop("simulate")
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings))


def set_key(folder: Path, section: str, key: str, value: object) -> None:
    """Change one key in the settings of `folder`."""
    path = folder / "config/config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings.setdefault(section, {})[key] = value
    path.write_text(yaml.safe_dump(settings))


def take_over_scans(finished: Path, folder: Path, scans: pd.DataFrame) -> None:
    """Take what the run in `finished` made of these scans, up to their resampling, for made by the one in `folder`.

    Its tables and settings are there already, and the scans and settings are those of `finished`.
    """
    wanted = []
    for subject, session in zip(scans["subject"], scans["session"], strict=True):
        name = f"sub-{subject}/sub-{subject}_ses-{session}"
        for stage in SCAN_STAGES:
            target = folder / "results" / stage / f"sub-{subject}"
            target.mkdir(parents=True, exist_ok=True)
            for path in (finished / "results" / stage).glob(f"{name}_*"):
                shutil.copy2(path, target)
        wanted.append(f"results/resample/{name}_status.json")
    snakemake("--cores", "2", "--touch", "--forceall", *wanted, folder=folder)


def times(folder: Path) -> dict[str, int]:
    """Modification times of all files below `folder`."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_json(path: Path):
    return json.loads(path.read_text())


def faulty_scans(folder: Path) -> set[tuple[str, str]]:
    """(subject, session) of the scans that the built-in cohort below `folder` made unusable on purpose."""
    truths = [read_json(path) for path in folder.glob("results/simulate/truth/sub-*/*_truth.json")]
    return {(truth["subject"], visit["session"]) for truth in truths for visit in truth["visits"] if visit["fault"]}
