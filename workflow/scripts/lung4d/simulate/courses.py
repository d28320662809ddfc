"""How a patient's disease goes on: the share of the lung that is diseased over the years, and what else changes.

Where `simulate.courses` gives no weights, every patient progresses by one law, at a pace of his own (`usual_course`).
Otherwise each patient has one of these courses, in the stated shares:

    stable      nothing changes: the extent of the first scan stays
    slow        about 2 points of extent a year
    fast        about 8 points a year
    acute       slow, and a step of 15 to 35 points between two visits, of which the two or more before tell nothing
    treated     fast, at half the pace from the start of an antifibrotic on
    resolving   slow, with ground glass that was there at the first scan and goes
    emphysema   slow, while the upper lobes lose density

"Points" are percent of the lung. Half the pace: with nintedanib the forced vital capacity falls by 115 and 114 ml a
year, with placebo by 240 and 207 (Richeldi et al., N Engl J Med 2014). Acute exacerbations are seen in 4 to 20 % of
patients a year (Collard et al., Am J Respir Crit Care Med 2016). Loss of density: 1.5 to 2.2 g/l a year over the whole
lung in emphysema for want of alpha-1 antitrypsin (Chapman et al., Lancet 2015); here it is that of the upper lobes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

COURSES = ("stable", "slow", "fast", "acute", "treated", "resolving", "emphysema")
PACES = {"stable": 0.0, "fast": 8.0, "treated": 8.0}  # median rise at first, points of extent a year
SLOW = 2.0  # of the other courses
TREATED_PACE = 0.5  # times the pace without treatment
NEVER = 99.0  # years


@dataclass(frozen=True)
class Course:
    """Diseased share of the lung over time: logistic growth, and one step of an acute exacerbation or none.

    `steady`: growth is fastest at first, as lung function falls in a straight line; `treated_year`: the start of a
    treatment, from which on time goes at TREATED_PACE for the disease; `glass`: share of the lung in ground glass at
    the first scan, of which 1/e is left after `glass_years`; `thinning`: HU that the upper lobes lose a year. `name` is
    empty where the cohort has one course only.
    """

    start: float
    limit: float
    rate: float  # per year, of the logistic, or of what is left to the limit
    step: float = 0.0
    step_year: float = NEVER
    step_takes: float = 0.08  # years, scale of the logistic step
    name: str = ""
    steady: bool = False
    treated_year: float = NEVER
    glass: float = 0.0
    glass_years: float = 1.0
    thinning: float = 0.0

    def extent(self, years: float | np.ndarray) -> np.ndarray:
        """Diseased share of the lung, 0 to 1, at `years` since baseline; ground glass that goes is not counted."""
        years = np.asarray(years, float)
        if self.start <= 0:
            return np.zeros_like(years)
        left = np.exp(-self.rate * self._own_years(years))
        if self.steady:
            grown = self.limit - (self.limit - self.start) * left
        else:
            grown = self.limit / (1 + (self.limit / self.start - 1) * left)
        arrived = 1 / (1 + np.exp(-np.clip((years - self.step_year) / self.step_takes, -50, 50)))
        return grown + self.step * arrived * (1 - grown)

    def glass_at(self, years: float) -> float:
        """Share of the lung in ground glass that goes, at `years` since baseline."""
        return self.glass * float(np.exp(-years / self.glass_years)) if self.glass else 0.0

    @property
    def change_year(self) -> float:
        """Years since baseline at which the course changes: the step, or the start of the treatment; NaN where none."""
        year = {"acute": self.step_year, "treated": self.treated_year}.get(self.name, NEVER)
        return year if year < NEVER else float("nan")

    def _own_years(self, years: np.ndarray) -> np.ndarray:
        """Years since baseline by the clock of the disease, which goes slower under treatment."""
        if self.treated_year >= NEVER:
            return years
        before = max(self.treated_year, 0.0)
        return np.minimum(years, before) + TREATED_PACE * np.maximum(years - before, 0)


def usual_course(rng: np.random.Generator, pace: float) -> Course:
    """The one law of a cohort without courses; `pace` times the usual growth."""
    start = _start(rng)
    return Course(
        start=start,
        limit=float(np.clip(start + rng.uniform(0.2, 0.6), 0.3, 0.85)),
        rate=pace * float(rng.lognormal(np.log(0.68), 0.55)),
        step=float(rng.uniform(0.05, 0.15) * (rng.random() < 0.2)),
        step_year=float(rng.uniform(0.3, 5.0)),
    )


def draw_course(name: str, rng: np.random.Generator, pace: float, visits: np.ndarray) -> Course:
    """A course of this name, for a patient who would be scanned at `visits` (n,) years, three or more."""
    start = _start(rng)
    limit = float(np.clip(start + rng.uniform(0.3, 0.6), 0.4, 0.85))
    rise = pace * PACES.get(name, SLOW) / 100 * float(rng.lognormal(0, 0.3))
    course = Course(start, limit, rise / (limit - start), name=name, steady=True)
    if name == "acute" and len(visits) > 2:
        last = int(rng.integers(1, len(visits) - 1))  # the visit before the step
        when = visits[last] + rng.uniform(0.3, 0.7) * (visits[last + 1] - visits[last])
        return replace(course, step=float(rng.uniform(0.15, 0.35)), step_year=float(when), step_takes=0.02)
    if name == "treated":
        return replace(course, treated_year=round(float(rng.uniform(-0.5, 2.0)), 3))
    if name == "resolving":
        return replace(course, glass=float(rng.uniform(0.08, 0.2)), glass_years=float(rng.uniform(0.4, 1.2)))
    if name == "emphysema":
        return replace(course, thinning=float(rng.uniform(8, 20)))
    return course


def next_course(weights: Mapping[str, float], counts: Mapping[str, int]) -> str:
    """The course of a cohort's next patient: the one that its patients so far have too few of, by the weights."""
    number = 1 + sum(counts.values())
    return max(weights, key=lambda name: (weights[name] * number - counts.get(name, 0), -COURSES.index(name)))


def problems_of_courses(weights: Mapping[str, float], patients: int, visits: tuple[int, int]) -> list[str]:
    """A sentence for everything that keeps the weights, all above 0, from giving a cohort."""
    problems = []
    if abs(sum(weights.values()) - 1) > 1e-6:
        total = f"{sum(weights.values()):.6g}"
        problems.append(f"simulate.courses: the weights sum to {total}; give shares of the patients that sum to 1")
        return problems
    counts: dict[str, int] = {}
    for _ in range(patients):
        name = next_course(weights, counts)
        counts[name] = counts.get(name, 0) + 1
    for name in weights:
        if not counts.get(name):
            share = f"{weights[name]:g} of {patients} patients"
            problems.append(f"simulate.courses.{name} is {share}, which is nobody; raise it, or give 0")
    if visits[0] < 3:
        problems.append(
            f"simulate.visits begins with {visits[0]}; with simulate.courses give 3 or more: two visits tell no course"
        )
    return problems


def _start(rng: np.random.Generator) -> float:
    """Diseased share of the lung at the first scan."""
    return float(np.clip(rng.lognormal(np.log(0.13), 0.5), 0.03, 0.4))
