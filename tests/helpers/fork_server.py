"""A process that has imported Snakemake and what the stages use, and runs programs in forks of itself.

Most of a short job is the start of Python and its imports, which a fork need not do again. Who runs this file holds the
other end of its standard input: when that is closed, the server ends.
"""

import importlib
import json
import multiprocessing
import os
import runpy
import select
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

# Nothing of lung4d: a test may run a changed copy of it.
IMPORTED = (
    "snakemake.cli", "snakemake.workflow", "snakemake.report", "pandas", "pyarrow.parquet", "SimpleITK", "numba",
    "nibabel", "scipy.ndimage", "scipy.optimize", "scipy.stats", "torch", "matplotlib.backends.backend_agg",
    "matplotlib.figure", "lifelines", "skimage.metrics", "skimage.morphology", "torchdiffeq", "jinja2", "jsonschema",
    "monai.networks.nets", "torch._dynamo",
)  # fmt: skip
HEAD = struct.Struct("!I")
# Its processes end without what Python does last, which would take longer than a short job: all that a fork shares with
# the server would be copied, to be given back.
FORKS = multiprocessing.get_context("fork")


def ask(server: str, program: str, arguments: list[str], folder: str, environment: dict, files: list[int]) -> int:
    """Run a program in a fork of the server at the socket `server`; its exit status, below 0 for a signal.

    `program` is "snakemake" or the path of a script; `files` are its standard output and error. It is killed where the
    process that asks ends first.
    """
    request = json.dumps([program, arguments, folder, environment]).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server)
        socket.send_fds(connection, [HEAD.pack(len(request))], files)
        connection.sendall(request)
        return int(connection.recv(64))


def serve(path: str) -> None:
    """Fork for each program that is asked for, until standard input is closed."""
    assert threading.active_count() == 1  # a fork has one thread alone
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            FORKS.Process(target=_watch, args=(connection, listener, path)).start()
            connection.close()


def _watch(connection: socket.socket, listener: socket.socket, server: str) -> None:
    """Fork once more, to say how the program ended, or to kill it when nobody asks any more."""
    listener.close()
    head, files, _, _ = socket.recv_fds(connection, HEAD.size, 2)
    request = json.loads(connection.recv(HEAD.unpack(head)[0], socket.MSG_WAITALL))
    program = FORKS.Process(target=_be, args=(*request, files, connection, server))
    program.start()
    if program.sentinel not in select.select([connection, program.sentinel], [], [])[0]:
        program.kill()
    program.join()
    with suppress(OSError):
        connection.sendall(str(program.exitcode).encode())


def _be(
    program: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    files: list[int],
    connection: socket.socket,
    server: str,
) -> None:
    connection.close()
    for number, file in enumerate(files, start=1):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program, *arguments]
    sys.path[0] = str(Path(program).parent)
    try:
        _run(program, arguments, server)
    except Exception:  # a process of multiprocessing would not ask the hook, by which a job's log knows
        sys.excepthook(*sys.exc_info())
        sys.exit(1)


def _run(program: str, arguments: list[str], server: str) -> None:
    if program != "snakemake":
        runpy.run_path(program, run_name="__main__")
        return
    _fork_scripts(server)
    from snakemake.cli import main  # here: the test that asks for a run needs no Snakemake

    main(arguments)


def _fork_scripts(server: str) -> None:
    """Let Snakemake run its scripts in forks, too, where it would start Python: in its own environment."""
    from snakemake.script import PythonScript

    start = PythonScript._execute_cmd

    def run(self, command: str, **words: object) -> None:
        script = str(words.get("fname"))
        if self.conda_env or self.container_img or self.env_modules:
            return start(self, command, **words)
        # as `snakemake.shell` has it
        names = ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")
        threads = {f"{name}_NUM_THREADS": str(self.threads) for name in names}
        status = ask(server, script, [], str(Path.cwd()), {**os.environ, **threads}, [1, 2])
        if status:
            raise subprocess.CalledProcessError(status, [sys.executable, script])

    PythonScript._execute_cmd = run


if __name__ == "__main__":
    for name in IMPORTED:
        with suppress(ModuleNotFoundError):  # where the tests that need no torch run, it is not there
            importlib.import_module(name)
    serve(sys.argv[1])
