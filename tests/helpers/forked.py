"""Snakemake in a process of its own that need not import it first: a fork of one that has imported it already."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# Nothing of lung4d: a test may run a changed copy of it.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["snakemake.cli", "snakemake.workflow", "snakemake.report", "pandas"])


def run_snakemake(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `snakemake` with these arguments in `folder` and with this environment alone."""
    with tempfile.TemporaryDirectory() as said:
        files = [Path(said) / name for name in ("stdout", "stderr")]
        process = SERVER.Process(target=_be_snakemake, args=(list(arguments), folder, dict(environment), files))
        process.start()
        process.join()
        printed = [path.read_text() for path in files]
    return subprocess.CompletedProcess(["snakemake", *arguments], process.exitcode, *printed)


def _be_snakemake(arguments: list[str], folder: Path, environment: dict[str, str], said: list[Path]) -> None:
    for number, path in enumerate(said, start=1):
        with path.open("w") as stream:
            os.dup2(stream.fileno(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["snakemake", *arguments]
    from snakemake.cli import main  # here: who asks for a run needs no Snakemake

    main(arguments)
