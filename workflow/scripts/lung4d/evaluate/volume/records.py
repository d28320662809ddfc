"""What is found of foretold lung volume, as frozen records of plain values. A number that is missing is NaN."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VolumeForetold:
    """A method's mean absolute error in ml in a set, its difference to the last value with a 95 % interval, and the
    verdict on that; `floor` is what repeat scans differ by.

    Of the model besides: the rival that it gains least on, the difference to that with its interval, the verdict, and
    the share of visits in the 90 % band with its interval."""

    set: str
    target: str
    method: str
    patients: int
    visits: int
    error: float
    floor: float
    difference: float
    low: float
    high: float
    verdict: str
    hardest: str = ""
    hardest_difference: tuple[float, ...] = ()
    hardest_verdict: str = ""
    coverage: tuple[float, ...] = ()
