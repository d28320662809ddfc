"""What is found of foretold lung volume, in sentences."""

import math
from collections.abc import Iterable

from lung4d.biomarkers.repeats import BELOW
from lung4d.evaluate.volume.records import VolumeForetold


def volume_words(found: Iterable[VolumeForetold]) -> list[str]:
    """A sentence a set, target and method."""
    return [_volume(one) for one in found]


def _volume(found: VolumeForetold) -> str:
    said = (
        f"Lung volume {found.target}, set {found.set}, {found.method}: off by {found.error:.0f} ml in the mean of "
        f"{found.patients} patients ({found.visits} later visits from the first two); repeat scans differ by "
        f"{found.floor:g} ml"
    )
    if math.isnan(found.difference):
        return f"{said}."
    ends = "no interval" if math.isnan(found.low) else f"{found.low:+.0f}, {found.high:+.0f}"
    small = f"; that difference is {BELOW}" if abs(found.difference) < found.floor else ""
    return f"{said}; {found.difference:+.0f} ml [{ends}] to the last value ({found.verdict}){small}."
