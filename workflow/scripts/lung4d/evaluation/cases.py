"""Which visits are given and which withheld."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One patient's given and withheld visits (indices in the order of time) of one task."""

    task: str
    given: tuple[int, ...]
    targets: tuple[int, ...]


def cases(visits: int) -> list[Case]:
    """Extrapolation from the first two visits to all later ones, interpolation from first and last to those between.

    A patient with fewer than three visits has none: nothing can be withheld.
    """
    if visits < 3:
        return []
    return [
        Case("extrapolation", (0, 1), tuple(range(2, visits))),
        Case("interpolation", (0, visits - 1), tuple(range(1, visits - 1))),
    ]
