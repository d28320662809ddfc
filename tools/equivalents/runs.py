"""The tiny run of a commit, from scratch in a folder of its own, and the fast tests; kept in pytest's cache."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

# Besides `all`, what only runs on demand.
TARGETS = ("all", "table1", "table3", "ablation", "unet")
FINISHED = ".finished"
TESTS_PASSED = ".tests_passed"
MADE_OF = ("Snakefile", "workflow", "config", "tests/tiny.yaml")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def state_of(repository: Path) -> str:
    """A digest of the files that make results, as they are now."""
    combined = hashlib.sha256()
    for path in _files(repository, MADE_OF):
        combined.update(f"{path.relative_to(repository)}\0".encode() + path.read_bytes() + b"\0")
    return combined.hexdigest()[:16]


def _files(repository: Path, places: tuple[str, ...]) -> list[Path]:
    found = [path for place in places for path in [repository / place, *(repository / place).rglob("*")]]
    left_out = (".pyc", "code_equivalents.tsv")
    return sorted(path for path in found if path.is_file() and not path.name.endswith(left_out))


def tiny_run(repository: Path, settings: Path, folder: Path, cores: int) -> Path:
    """The results of the tiny run of the code in `repository`, made in `folder` unless it is finished there.

    Raises SystemExit where the run fails.
    """
    if not (folder / FINISHED).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _compile_kernels(repository, settings, folder)
        _snakemake(repository, folder, settings, cores, TARGETS, folder)
        (folder / FINISHED).touch()
    return folder / "results"


def _compile_kernels(repository: Path, settings: Path, folder: Path) -> None:
    """Take one patient's scans aside through all stages of scans: a kernel of the registration that was just compiled
    rounds its last bit otherwise than the same one from numba's cache, and the first jobs of a run compile them."""
    few = yaml.safe_load(settings.read_text())
    few["simulate"] |= {"patients": 1, "faults": []}
    aside = folder / "one_patient"
    aside.mkdir()
    (aside / "settings.yaml").write_text(yaml.safe_dump(few))
    _snakemake(repository, aside, aside / "settings.yaml", 1, ("results/qc/qc.tsv",), folder)


def _snakemake(
    repository: Path, folder: Path, settings: Path, cores: int, targets: tuple[str, ...], kernels: Path
) -> None:
    words = ["--cores", str(cores), "--directory", str(folder), "--configfile", str(settings), "--", *targets]
    environment = {"NUMBA_CACHE_DIR": str(kernels / "numba")}
    _run([sys.executable, "-m", "snakemake", *words], repository, folder / "run.log", environment)


def fast_tests(repository: Path, folder: Path, cores: int) -> None:
    """Run the fast tests, unless they have passed for this code: `folder` is that of its run.

    Raises SystemExit where one fails.
    """
    if not (folder / TESTS_PASSED).exists():
        words = ["-m", "not slow", "--numprocesses", str(cores), "--dist", "loadfile", "-q"]
        _run([sys.executable, "-m", "pytest", *words], repository, folder / "tests.log", {})
        (folder / TESTS_PASSED).touch()


def _run(command: list[str], repository: Path, log: Path, more: dict[str, str]) -> None:
    own = ("SLURM_", "PYTEST_", "PYTHONPATH")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    environment = {**inherited, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONDONTWRITEBYTECODE": "1", **more}
    with log.open("wb") as stream:
        done = subprocess.run(command, cwd=repository, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode:
        said = log.read_text(errors="replace")[-6000:]
        raise SystemExit(f"{' '.join(command)} in {repository} ended with {done.returncode}; {log} ends so:\n{said}")
