"""A real SLURM cluster on this machine, on its loopback address alone, for the tests: as root, without systemd."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock

from slurm_conf import NODES, make_device, write_configuration

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
DAEMONS = ("munged", "slurmctld", "slurmd", "srun")
# Several clusters may be wanted at once, by the processes that run the tests: they install and start one at a time.
LOCK = FileLock(Path(tempfile.gettempdir()) / "lung4d-slurm.lock")
# A training over several nodes meets at 20000 + job number, and job numbers begin at the controller's port: below
# 12700, none of these is a port that the kernel gives to outgoing connections (from 32768). Controllers' ports are 300
# apart, so that two clusters give no two jobs the same number before one of them has had 300.
CONTROLLER_PORTS = range(10000, 12700, 300)
NODE_PORTS = range(12700, 13700)
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}


def missing() -> str:
    """Why no cluster can be brought up here, in a sentence, or "". Installs SLURM where that is all that is missing."""
    if os.geteuid() != 0:
        return "SLURM's daemons need root"
    try:
        addresses = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    except OSError:
        addresses = set()
    if not addresses or not all(address.startswith("127.") for address in addresses):
        return f"the host's name {socket.gethostname()} must stand for 127.0.0.1 in /etc/hosts"
    with tempfile.TemporaryDirectory() as folder:
        try:
            make_device(Path(folder) / "null")
        except OSError as error:
            return f"no device files can be made for the GPUs ({error.strerror})"
    with LOCK:
        return "" if _installed() else _install()


def _installed() -> bool:
    return all(map(shutil.which, DAEMONS))


def _install() -> str:
    """Install the Debian packages. Returns why that failed, or ""."""
    if shutil.which("apt-get") is None:
        return "SLURM is not installed, and this is no Debian that could install it"
    # In run level 1, packages do not start the services that they bring.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    if _installed():
        return ""
    return "the packages of SLURM cannot be installed: " + (done.stderr.strip().splitlines() or ["no reason given"])[-1]


class Cluster:
    """Context manager for a cluster that keeps everything, logs too, below a new folder.

    Its nodes are those of `slurm_conf.NODES`: cpu1 in the partition cpu (the default), gpu1 and gpu2 with two GPUs
    each, of which there is nothing but the number, in the partition a100. All daemons run on this host as children of
    this process and end with the context, as do all jobs. Raises RuntimeError or TimeoutError where it fails to.
    """

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        if len(str(self.folder)) > 65:
            raise ValueError(f"{self.folder} is too long for the sockets below it: 65 characters at most")
        self.daemons: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Cluster":
        try:
            with LOCK:  # until the ports, free when they were chosen, are taken
                ports = [*_free_ports(CONTROLLER_PORTS, 1), *_free_ports(NODE_PORTS, len(NODES))]
                write_configuration(self.folder, ports, Path(shutil.which("srun")).parent)
                self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if "slurmctld" in self.daemons:
                self._end_jobs()
        finally:
            for name in reversed(self.daemons):
                _end(self.daemons[name])
            self.daemons.clear()

    def environment(self) -> dict[str, str]:
        """The environment for what talks to this cluster: this process's, without names of another's."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        return {
            **kept,
            "SLURM_CONF": str(self.folder / "etc/slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{kept.get('PATH', os.defpath)}",
        }

    def run(self, *command: str) -> str:
        """What a command that talks to this cluster prints; raises RuntimeError with its complaint where it fails."""
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def submit(self, command: str, *options: str) -> int:
        """The number of a new job that runs `command` in a shell and prints to log/<number>.txt below the folder."""
        printed = f"--output={self.folder}/log/%j.txt"
        return int(self.run("sbatch", "--parsable", printed, *options, f"--wrap={command}"))

    def printed(self, job: int) -> str:
        """What a job of `submit` has printed so far."""
        return (self.folder / f"log/{job}.txt").read_text()

    def jobs(self) -> list[dict]:
        """All jobs by number, also those that have ended: id, name, comment, state, node, reason.

        `comment` is "rule_<name>_wildcards_<values>" of a job that Snakemake submitted; `state` is one long word.
        """
        keys = ("id", "name", "comment", "state", "node", "reason")
        lines = self.run("squeue", "--states=all", "--noheader", "--format=%i|%j|%k|%T|%N|%r").splitlines()
        rows = [dict(zip(keys, line.split("|"), strict=True)) for line in lines]
        return sorted(({**row, "id": int(row["id"])} for row in rows), key=lambda row: row["id"])

    def state(self, job: int) -> str:
        """One long word, such as PENDING; a job that used too much memory is FAILED."""
        return self.history(job)["JobState"]

    def history(self, job: int) -> dict[str, str]:
        """All that SLURM says of a job, by SLURM's names, such as Restarts, ExitCode, NodeList, StartTime."""
        return dict(
            re.findall(r"(\S+?)=(.*?)(?=\s+[\w:/]+=|\s*$)", self.run("scontrol", "show", "job", "-o", str(job)))
        )

    def waits_for_a_node(self, job: int) -> bool:
        """Whether a job is not started because the nodes for it are drained or down; SLURM has several words for it."""
        known = self.history(job)
        return known["JobState"] == "PENDING" and bool(re.search("DRAINED|UnavailableNodes", known["Reason"]))

    def wait_for(self, predicate: Callable[[], object], seconds: float = 120):
        """The first result of `predicate` that is true; raises TimeoutError, with the queue, after `seconds`."""
        end = time.monotonic() + seconds
        while not (result := predicate()):
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds} s in vain; the queue: {self.jobs()}")
            time.sleep(0.2)
        return result

    def wait_for_end(self, job: int, seconds: float = 120) -> str:
        """The state in which a job ends."""
        self.wait_for(lambda: self.state(job) in ENDED, seconds)
        return self.state(job)

    def scancel(self, *jobs: int) -> None:
        self.run("scancel", *map(str, jobs))

    def requeue(self, job: int) -> None:
        """Stop a job and put it back into the queue under its number."""
        self.run("scontrol", "requeue", str(job))

    @contextmanager
    def drained(self, *nodes: str) -> Iterator[None]:
        """For the time of the block the nodes get no new jobs; those that they have go on."""
        names = f"nodename={','.join(nodes)}"
        self.run("scontrol", "update", names, "state=drain", "reason=test")
        try:
            yield
        finally:
            self.run("scontrol", "update", names, "state=resume")

    def fail(self, node: str) -> None:
        """Let a node break down with the jobs that it has. It is found to be alive, and back, within seconds."""
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def processes(self) -> dict[int, str]:
        """Process numbers and names of the daemons and all jobs of this cluster."""
        daemons = {process.pid: name for name, process in self.daemons.items() if process.poll() is None}
        return daemons | _of_jobs(self.folder)

    def _start(self) -> None:
        run = self.folder / "run"
        self._launch(
            "munged", "--foreground", "--force", f"--key-file={self.folder}/etc/munge.key",
            f"--socket={run}/munge.sock", f"--pid-file={run}/munged.pid", f"--seed-file={run}/munge.seed",
        )  # fmt: skip
        self._wait_until_up("munge", "--no-input", f"--socket={run}/munge.sock")
        self._launch("slurmctld", "-D", "-i")
        self._wait_until_up("scontrol", "ping")
        for node in NODES:
            self._launch("slurmd", "-D", "-N", node, name=node)
        self.wait_for(lambda: set(self.run("sinfo", "--noheader", "--format=%t").split()) == {"idle"})

    def _launch(self, *command: str, name: str = "") -> None:
        name = name or command[0]
        with (self.folder / f"log/{name}.err").open("wb") as log:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],  # no daemon survives the tests, were they killed
                env=self.environment(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C of the tests is not for them
            )  # fmt: skip

    def _wait_until_up(self, *command: str) -> None:
        end = time.monotonic() + 120
        while True:
            for name, process in self.daemons.items():
                if process.poll() is not None:
                    complaint = (self.folder / f"log/{name}.err").read_text()[-2000:]
                    raise RuntimeError(f"{name} ended with {process.returncode}: {complaint}")
            try:
                self.run(*command)
                return
            except RuntimeError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def _end_jobs(self) -> None:
        """Cancel all jobs and wait until their processes are gone, which are killed where SLURM fails to."""
        subprocess.run(["scancel", "--user=root"], env=self.environment(), capture_output=True, timeout=60)
        end = time.monotonic() + 15  # longer than KillWait
        while (left := _of_jobs(self.folder)) and time.monotonic() < end:
            time.sleep(0.1)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _free_ports(choices: range, count: int) -> list[int]:
    ports = []
    for port in random.sample(choices, len(choices)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"no {count} free ports from {choices.start} to {choices.stop}")


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _of_jobs(folder: Path) -> dict[int, str]:
    """Process numbers and names of the jobs of the cluster below `folder`, by their environment."""
    found = {}
    for process in psutil.process_iter(["name", "environ"]):
        name, environment = process.info["name"], process.info["environ"] or {}
        of_job = name == "slurmstepd" or "SLURM_JOB_ID" in environment
        if of_job and any(str(folder) in value for value in environment.values()):
            found[process.pid] = name
    return found
