"""Training samples of stage 2: a patient, a crop and which visits are given, as a pure function of a counter."""

from dataclasses import dataclass, replace

import numpy as np

from lung4d.ode.observed import ObservedVisits, VisitTensors
from lung4d.ode.options import ODETraining
from lung4d.ode.patients import crop_box
from lung4d.ode.told import hide_some

# Shares of the random draws: the first visits are given, as a patient in follow-up has them; all but one between them,
# as where a scan is missing. The rest gives any visits.
FIRST, ALL_BUT_ONE = 0.55, 0.3


@dataclass(frozen=True)
class Sample:
    """Merged visits of one patient in a crop, and the indices of those that are given to the model."""

    subject: str
    visits: ObservedVisits
    given: np.ndarray

    @property
    def withheld(self) -> np.ndarray:
        return np.setdiff1d(np.arange(len(self.visits)), self.given)


class Samples:
    """Endless samples. One depends on the seed and on its number alone, never on what was drawn before.

    Every patient comes once an epoch, in a `crop_box` of `ODETraining.crop`.
    """

    def __init__(self, patients: list[VisitTensors], options: ODETraining, seed: int):
        self.patients, self.options, self.seed = patients, options, seed

    def draw(self, number: int) -> Sample:
        epoch, place = divmod(number, len(self.patients))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.patients))
        patient = self.patients[order[place]]
        rng = np.random.default_rng([self.seed, epoch, place])
        visits = patient.observe(crop_box(patient, self.options.crop, rng)).merged()
        given = draw_given(len(visits), rng, self.options.given, self.options.hide_visits)
        return Sample(patient.subject, replace(visits, told=hide_some(visits.told, rng)), given)


def draw_given(visits: int, rng: np.random.Generator, given: str, hide: float) -> np.ndarray:
    """Which of `visits` >= 2 visits a training step gives to the model; all visits are its targets.

    given: "random" draws the first few visits, or all but one between the first and the last, or any of them (see
    FIRST and ALL_BUT_ONE), never all; "all" is the paper's. hide: chance that each of these is hidden again ("masked
    inputs" of Table 1). One visit at least is left.
    """
    chosen = np.arange(visits)
    if given == "random":
        count, kind = int(rng.integers(1, visits)), rng.random()
        if kind < FIRST:
            chosen = chosen[:count]
        elif kind < FIRST + ALL_BUT_ONE and visits > 2:
            chosen = np.delete(chosen, rng.integers(1, visits - 1))
        else:
            chosen = np.sort(rng.choice(visits, size=count, replace=False))
    kept = chosen[rng.random(len(chosen)) >= hide]
    return kept if len(kept) else chosen[:1]
