"""What a first run costs, before there is anything to go by but the configuration, the voxels and the cores.

Rates are those of the project's own benchmarks (benchmarks/*.md), by one core of the machine named there; what was not
measured says so. An estimate is right to a factor of two or three: it tells an hour from a week.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lung4d.pipeline import disk_use
from lung4d.pipeline.dry_run import duration_in_words
from lung4d.pipeline.shards import STAGES

START = 2.0  # seconds in which a job starts; not measured beside others
PER_SCAN = {  # core-seconds of a scan, and more for each million voxels of it; reading and packing not measured
    "convert": (1.0, 0.15),
    "segment": (2.5, 0.05),  # segmentation.md: 1.1 to 3.8
    "register": (1.0, 0.1),
    "resample": (1.0, 0.05),
}
REGISTRATION = 12.0  # core-seconds of a pair at 1.5 mm: registration.md has 9 to 19
FLOP = 1.25e6  # of the generator a voxel, forward and backward, at width 16: vqgan.md, 7.86e12 of 96 x 256 x 256
FLOP_GAN = 0.44e6  # and of both discriminators, at 64 channels
CORE = 0.095e12  # FLOP a second of a core in float32: vqgan.md, half of the fastest matrix product
CORE_BF16 = {  # of a core with this flag in /proc/cpuinfo, the fastest first
    "amx_bf16": 0.27e12,  # vqgan.md
    "avx512_bf16": 0.18e12,  # 1.9 times float32, measured once on an AMD processor
}
GPU = 20e12  # of a data centre's GPU; assumed, not measured
GPU_CORES = 40.0  # cores that it is worth in the disease model; assumed, not measured
STEP = 1.0  # core-seconds of a step of the disease model on crops of 48 x 96 x 96: ode.md, two threads
STEP_VOXELS, STEP_HIDDEN = 48 * 96 * 96, 32
DRAWN = 1.6  # core-seconds to draw a million voxels: ode.md, two threads
SCORED = 26.0  # core-seconds to score a withheld visit of a million voxels: README.md of the benchmarks
LEAST_STEP, LEAST_STEP_GPU = 0.05, 0.01  # seconds of any step, of a core and of a GPU; not measured
SHARED = 0.7  # of what a core does alone, where up to 8 share a training; not measured
OTHERS = {"simulate_tables": 1, "split": 5, "qc": 20, "codebook": 60, "biomarkers": 30, "survival": 90, "report": 30}
ALONE = {"train_vqgan", "train_ode", "evaluate", *OTHERS}  # rules whose jobs run one after the other
THREADS = {"shard_scans": 8}  # of rules whose jobs do so many things at once


@dataclass(frozen=True)
class CohortSize:
    """voxels: of a scan as it comes, in the mean."""

    patients: int
    scans: int
    voxels: float


@dataclass(frozen=True)
class Machine:
    """cores of this run; bf16: the flag of CORE_BF16 that they have, or ""; gpu: whether there is one."""

    cores: int
    bf16: str = ""
    gpu: bool = False

    @property
    def together(self) -> float:
        """Cores that a training is worth."""
        return max(1.0, SHARED * min(self.cores, 8))


def job_seconds(config: Mapping[str, Any], cohort: CohortSize, machine: Machine) -> dict[str, float]:
    """Seconds of one job of each rule."""
    visits = cohort.scans / max(cohort.patients, 1)
    shape = math.prod(config["resample"]["shape"]) / 1e6
    scans = {rule: START + fixed + rate * cohort.voxels / 1e6 for rule, (fixed, rate) in PER_SCAN.items()}
    pairs = max(0.0, 1 - 1 / max(visits, 1.0))  # of all scans, those that are registered to another
    scans["register"] += pairs * REGISTRATION * (1.5 / config["register"]["spacing"]) ** 3
    scans["simulate"] = START + visits * 0.3 * cohort.voxels / 1e6
    forward = shape * 1e6 * FLOP / 3 * _width(config) / _speed(machine)
    scans["extract_latents"] = START + visits * forward
    drawn = DRAWN * shape * disk_use.forecasts(config["generate_trajectories"], visits)
    scans["generate_trajectories"] = START + drawn / (GPU_CORES if machine.gpu else 1)
    held_out = (config["split"]["val"] + config["split"]["test"]) * cohort.scans
    scored = held_out * SCORED * shape / (GPU_CORES if machine.gpu else machine.together)
    trainings = {"train_vqgan": _vqgan(config, machine), "train_ode": _ode(config, cohort, machine)}
    single = {**scans, **trainings, "evaluate": START + scored, **{rule: START + s for rule, s in OTHERS.items()}}
    return single | _shards(single, config, visits)


def _width(config: Mapping[str, Any]) -> float:
    """Work of the autoencoder as a share of that at width 16."""
    return (config["train_vqgan"]["width"] / 16) ** 2


def _speed(machine: Machine) -> float:
    """FLOP a second of one core, or of the GPU."""
    return GPU if machine.gpu else CORE_BF16.get(machine.bf16, CORE)


def _vqgan(config: Mapping[str, Any], machine: Machine) -> float:
    """Seconds of the first training."""
    settings = config["train_vqgan"]
    whole = math.prod(config["resample"]["shape"])
    crops = math.prod(settings["crop"]) if settings["crop"] else whole
    passes = settings["batch"] * settings["accumulation"]
    gan = FLOP_GAN * (settings["discriminator_channels"] / 64) ** 2
    seconds = 0.0
    late = max(0, settings["steps"] - settings["gan_start"]) / settings["steps"]
    tuned = settings["fine_tune_steps"]
    for steps, voxels in ((settings["steps"] - tuned, crops), (tuned, whole)):
        work = voxels * (FLOP * _width(config) + late * gan) / _speed(machine)
        seconds += steps * passes * max(work, LEAST_STEP_GPU if machine.gpu else LEAST_STEP)
    return START + seconds / (1 if machine.gpu else machine.together)


def _ode(config: Mapping[str, Any], cohort: CohortSize, machine: Machine) -> float:
    """Seconds of the second training: each member goes without a part of the training patients."""
    settings = config["train_ode"]
    trained = cohort.patients * (1 - config["split"]["val"] - config["split"]["test"])
    members = settings["members"]
    steps = trained * settings["epochs"] * (members - 1 if members > 1 else 1) / settings["accumulation"]
    step = max(STEP * _ode_size(config), LEAST_STEP) * settings["accumulation"]
    return START + 1.1 * steps * step / (GPU_CORES if machine.gpu else machine.together)


def _ode_size(config: Mapping[str, Any]) -> float:
    """Work and memory of a step of the disease model beside that of ode.md; a quarter on latents alone, a guess."""
    settings = config["train_ode"]
    voxels = math.prod(settings["crop"] or config["resample"]["shape"])
    return voxels / STEP_VOXELS * settings["hidden"] / STEP_HIDDEN * (1.0 if settings["maps"] else 0.25)


def _shards(single: Mapping[str, float], config: Mapping[str, Any], visits: float) -> dict[str, float]:
    """Jobs of many patients, whose threads share out the jobs inside."""
    per_patient = {rule: visits * single[rule] for rule in PER_SCAN} | {
        rule: single[rule] for rule in ("simulate", "extract_latents", "generate_trajectories")
    }
    if config["cohort"] != "simulated":
        per_patient["simulate"] = 0.0
    patients = config["shard"] or 1
    return {
        shard: START + patients * sum(per_patient[rule] for rule in stages) / THREADS.get(shard, 1)
        for shard, stages in STAGES.items()
    }


def clock_seconds(jobs: Mapping[str, int], seconds: Mapping[str, float], cores: int) -> float:
    """Seconds by the clock of so many jobs of each rule, on a machine with these cores."""
    total = 0.0
    for rule, count in jobs.items():
        threads = cores if rule in ALONE else THREADS.get(rule, 1)
        total += count * threads * seconds.get(rule, 0.0) / min(cores, count * threads)
    return total


def voxels_of(source: str | Path) -> float:
    """Voxels of a scan's file or folder by its bytes, two a voxel; of packed files what they unpack to, roughly."""
    packed = str(source).endswith((".gz", ".zip"))
    return disk_use.folder_bytes(source) / 2 / (disk_use.COMPRESSED if packed else 1)


def first_run(config: Mapping[str, Any], cohort: CohortSize) -> dict[str, int]:
    """Jobs of each rule in a first run without shards."""
    per_scan = dict.fromkeys(PER_SCAN, cohort.scans)
    per_patient = dict.fromkeys(("extract_latents", "generate_trajectories"), cohort.patients)
    return {**per_scan, **per_patient, **dict.fromkeys(ALONE - {"simulate_tables"}, 1)}


def memory_bytes(config: Mapping[str, Any], cohort: CohortSize, cores: int) -> float:
    """The most memory that a first run takes without a GPU: of scans side by side, or of a training."""
    settings = config["train_vqgan"]
    registration = max(0.4e9, 1.1e9 * (1.5 / config["register"]["spacing"]) ** 3)  # registration.md
    scans = cores * max(registration, 12 * cohort.voxels)
    whole = math.prod(config["resample"]["shape"])
    crops = settings["batch"] * math.prod(settings["crop"]) if settings["crop"] else settings["batch"] * whole
    largest = max(crops, settings["batch"] * whole if settings["fine_tune_steps"] else 0)
    first = 0.8e9 + 1560 * largest * settings["width"] / 16  # vqgan.md: 1.14 GiB of 48 x 128 x 128
    second = 1e9 + 9.6e9 * _ode_size(config)  # ode.md: 10.6 GB
    return max(scans, first, second)


def bf16_flag(cpuinfo: Path) -> str:
    """What the machine that this /proc/cpuinfo is of multiplies bf16 with: a flag of CORE_BF16, or ""."""
    flags = cpuinfo.read_text(encoding="utf-8", errors="replace").split() if cpuinfo.is_file() else []
    return next((flag for flag in CORE_BF16 if flag in flags), "")


def in_words(seconds: float, cohort: CohortSize, machine: Machine, recorded: bool) -> str:
    """How long a run takes by the clock, and what that goes by; `recorded` is whether jobs have run before."""
    where = f"{machine.cores} cores" + (" and a GPU" if machine.gpu else ", no GPU")
    scans = f"{cohort.scans} scans of {cohort.voxels / 1e6:.1f} million voxels in the mean"
    earlier = ", and times of earlier jobs" if recorded else ""
    return f"By the clock roughly {duration_in_words(seconds)} on {where}: from {scans}{earlier}."
