"""Snakemake in a process of its own that need not import it first: see `fork_server`."""

import atexit
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from helpers import fork_server


def run_snakemake(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], program: str = "snakemake"
) -> subprocess.CompletedProcess[str]:
    """Run `snakemake`, or a file that does, with these arguments in `folder` and with this environment alone."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        files = [out.fileno(), err.fileno()]
        status = fork_server.ask(
            f"{_server().name}/socket", program, list(arguments), str(folder), dict(environment), files
        )
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read())
    return subprocess.CompletedProcess(["snakemake", *arguments], status, *printed)


@cache
def _server() -> tempfile.TemporaryDirectory:
    """The folder of the socket of this process's server, which ends with it.

    It is the cache that holds the folder: a fork of this process may drop what is to be done at the end, and a folder
    that nobody holds any more is deleted.
    """
    folder = tempfile.TemporaryDirectory()
    server = subprocess.Popen(
        [sys.executable, fork_server.__file__, f"{folder.name}/socket"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout.readline() == "ready\n"
    atexit.register(lambda: (server.stdin.close(), server.wait(), folder.cleanup()))
    return folder
