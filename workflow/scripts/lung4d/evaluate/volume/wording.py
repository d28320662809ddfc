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
    return f"{said}; {found.difference:+.0f} ml [{ends}] to the last value ({found.verdict}){small}.{_of_model(found)}"


def _of_model(found: VolumeForetold) -> str:
    """What is said of the model alone: the rival that it gains least on, and its band."""
    if not found.hardest:
        return ""
    difference, low, high = found.hardest_difference
    ends = "no interval" if math.isnan(low) else f"{low:+.0f}, {high:+.0f}"
    said = f" Of all rivals it gains least on {found.hardest}: {difference:+.0f} ml [{ends}] ({found.hardest_verdict})."
    share, low, high = found.coverage
    if math.isnan(share):
        return said
    return f"{said} Its 90 % band holds {100 * share:.0f} % of the visits [{100 * low:.0f}, {100 * high:.0f}]."
