"""Speed of stage 2 at the paper's size: a training step, and one patient's 12 volumes.

    .venv/bin/python benchmarks/ode.py [--threads 2]

Writes ode.md beside this file: seconds of a training step with the settings of config/config.yaml on made-up patients,
what a whole training of the paper's cohort then takes, and seconds of a trajectory of 96 x 256 x 256 voxels.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow/scripts"))
from lung4d.io.atomic import atomic
from lung4d.ode.decoding import decode_forecast
from lung4d.ode.ensemble import as_ensemble
from lung4d.ode.model import LatentODE, ODESettings
from lung4d.ode.observed import DENSITIES, VisitTensors
from lung4d.ode.options import ODETraining
from lung4d.ode.step import train_step
from lung4d.ode.training import start_member, start_training
from lung4d.ode.validation import validate
from lung4d.pipeline.door.configuration import load_yaml
from lung4d.training.device import has_bf16
from lung4d.visits.patient import PatientVisits
from lung4d.visits.scans import EncodedScan
from lung4d.vqgan.model import VQGAN, VQGANSettings
from machine import process_bytes, processor

PATIENTS, VISITS, SHAPE, WINDOW = 175, 3, (96, 256, 256), (-1000.0, 500.0)
JUDGES = 44  # val patients beside them, in the shares of config/config.yaml
YEARS = np.array([0.0, 1.1, 2.3])
ASKED = np.linspace(0.5, 6.0, 12)
GOALS = {"cpu": (8.0, 120.0), "cuda": (0.5, 2.0)}  # hours of a training, seconds of a trajectory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30, help="of which the mean counts, after two more")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = load_yaml(HERE.parent / "config/config.yaml")
    options, of_stage_1 = ODETraining.of(config["train_ode"]), VQGANSettings.of(config["train_vqgan"])
    made = {"channels": of_stage_1.embedding, "factor": of_stage_1.compression, "told": ()}
    settings = ODESettings.of(config["train_ode"] | made)
    step, judge = training_seconds(settings, options, device, arguments.steps)
    rows = []
    for mode in ("drawn", "pure"):
        rows.append((mode, trajectory_seconds(of_stage_1, settings, options.members, mode, device)))
        print(*rows[-1], flush=True)
    with atomic(HERE / "ode.md") as temporary:
        temporary.write_text(page(options, step, judge, rows, device, arguments))


def patient(number: int) -> VisitTensors:
    """A made-up patient of the paper's size: noise in an ellipsoid for a lung."""
    rng = np.random.default_rng(number)
    axes = np.ogrid[tuple(slice(-1, 1, size * 1j) for size in SHAPE)]
    region = sum(axis**2 for axis in axes) < 0.8
    small = tuple(size // 4 for size in SHAPE)
    volumes = tuple(rng.normal(-800, 80, SHAPE).astype(np.int16) for _ in range(VISITS))
    z = torch.from_numpy(rng.normal(0, 1, (VISITS, 16, *small)).astype(np.float32))
    place = np.zeros(SHAPE, np.float16), np.linspace(0, 1, SHAPE[0], dtype=np.float32)
    densities = torch.full((VISITS, DENSITIES), -0.37)
    files = Path(), Path(), Path()
    scans = tuple(EncodedScan(f"{number:03d}", "", year, "train", "", *files) for year in YEARS)
    visits = PatientVisits(scans, scans[0], WINDOW)
    vars(visits).update(volumes=volumes, region=region, mask=region[2::4, 2::4, 2::4].copy())  # as if they were read
    told, expansion, expanded = torch.zeros(VISITS, 0), torch.zeros(VISITS, *small), torch.zeros(VISITS)
    return VisitTensors(visits, z, *place, densities, told, expansion, expanded)


def training_seconds(
    settings: ODESettings, options: ODETraining, device: torch.device, steps: int
) -> tuple[float, float]:
    """Of a training step, and of the validation of one patient."""
    training = start_training(settings, options, [patient(0), patient(1)], device, HERE / "none.parquet")
    run = start_member(training, 0)
    seconds = []
    for _ in range(steps + 2):
        seconds.append(timed(lambda: train_step(run), device))
        print(f"step {seconds[-1]:.2f} s", flush=True)
    validation = timed(lambda: validate(run.model, training.judges, options.crop), device)
    return mean(seconds[2:]), validation / len(training.judges)


def trajectory_seconds(
    of_stage_1: VQGANSettings, settings: ODESettings, members: int, mode: str, device: torch.device
) -> float:
    torch.manual_seed(0)
    vqgan = VQGAN(of_stage_1).to(device).eval().requires_grad_(False)
    ode = as_ensemble(settings, [LatentODE(settings).state_dict() for _ in range(members)], device)
    given = patient(0).observe()

    def generate() -> None:
        decode_forecast(vqgan, ode.forecast(given, ASKED), given, ASKED, mode)

    if device.type == "cuda":
        generate()  # warms up
    return timed(generate, device)


def timed(function: Callable[[], object], device: torch.device) -> float:
    begun = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def page(
    options: ODETraining, step: float, judge: float, rows: list, device: torch.device, arguments: argparse.Namespace
) -> str:
    share = 1 if options.members == 1 else 1 - 1 / options.members
    steps = options.members * options.steps(round(share * PATIENTS))
    validation = JUDGES * judge
    hours, goal = steps * (step + validation / options.validate_every) / 3600, GOALS[device.type]
    units = "with" if has_bf16(device) else "without"
    on_cpu = f"{processor()}, {arguments.threads} threads, {units} matrix units for bf16"
    name = torch.cuda.get_device_name() if device.type == "cuda" else on_cpu
    lines = [f"| {len(ASKED)} volumes, {mode} | {seconds:.1f} s | {goal[1]:g} s |" for mode, seconds in rows]
    return PAGE.format(
        name=name,
        crop=" x ".join(map(str, options.crop)),
        step=step,
        validation=validation,
        every=options.validate_every,
        steps=steps,
        members=options.members,
        epochs=options.epochs,
        patients=PATIENTS,
        hours=hours,
        goal=goal[0],
        memory=process_bytes("VmHWM") / 1e9,
        rows="\n".join(lines),
    )


PAGE = """\
# Stage 2 at the paper's size

{name}. Crops of {crop}; {patients} patients with 3 visits, {epochs} epochs, {members} members, {steps} steps in all.
Highest memory of the process {memory:.1f} GB.

| what | measured | goal |
| --- | ---: | ---: |
| a training step | {step:.2f} s | |
| a validation, every {every} steps | {validation:.0f} s | |
| the whole training, extrapolated | {hours:.1f} h | {goal:g} h |
{rows}
"""

if __name__ == "__main__":
    main()
