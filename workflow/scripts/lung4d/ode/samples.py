"""Training samples of stage 2: a patient, a crop and which visits are given, as a pure function of a counter."""

from dataclasses import dataclass

import numpy as np

from lung4d.ode.observed import ObservedVisits
from lung4d.ode.options import ODETraining
from lung4d.ode.sequences import Sequence, crop_box, draw_given


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

    Every patient comes once an epoch, in a `crop_box` of `Options.crop`.
    """

    def __init__(self, patients: list[Sequence], options: ODETraining, seed: int):
        self.patients, self.options, self.seed = patients, options, seed

    def draw(self, number: int) -> Sample:
        epoch, place = divmod(number, len(self.patients))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.patients))
        patient = self.patients[order[place]]
        rng = np.random.default_rng([self.seed, epoch, place])
        visits = patient.visits(crop_box(patient, self.options.crop, rng)).merged()
        given = draw_given(len(visits), rng, self.options.given, self.options.hide_visits)
        return Sample(patient.subject, visits, given)
