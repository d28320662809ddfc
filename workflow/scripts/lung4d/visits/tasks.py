"""Which visits are given and which withheld."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ForecastTask:
    """The visits that are given and those that are asked for, ascending indices in the order of time."""

    name: str
    given: tuple[int, ...]
    targets: tuple[int, ...]


def forecast_tasks(visits: int, given_too: bool = False) -> list[ForecastTask]:
    """Extrapolation from the first two visits to all later ones, interpolation from first and last to those between.

    given_too: the given visits are targets as well, the paper's convention. A patient with fewer than three visits has
    no task: nothing can be withheld.
    """
    if visits < 3:
        return []
    everything = tuple(range(visits))
    return [
        ForecastTask("extrapolation", (0, 1), everything if given_too else everything[2:]),
        ForecastTask("interpolation", (0, visits - 1), everything if given_too else everything[1:-1]),
    ]


def held_out_tasks(visits: int) -> list[ForecastTask]:
    """Tasks by which a model is chosen: later visits from the first two, and the middle visit from all others.

    With two visits the second is asked for from the first.
    """
    everything = tuple(range(visits))
    first = min(2, visits - 1)
    tasks = [ForecastTask("extrapolation", everything[:first], everything[first:])]
    if visits > 2:
        middle = visits // 2
        others = everything[:middle] + everything[middle + 1 :]
        tasks.append(ForecastTask("interpolation", others, (middle,)))
    return tasks
