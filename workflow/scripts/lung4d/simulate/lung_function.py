"""The lung as a laboratory measures it: volume at full breath, forced vital (FVC) and diffusing capacity (DLCO).

All of it is a function of the settings alone, in years since baseline t and the diseased share of the lung E:

    volume    V(t) = V(0) (1 - SHRINKAGE (E(t) - E(0))), at full breath; V(0) goes with the size of the chest
    breath    a scan is taken at 80 to 100 % of it, whatever the disease
    FVC       0.72 V(t), litres
    DLCO      90 - 120 E(t) - 60 G(t), percent of what is predicted for a healthy person; G is ground glass that goes

With a `lead`, a visit's FVC and DLCO are those of so many years later: they tell what CT does not show yet. Noise is
that of one measurement in a real laboratory: from week to week a healthy person's FVC may differ by 11 %, the DLCO by 6
units, before it means anything (95 %; Pellegrino et al., Eur Respir J 2005, table 12); of a single measurement that is
4 % of the FVC, and 2.2 units of DLCO, 8 points of a predicted 27.
"""

import numpy as np

from lung4d.simulate.courses import Course

SHRINKAGE = 0.75  # share of the volume lost per share of the lung that fell ill since baseline
BREATHS = (0.8, 1.0)  # of the volume at full breath
LITRES, POWER = 4.31, 1.07  # volume of the lungs in the scan of a chest of size 1, and how it goes with size
VITAL = 0.72  # FVC over the volume at full breath
FVC_NOISE, DLCO_NOISE = 0.04, 8.0  # share of the value; points


def shrunk(course: Course, years: float) -> float:
    """Volume at full breath over that at baseline, from 0.4 to 1."""
    return max(1 - SHRINKAGE * float(course.extent(years) - course.extent(0.0)), 0.4)


def draw_breath(rng: np.random.Generator) -> float:
    """Share of the volume at full breath at which a scan is taken."""
    return float(rng.uniform(*BREATHS))


def baseline_litres(size: float, breath: float) -> float:
    """Volume at full breath at baseline of a chest, from the product of its relative lengths and the scan's breath."""
    return LITRES * size**POWER / breath


def measure(course: Course, litres: float, years: float, lead: float, rng: np.random.Generator) -> tuple[float, float]:
    """FVC in litres and DLCO in percent of predicted, as a laboratory finds them; `litres` of full breath at first."""
    then = years + lead
    dlco = 90 - 120 * float(course.extent(then)) - 60 * course.glass_at(then)
    fvc = VITAL * litres * shrunk(course, then)
    fvc_noise, dlco_noise = rng.standard_normal(2)
    return round(fvc * (1 + FVC_NOISE * fvc_noise), 2), round(max(dlco + DLCO_NOISE * dlco_noise, 10.0), 0)
