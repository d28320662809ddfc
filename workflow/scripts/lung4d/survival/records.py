"""What the survival analysis found, as frozen records of plain values.

summary.json holds them, `wording` says them, the report shows them. A number that is missing is NaN.
"""

from dataclasses import dataclass

FEW_EVENTS = 10  # per variable, below which a Cox model is unsteady (Peduzzi 1995)


@dataclass(frozen=True)
class ModelScore:
    """C-index of a model on a kind of scan ("none" without one), with its 95 % interval."""

    model: str
    scan: str
    c_index: float
    low: float
    high: float


@dataclass(frozen=True)
class FewEvents:
    """That a model was fitted on fewer than FEW_EVENTS events for each variable."""

    events: int
    variables: int
    per_variable: float


@dataclass(frozen=True)
class Headline:
    """What the codes are worth on held-out patients: the third scan where it could be scored, else the first.

    scores: the codes on the real scan, then on the others, then the covariates alone; difference: of the generated to
    the real scan; ordered: whether the codes on the real scan are shown to order the patients at all.
    """

    analysis: str
    patients: int
    events: int
    scores: tuple[ModelScore, ...]
    difference: float
    difference_low: float
    difference_high: float
    ordered: bool
    few_events: FewEvents | None


@dataclass(frozen=True)
class Group:
    """Patients of a set that are followed in an analysis."""

    set: str
    patients: int
    events: int


@dataclass(frozen=True)
class LeftOut:
    """Patients that an analysis leaves out, and why."""

    reason: str
    patients: int


@dataclass(frozen=True)
class Followed:
    """Whom an analysis is of."""

    analysis: str
    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class ChosenCode:
    """A code chosen by p value: q is its false discovery rate, stability the share of resamples that choose it."""

    code: str
    p: float
    q: float
    stability: float


@dataclass(frozen=True)
class Selection:
    """Codes tested, that could not be judged, and with q below 0.05; those chosen, or the reason why none was."""

    tested: int
    failed: int
    below_fdr: int
    chosen: tuple[ChosenCode, ...]
    reason: str


@dataclass(frozen=True)
class HazardsTested:
    """Variables of a model whose effect changes with time."""

    analysis: str
    model: str
    changing: tuple[str, ...]


@dataclass(frozen=True)
class Unscored:
    """A row of cindex.tsv without a C-index."""

    analysis: str
    model: str
    scan: str
    reason: str


@dataclass(frozen=True)
class SurvivalFindings:
    """All that the stage found; nothing, where it has not run. `remarks`: on covariates and scans."""

    outcomes: bool = True
    headline: Headline | None = None
    followed: tuple[Followed, ...] = ()
    selection: Selection | None = None
    remarks: tuple[str, ...] = ()
    hazards: tuple[HazardsTested, ...] = ()
    unscored: tuple[Unscored, ...] = ()
