"""How long Snakemake thinks about large cohorts before it starts a job, and what memory that takes.

    .venv/bin/python benchmarks/dag.py FOLDER [SCANS ...]

For cohorts of 700, 5,000 and 20,000 scans (or those given), without shards and with 50 patients a job: a dry run of the
whole workflow on a fresh folder, and a run on a folder in which everything is done. Empty files stand for scans and
results: what is timed never opens them. Prints the table of dag.md; FOLDER holds the cohorts and may be deleted.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
SHARDS = {"without shards": "0", "50 patients a shard": "50"}
VISITS = (2, 3, 4, 3)  # of the patients in turn


def write_cohort(folder: Path, scans: int) -> None:
    """Tables of `scans` scans, with an empty file for each."""
    (folder / "config").mkdir(parents=True)
    (folder / "scans").mkdir()
    rows, patients = ["subject\tsession\tyears\tpath"], ["subject\tfollowup_years\tevent"]
    while len(rows) <= scans:
        subject = f"{len(patients):05d}"
        patients.append(f"{subject}\t9\t{len(patients) % 2}")
        for visit in range(min(VISITS[len(patients) % 4], scans + 1 - len(rows))):
            path = f"scans/{subject}_{visit}.nii.gz"
            (folder / path).touch()
            rows.append(f"{subject}\t{visit + 1:02d}\t{0.9 * visit:.1f}\t{path}")
    (folder / "config/scans.tsv").write_text("\n".join(rows) + "\n")
    (folder / "config/participants.tsv").write_text("\n".join(patients) + "\n")


def snakemake(folder: Path, shard: str, *words: str) -> str:
    command = [*SNAKEMAKE, "--directory", str(folder), "--config", f"shard={shard}", *words]
    return subprocess.run(command, cwd=ROOT, check=True, text=True, capture_output=True).stdout


def measure(folder: Path, shard: str, *words: str) -> tuple[float, float, float]:
    """Seconds on the wall and of the processor, and peak memory in GB, of one call."""
    start = time.monotonic()
    command = [*SNAKEMAKE, "--directory", str(folder), "--config", f"shard={shard}", "--quiet", "all", *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    seconds = time.monotonic() - start
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def pretend_done(folder: Path, shard: str) -> None:
    """Leave an empty file for every output, and let Snakemake take them for results."""
    lines = snakemake(folder, shard, "--summary").splitlines()[1:]
    for path in (folder / line.split("\t")[0] for line in lines):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if path.suffix else path.mkdir(exist_ok=True)
    snakemake(folder, shard, "--touch", "--quiet", "all")


def main(folder: Path, sizes: list[int]) -> None:
    print("| scans | | run | s | CPU s | GB |\n|---:|---|---|---:|---:|---:|")
    for scans in sizes:
        for name, shard in SHARDS.items():
            here = folder / f"{scans}-{shard}"
            write_cohort(here, scans)
            for run in ("dry run", "nothing to do"):
                if run != "dry run":
                    pretend_done(here, shard)
                seconds, used, memory = measure(here, shard, *(["--dry-run"] if run == "dry run" else []))
                print(f"| {scans:,} | {name} | {run} | {seconds:.1f} | {used:.1f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]] or [700, 5000, 20000])
