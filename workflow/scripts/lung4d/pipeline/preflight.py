"""What a run needs besides its tables: weights, a GPU, partitions of the cluster. Every check gives sentences."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lung4d.io.atomic import digest_of_file
from lung4d.io.names import volumes_below

WEIGHTS = (("segment", "weights", "weights_sha256"), ("train_vqgan", "perceptual_weights", "perceptual_sha256"))
SHARED = {"train_vqgan": "train_vqgan", "table3_train": "train_vqgan", "train_ode": "train_ode"}  # its section, by rule
RUN: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60}


def check_weights(config: Mapping[str, Any]) -> list[str]:
    """Files of weights that the configuration names and that have another checksum than it says."""
    problems = []
    for stage, key, checksum in WEIGHTS:
        path, expected = config[stage][key], config[stage][checksum]
        if path and expected and Path(path).is_file() and digest_of_file(path) != expected.lower():
            problems.append(f"{stage}.{key}: {path} has another SHA-256 than {checksum}; get it again or correct it")
    return problems


def check_forecasts(config: Mapping[str, Any]) -> list[str]:
    """A folder of forecasts to be scored that is not there, or without a volume."""
    folder = config["evaluate"]["forecasts"]
    if not folder:
        return []
    if not Path(folder).is_dir():
        return [f"evaluate.forecasts: {folder} is no folder; name one, from the working folder on, or say null"]
    if not volumes_below(folder):
        return [f"evaluate.forecasts: {folder} has no volume (*.nii, *.nii.gz); put the forecasts there, or say null"]
    return []


def check_tensorboard(config: Mapping[str, Any], there: bool) -> list[str]:
    """Trainings that are to write event files without the package for it."""
    return [
        f"{section}.tensorboard is true, but the package is missing; pip install tensorboard, or say false"
        for section in ("train_vqgan", "train_ode")
        if config[section]["tensorboard"] and not there
    ]


def check_processes(asked: Mapping[str, Mapping[str, str]], config: Mapping[str, Any]) -> list[str]:
    """Whether the trainings that will run can share their work out; `asked` holds each rule's resources."""
    problems = []
    for rule in asked.keys() & SHARED.keys():
        section = SHARED[rule]
        processes, nodes = (int(asked[rule].get(what, 1)) for what in ("processes", "nodes"))
        accumulation = config[section]["accumulation"]
        if accumulation % processes:
            problem = f"{section}.accumulation is {accumulation}, which {processes} processes cannot share evenly"
            problems.append(f"{problem}; give a multiple, or other LUNG4D_PROCESSES")
        if processes % nodes:
            problem = f"{rule}: {processes} processes cannot be spread evenly over {nodes} nodes"
            problems.append(f"{problem}; set LUNG4D_PROCESSES to a multiple of LUNG4D_NODES")
    return problems


def check_requests(requests: Iterable[Mapping[str, str]]) -> list[str]:
    """Whether SLURM would take jobs that ask for this (`lung4d.pipeline.dry_run.requests`); nothing is submitted."""
    if shutil.which("sbatch") is None:
        return ["there is no sbatch here; start where jobs can be submitted"]
    names = subprocess.run(["sinfo", "--noheader", "--format=%R"], **RUN).stdout.split()
    problems = []
    for asked in requests:
        if asked["partition"] not in names:
            problem = f"no partition {asked['partition']}; there are {', '.join(sorted(set(names))) or 'none'}"
            problems.append(f"{problem}. Set LUNG4D_PARTITION or LUNG4D_CPU_PARTITION")
        elif complaint := _refused(asked):
            problems.append(f"SLURM would not take a job with {_said(asked)}: {complaint}")
    return list(dict.fromkeys(problems))


def _refused(asked: Mapping[str, str]) -> str:
    """What SLURM has against a job that asks for this, "" where it would take it."""
    options = {"partition": "partition", "account": "account", "gres": "gres", "time": "runtime", "mem": "memory",
               "nodes": "nodes", "cpus-per-task": "threads"}  # fmt: skip
    words = [f"--{option}={asked[key]}" for option, key in options.items() if asked.get(key)]
    done = subprocess.run(["sbatch", "--test-only", *words, "--wrap=true"], **RUN)
    if done.returncode == 0:
        return ""
    return re.sub(r"^(sbatch|allocation failure): (error: )?", "", done.stderr.strip().splitlines()[-1])


def _said(asked: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in asked.items())


def find_gpu() -> str:
    """In words, the NVIDIA cards of this machine, "" where there is none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    listed = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], **RUN)
    return "; ".join(listed.stdout.split("\n")).strip("; ") if listed.returncode == 0 else ""
