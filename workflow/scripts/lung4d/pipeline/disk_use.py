"""How much of the disk a run needs and uses, stage by stage."""

import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Share of its size that gzip leaves of CT in HU (int16): 0.50 to 0.67 of four real ones. Sources are taken for plain
# arrays, though DICOM may be compressed already.
COMPRESSED = 0.6
# Not measured: a displacement field on a grid of 3 mm over a chest, of which a scan has two, and the log-Jacobian as a
# share of the scan.
FIELD_BYTES = 20e6
LOG_JACOBIAN = 0.25


def folder_bytes(path: str | Path) -> int:
    """Bytes of all files below a folder, or of a file, also those that links lead to; 0 where there is nothing."""
    path = Path(path)
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    total, folders, seen = 0, [str(path)], set()
    while folders:
        folder = folders.pop()
        if (real := os.path.realpath(folder)) in seen:  # links in a circle
            continue
        seen.add(real)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                elif entry.is_file():
                    total += entry.stat().st_size
    return total


def used(results: str | Path) -> dict[str, int]:
    """Bytes of every stage's folder below `results`."""
    folders = sorted(path for path in Path(results).glob("*") if path.is_dir())
    return {folder.name: folder_bytes(folder) for folder in folders}


def simulated_bytes(config: Mapping[str, Any]) -> float:
    """Bytes of a scan of the built-in cohort, a chest of 36 x 26 x 32 cm."""
    return 2 * 360 * 260 * 320 / math.prod(config["simulate"]["spacing"])


def predicted(sources: float, scans: int, patients: int, config: Mapping[str, Any]) -> dict[str, float]:
    """Bytes that the stages leave of `scans` scans of `patients` patients, roughly.

    sources: bytes of the scans as they come. config: the resolved configuration.
    """
    voxels, compression = math.prod(config["resample"]["shape"]), config["train_vqgan"]["compression"]
    latent = voxels / compression**3
    volume = 2 * voxels
    volumes = forecasts(config["generate_trajectories"], scans / max(patients, 1))
    return {
        "convert": sources * COMPRESSED,
        "segment": 0.5e6 * scans,
        "register": (sources * COMPRESSED * (1 + LOG_JACOBIAN)) + 2 * FIELD_BYTES * scans,
        "resample": (volume + 0.05e6) * scans,
        # codes (2 bytes), embeddings before and after quantisation (4 each), mask; the reconstruction
        "extract_latents": (latent * (2 + 8 * config["train_vqgan"]["embedding"] + 1) + COMPRESSED * volume) * scans,
        # a forecast: its volume and its spread, compressed, and its codes
        "generate_trajectories": (2 * COMPRESSED * volume + 3 * latent) * volumes * patients,
    }


def forecasts(settings: Mapping[str, Any], visits: float) -> float:
    """Scans that are generated of a patient: at every year asked for, from all visits and from the first two."""
    if settings["years"] is not None:
        times = len(settings["years"])
    else:
        times = (settings["horizon"] + visits) / settings["interval"]  # with about a year between two visits
    return 2 * times if visits > 2 else times


def free_bytes(path: str | Path) -> int:
    return shutil.disk_usage(path).free


def size_in_words(number: float) -> str:
    """Bytes as people say them: 12 MB, 3.4 GB, 1.2 TB."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{number / size:.1f} {unit}" if unit != "MB" else f"{number / size:.0f} MB"
    return f"{number / 1e3:.0f} kB"


def still_wanted(expected: Mapping[str, float], there: Mapping[str, float]) -> float:
    """Bytes that are still to come, if what is there stays."""
    return sum(max(0.0, size - there.get(stage, 0)) for stage, size in expected.items())


def table(expected: Mapping[str, float], there: Mapping[str, float]) -> list[str]:
    """A line a stage: what it is expected to leave, and what is there."""
    stages = [*expected, *(stage for stage in there if stage not in expected)]
    return [
        f"  {stage:<22} {size_in_words(there.get(stage, 0)):>8}"
        + (f" of {size_in_words(expected[stage])} expected" if stage in expected else "")
        for stage in stages
    ]
