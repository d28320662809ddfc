"""Times that are each right and make too much together: years of forecasts, their steps, and those of the solver.

Constants repeat those of the stages, as in lung4d.pipeline.door.contradictions.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

FIXED_SOLVERS = {"euler": 1, "midpoint": 2, "rk4": 4}  # evaluations a step (train_ode)
FALLBACK = "rk4"  # of an adaptive solver that gives up (train_ode)
MOST_EVALUATIONS = 20_000  # of one solution (train_ode)
MAX_STEPS = 1000  # of an adaptive solver, each at most a unit of its time long (train_ode)
MOST_FORECASTS = 1000  # volumes of a patient, from one set of given visits, and steps of the pairwise decoder


def times_of_forecasts(config: Mapping[str, Any], last: float = 0.0) -> Iterator[str]:
    """A sentence for each key of the times that asks for too much; last: years of the cohort's last visit."""
    own, ode = config["generate_trajectories"], config["train_ode"]
    farthest = round(max(last, *map(abs, own["years"])) if own["years"] else last + own["horizon"], 3)
    visits = f", after visits up to {last:g} years" if last else ""
    if (len(own["years"]) if own["years"] else math.ceil(farthest / own["interval"])) > MOST_FORECASTS:
        yield (
            f"generate_trajectories.interval is {own['interval']} up to a horizon of {own['horizon']} years{visits}: "
            f"more than {MOST_FORECASTS} volumes a patient; give a longer interval"
        )
    if ode["decoder"] == "pairwise" and farthest / ode["pairwise_interval"] > MOST_FORECASTS:
        yield (
            f"train_ode.pairwise_interval is {ode['pairwise_interval']} years, but {farthest} are to be forecast: "
            f"more than {MOST_FORECASTS} steps; give a longer one"
        )
    yield from _of_the_solver(ode, farthest)


def _of_the_solver(ode: Mapping[str, Any], farthest: float) -> Iterator[str]:
    if ode["dynamics"] == "linear" and ode["encoder"] == "convgru":
        return  # nothing is solved
    steps = math.ceil(farthest / ode["solver_step"])
    if steps * FIXED_SOLVERS.get(ode["solver"], FIXED_SOLVERS[FALLBACK]) > MOST_EVALUATIONS:
        yield (
            f"train_ode.solver_step is {ode['solver_step']} years, but {farthest} are to be forecast: {steps} steps, "
            "also of an adaptive solver where it gives up; give longer ones"
        )
    if ode["solver"] not in FIXED_SOLVERS and farthest / ode["years_scale"] > MAX_STEPS:
        yield (
            f"train_ode.years_scale is {ode['years_scale']}, but {farthest} years are to be forecast: "
            f"{farthest / ode['years_scale']:.0f} units of the solver's time, of which it takes {MAX_STEPS}; give more "
            "years a unit"
        )
