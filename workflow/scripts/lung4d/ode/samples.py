"""Training samples of stage 2: a patient, a crop and which visits are given, as a pure function of a counter."""

from dataclasses import dataclass

import numpy as np
import torch

from lung4d.ode.given import Given
from lung4d.ode.options import Options
from lung4d.ode.sequences import Sequence, draw_given


@dataclass(frozen=True)
class Sample:
    """Merged visits of one patient in a crop, and the indices of those that are given to the model."""

    subject: str
    visits: Given
    given: np.ndarray

    @property
    def withheld(self) -> np.ndarray:
        return np.setdiff1d(np.arange(len(self.visits)), self.given)


class Samples:
    """Endless samples. One depends on the seed and on its number alone, never on what was drawn before.

    Every patient comes once an epoch. A crop (`Options.crop`, voxels of the scan) lies around a random lung voxel.
    """

    def __init__(self, patients: list[Sequence], options: Options, seed: int):
        self.patients, self.options, self.seed = patients, options, seed

    def draw(self, number: int) -> Sample:
        epoch, place = divmod(number, len(self.patients))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.patients))
        patient = self.patients[order[place]]
        rng = np.random.default_rng([self.seed, epoch, place])
        visits = patient.visits(self._box(patient, rng)).merged()
        given = draw_given(len(visits), rng, self.options.given, self.options.hide_visits)
        return Sample(patient.subject, visits, given)

    def _box(self, patient: Sequence, rng: np.random.Generator) -> tuple[slice, slice, slice]:
        shape = np.array(patient.mask.shape)
        if self.options.crop is None:
            return (slice(None),) * 3
        size = np.minimum(np.array(self.options.crop) // (patient.region.shape[0] // shape[0]), shape)
        inside = torch.argwhere(patient.mask).numpy()
        centre = inside[rng.integers(len(inside))] - rng.integers(0, size)  # anywhere in the crop, its edges too
        start = np.clip(centre, 0, shape - size)
        return tuple(slice(int(a), int(a + s)) for a, s in zip(start, size, strict=True))
