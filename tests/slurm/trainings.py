"""One training of the 3D-VQ-GAN under Snakemake on the test cluster, to be disturbed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import psutil
import yaml

from cluster import ENDED, Cluster
from helpers.gates import Gates
from helpers.running import ROOT
from slurm_profile import SNAKEMAKE, write_profile

RULE = "rule_train_vqgan"
STEPS = 80  # of every training
SAVE_EVERY = 20  # steps; every time a picture of the training is drawn, which takes longer than the steps


class Training:
    """`snakemake --profile ... results/train_vqgan/model.pt` in a copy of a finished run that has no model yet.

    `rules` changes resources of the profile as in `slurm_profile.write_profile`. A gate that is closed holds a training
    that could otherwise come to its end before a test does something to it.
    """

    def __init__(self, cluster: Cluster, finished: Path, folder: Path, rules: Mapping | None = None):
        self.cluster, self.folder = cluster, folder
        shutil.copytree(finished / ".snakemake", folder / ".snakemake", symlinks=True)
        shutil.copytree(
            finished / "results", folder / "results", copy_function=os.link
        )  # files are replaced, not changed
        shutil.rmtree(folder / "results/train_vqgan")
        self.known = {job["id"] for job in cluster.jobs()}
        self.gates = Gates(folder / "gates")
        self.environment = cluster.environment() | {"LUNG4D_CPU_PARTITION": "cpu"} | self.gates.environment
        settings = {"steps": STEPS, "gan_start": STEPS // 2, "save_every": SAVE_EVERY, "validate_every": STEPS}
        settings |= {"perceptual": "none", "crop": [8, 8, 8], "batch": 1}  # many steps in little time
        (folder / "longer.yaml").write_text(yaml.safe_dump({"train_vqgan": settings}))
        profile = write_profile(folder / "profile", minutes=20, rules=rules)
        self.command = [sys.executable, SNAKEMAKE, "--directory", str(folder), "--profile", str(profile)]
        self.command += ["--configfile", str(ROOT / "tests/tiny.yaml"), str(folder / "longer.yaml")]
        self.command += ["--config", "shard=0"]

    def start(self) -> subprocess.Popen:
        """A Snakemake that sees to the training, in the background; what it says is added to master.txt."""
        with (self.folder / "master.txt").open("ab") as log:
            return subprocess.Popen(
                [*self.command, "--", "results/train_vqgan/model.pt"],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log, preexec_fn=hear_interrupts,
            )  # fmt: skip

    def run(self) -> None:
        """The same to the end, which must be a good one."""
        self.finish(self.start())

    def finish(self, master: subprocess.Popen) -> None:
        assert master.wait(1200) == 0, self.said()

    def unlock(self) -> None:
        subprocess.run([*self.command, "--unlock"], cwd=ROOT, env=self.environment, check=True, capture_output=True)

    def said(self) -> str:
        return (self.folder / "master.txt").read_text()[-6000:]

    def jobs(self) -> list[dict]:
        """The training's jobs so far."""
        return [job for job in self.cluster.jobs() if job["comment"] == RULE and job["id"] not in self.known]

    def printed(self, job: int) -> str:
        """What one of the jobs has printed so far."""
        return (self.folder / f".snakemake/slurm_logs/{RULE}/{job}.log").read_text()

    def job(self, beyond: int = 0) -> int:
        """Wait for a running job that has written a checkpoint after step `beyond`; its number."""
        self.cluster.wait_for(lambda: self.step() > beyond and self._running(), 400)
        return self._running()

    def _running(self) -> int | None:
        return next((job["id"] for job in reversed(self.jobs()) if job["state"] == "RUNNING"), None)

    def step(self) -> int:
        """Of the newest checkpoint, 0 where there is none."""
        names = [path.name for path in (self.folder / "results/train_vqgan/checkpoints").glob("step-*.pt")]
        return max((int(name.split("_")[0].removeprefix("step-")) for name in names), default=0)

    def process(self) -> psutil.Process | None:
        """The process that trains, where there is one."""
        scripts = str(self.folder / ".snakemake/scripts")
        for process in psutil.process_iter(["cmdline"]):
            if any(word.startswith(scripts) and "train_vqgan" in word for word in process.info["cmdline"] or []):
                return process
        return None

    def snakemake_of(self, job: int) -> psutil.Process:
        """The Snakemake that a running job begins with: a second one, below, starts the script."""
        for process in psutil.process_iter(["cmdline", "environ"]):
            of_job = (process.info["environ"] or {}).get("SLURM_JOB_ID") == str(job)
            if of_job and "slurm-jobstep" in process.info["cmdline"] and "snakemake" in process.info["cmdline"]:
                return process
        raise RuntimeError(f"job {job} has no Snakemake")

    def interrupt(self, master: subprocess.Popen) -> None:
        """SIGINT for a Snakemake that has just asked SLURM how its jobs are: while it asks, it would cancel none."""
        asked = self.folder / ".snakemake/asked"  # of SNAKEMAKE
        asked.unlink(missing_ok=True)
        self.cluster.wait_for(asked.exists)
        master.send_signal(signal.SIGINT)

    def cancel(self) -> None:
        """End the jobs that it still has, which would keep those of the next one waiting."""
        if left := [job["id"] for job in self.jobs() if job["state"] not in ENDED]:
            self.cluster.scancel(*left)

    def weights(self) -> bytes:
        return (self.folder / "results/train_vqgan/model.pt").read_bytes()

    def steps(self) -> list[int]:
        """Steps in the history, in its order."""
        return pd.read_parquet(self.folder / "results/train_vqgan/history.parquet")["step"].tolist()

    def log(self) -> str:
        try:
            return (self.folder / "results/logs/train_vqgan/train_vqgan.log").read_text()
        except FileNotFoundError:
            return ""  # the next job is about to begin


def hear_interrupts() -> None:
    """Undo that a shell in the background, which may have started the tests, lets its processes ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kill(process: subprocess.Popen | psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def went_on(training, undisturbed) -> bool:
    """Whether the training ended as an undisturbed one, from a checkpoint and not from the start."""
    assert training.weights() == undisturbed
    assert not list((training.folder / "results/train_vqgan").rglob("lock*.json"))
    return "going on from checkpoint" in training.log()
