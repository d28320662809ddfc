"""What two scans of one person differ by though nothing has changed: a floor under every change and every band.

Scans repeated about a week apart differ by 5.0 HU in mean lung density and by 169 ml in lung volume (SPIE 2011).
Whoever foretells less than that foretells nothing that one later scan could show, and a band of which half is narrower
promises more than the measurement holds.
"""

import math

FLOORS = {"mean_density_hu": 5.0, "lung_volume_ml": 169.0}
SOURCE = "repeat scans about a week apart, SPIE 2011"
BELOW = "below what a repeat scan differs by"
CHANGE, BAND = "change", "half of the band"


def floor_of(measure: str) -> float:
    """The floor of a read-out in its unit, NaN where none is known."""
    return FLOORS.get(measure, math.nan)


def below_floor(measure: str, change: float, width: float) -> str:
    """What is below the floor: the size of a change, half of a band `width` wide, both, or neither ("").

    All in the measure's unit; NaN is not below.
    """
    floor = floor_of(measure)
    sizes = {CHANGE: abs(change), BAND: width / 2}
    return " and ".join(name for name, size in sizes.items() if size < floor)


def below_words(below: str) -> str:
    """The same in words for a person, "" for neither."""
    return f"{below} {BELOW}" if below else ""
