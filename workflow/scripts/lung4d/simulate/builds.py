"""What differs between people's chests. Only numpy here: the workflow asks it for sizes when it is parsed."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Build:
    """What differs between people. Lengths in mm before `size` is applied; size is (z, y, x)."""

    size: np.ndarray
    fat: float
    muscle: float
    dome: tuple[float, float]  # height of the right and left diaphragm
    heart: tuple[float, ...]  # centre, z y x
    heart_radius: tuple[float, ...]
    oblique: tuple[float, float]  # height at y = 0, slope
    horizontal: float
    rib_phase: float
    rib_drop: float
    gas: float  # radius of the stomach's gas
    warp: float  # mm, sd of the smooth individual deviation


def draw_build(rng: np.random.Generator, sex: str) -> Build:
    scale = (0.95 if sex == "F" else 1.0) * rng.normal(1, 0.025)
    return Build(
        size=np.clip(scale * rng.normal(1, [0.05, 0.04, 0.03]), 0.84, [1.03, 1.06, 0.99]),
        fat=float(rng.uniform(5, 14) + (2 if sex == "F" else 0)),
        muscle=rng.uniform(8, 13),
        dome=_floats(rng.normal([-50, -62], 6)),
        heart=_floats(np.array([-38, -30, 22]) + rng.normal(0, 3, 3)),
        heart_radius=_floats(np.array([50, 44, 55]) * rng.normal(1, 0.05, 3)),
        oblique=_floats(rng.normal([-12, 1.1], [6, 0.08])),
        horizontal=rng.normal(12, 5),
        rib_phase=rng.uniform(0, 24),
        rib_drop=rng.uniform(45, 65),
        gas=float(rng.choice([0.0, rng.uniform(12, 24)])),
        warp=rng.uniform(2.0, 3.5),
    )


def _floats(values: np.ndarray) -> tuple[Any, ...]:
    """Plain floats, which leave float32 arrays float32."""
    return tuple(float(v) for v in values)
