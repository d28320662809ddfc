"""Which visits are given and which withheld."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One patient's given visits and those to forecast (indices in the order of time) of one task."""

    task: str
    given: tuple[int, ...]
    targets: tuple[int, ...]


def cases(visits: int, given_too: bool = False) -> list[Case]:
    """Extrapolation from the first two visits to all later ones, interpolation from first and last to those between.

    given_too: the given visits are targets as well, the paper's convention. A patient with fewer than three visits has
    no case: nothing can be withheld.
    """
    if visits < 3:
        return []
    everything = tuple(range(visits))
    return [
        Case("extrapolation", (0, 1), everything if given_too else everything[2:]),
        Case("interpolation", (0, visits - 1), everything if given_too else everything[1:-1]),
    ]
