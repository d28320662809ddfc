"""What is found of calls, as frozen records of plain values. A number that is missing is NaN."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Called:
    """A method's calls of a set's patients from `given` visits, of the change after the first `after`.

    Numbers of patients who are stable, between and fast by the truth, or as `source` says "seen"; shares of the stable
    and of the fast ones that are called stable, with 95 % intervals; `cutoff` in points of extent a year, chosen on so
    many val patients, 0 where it is the usual one. `gained`: correct calls, the mean of both shares that are right,
    beyond those of `rival`, paired by patient, and the `verdict` on that.
    """

    set: str
    given: int
    after: int
    method: str
    source: str
    stable: int
    between: int
    fast: int
    right: float
    right_low: float
    right_high: float
    missed: float
    missed_low: float
    missed_high: float
    cutoff: float
    val_patients: int
    rival: str
    gained: float
    gained_low: float
    gained_high: float
    verdict: str


@dataclass(frozen=True)
class CalledFromMore:
    """What four given visits add to the correct calls from two, of the same patients and the same later visits."""

    set: str
    method: str
    stable: int
    fast: int
    gained: float
    gained_low: float
    gained_high: float
    verdict: str
