"""What the evaluation found, as frozen records of plain values.

summary.json holds them, `wording` says them, the report shows them. A number that is missing is NaN.
"""

from dataclasses import dataclass
from math import nan

from lung4d.evaluate.calls.records import Called, CalledFromMore
from lung4d.evaluate.volume.records import VolumeForetold

BETTER, WORSE, ALIKE, TOO_FEW = "better", "worse", "not distinguishable", "too few patients to tell"
HELD, TOO_NARROW, TOO_WIDE = "as promised", "too narrow", "too wide"  # of a band
TOO_FEW_PATIENTS = "too few patients"  # to say so
SHOWN, NOT_SHOWN = "shown", "not shown"  # of a claim, which may also be TOO_FEW


@dataclass(frozen=True)
class Reconstructed:
    """Means over the held-out scans of a split through the frozen autoencoder, on intensities from 0 to 1."""

    split: str
    region: str
    scans: int
    mse: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class CodesUsed:
    """How many of all codes are in use in the lungs of a split's scans."""

    split: str
    used: int
    codes: int
    perplexity: float


@dataclass(frozen=True)
class Choice:
    """A number chosen on so many patients of a split, "" where none could serve."""

    value: float
    split: str
    patients: int


@dataclass(frozen=True)
class TrendShare:
    """The share of a straight line's change that is kept in a task, low-passed by sigma (voxels)."""

    task: str
    share: float
    sigma: float


@dataclass(frozen=True)
class TrendChoice:
    """The shares kept of straight lines in "image" or "latent", and whom they were chosen on."""

    place: str
    shares: tuple[TrendShare, ...]
    split: str
    patients: int


@dataclass(frozen=True)
class WeightingOfTask:
    """In a task, the share of the other given scans beside the last one, and the HU that are added a year."""

    task: str
    others: float
    per_year: float


@dataclass(frozen=True)
class WeightingChoice:
    """How the given scans are weighted, and whom that was chosen on."""

    tasks: tuple[WeightingOfTask, ...]
    split: str
    patients: int


@dataclass(frozen=True)
class Learned:
    """What the baselines have from patients that are not scored; `change` in HU per year; no trees without patients."""

    blur: Choice
    mix: Choice
    change: float
    change_patients: int
    trends: tuple[TrendChoice, ...]
    weighting: WeightingChoice
    trees: int
    trees_patients: int


@dataclass(frozen=True)
class Hardness:
    """LOCF's error in a set 0.5 to 1.5 years on, and the disease's share of its square, missing without a truth."""

    set: str
    rms_hu: float
    disease_share: float
    patients: int


@dataclass(frozen=True)
class Difference:
    """A model's in-lung squared error minus a baseline's, paired by patient, with its 95 % interval.

    reference: the baseline's name in the tables; of a `Verdict` that in `methods.REFERENCES`.
    """

    reference: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict(Difference):
    """BETTER, WORSE, ALIKE or TOO_FEW; "" in sets other than test, of which no verdict is given."""

    verdict: str


@dataclass(frozen=True)
class ChangeForetold:
    """Patients' predicted against true change in a read-out (`methods.CHANGES`), from change.tsv; source: "truth", or
    "seen" where no noise-free truth is known."""

    measure: str
    source: str
    patients: int
    slope: float
    slope_low: float
    slope_high: float
    correlation: float
    correlation_low: float
    correlation_high: float
    drawn: float
    drawn_low: float
    drawn_high: float


@dataclass(frozen=True)
class Beyond:
    """The skill in the test set minus that in a set in which nobody's disease changes, with its 95 % interval."""

    set: str
    skill: float
    low: float
    high: float


@dataclass(frozen=True)
class ModelScores:
    """A decoding of the model: its in-lung squared error, and in the test set the skill, what it foretells of change,
    and the `claim` that it forecasts change, and does not merely remove noise: SHOWN, NOT_SHOWN or TOO_FEW. `lacking`
    names what a claim lacks that is not shown."""

    method: str
    mse: float
    against: tuple[Verdict, ...]
    skill: float = nan
    skill_low: float = nan
    skill_high: float = nan
    changes: tuple[ChangeForetold, ...] = ()
    beyond: tuple[Beyond, ...] = ()
    lacking: tuple[str, ...] = ()
    claim: str = ""


@dataclass(frozen=True)
class TaskScores:
    """A task in a set: `patients` of `all_patients` have visits to withhold; errors of LOCF and of LOCF blurred."""

    set: str
    task: str
    patients: int
    all_patients: int
    visits: int
    locf: float
    blurred: float
    models: tuple[ModelScores, ...]


@dataclass(frozen=True)
class Rivals:
    """Of all baselines, how many a decoding beats in the test set, and those it is not shown to beat, worst first."""

    task: str
    method: str
    beaten: int
    baselines: int
    left: tuple[Difference, ...]


@dataclass(frozen=True)
class BetterThanBlur:
    """Methods better than the blurred last scan in a set; where nobody's disease changes, than the blurred mean."""

    set: str
    unchanged: bool
    blurred: tuple[str, ...]
    mean_blurred: tuple[str, ...]


@dataclass(frozen=True)
class BandHeld:
    """A row of coverage.tsv: how often the 90 % bands held what was seen of a group of visits, beside those around the
    last scan; `held` is HELD, TOO_NARROW, TOO_WIDE or TOO_FEW_PATIENTS, `below_floor` names what lies below the `floor`
    that repeat scans have, which is NaN where none is known."""

    set: str
    group: str
    value: str
    measure: str
    patients: int
    visits: int
    held: str
    coverage: float
    coverage_low: float
    coverage_high: float
    width: float
    carried_coverage: float
    carried_width: float
    change: float
    floor: float
    below_floor: str


@dataclass(frozen=True)
class TakenOtherwise:
    """Of the visits judged in a set, how many were taken otherwise than their baseline, in how many in `what`."""

    what: str
    visits: int


@dataclass(frozen=True)
class VisitsJudged:
    """The withheld visits of a set, how many of them were taken otherwise than their baseline, and in what."""

    set: str
    visits: int
    otherwise: int
    kinds: tuple[TakenOtherwise, ...]


@dataclass(frozen=True)
class GivenScored:
    """Of how many withheld visits, counted in each task, somebody else's forecasts hold one, and the names of files
    that forecast none of them."""

    visits: int
    of_visits: int
    strangers: tuple[str, ...]


@dataclass(frozen=True)
class MasksScored:
    """Dice of the lung masks with the simulated truth."""

    scans: int
    mean: float
    lowest: float


@dataclass(frozen=True)
class FieldsScored:
    """Errors in mm of registered follow-ups against the simulated displacement: means over scans, and the worst."""

    scans: int
    before: float
    after: float
    median: float
    worst: float


@dataclass(frozen=True)
class EvaluateFindings:
    """All that the stage found; nothing, where it has not run."""

    reconstructed: tuple[Reconstructed, ...] = ()
    codes: tuple[CodesUsed, ...] = ()
    learned: Learned | None = None
    hardness: tuple[Hardness, ...] = ()
    tasks: tuple[TaskScores, ...] = ()
    rivals: tuple[Rivals, ...] = ()
    better: tuple[BetterThanBlur, ...] = ()
    bands: tuple[BandHeld, ...] = ()
    called: tuple[Called, ...] = ()
    from_more: tuple[CalledFromMore, ...] = ()
    volumes: tuple[VolumeForetold, ...] = ()
    judged: tuple[VisitsJudged, ...] = ()
    given: GivenScored | None = None
    masks: MasksScored | None = None
    fields: FieldsScored | None = None


@dataclass(frozen=True)
class Spread:
    """A measure of qc.tsv over the scans that have it; of registration, over follow-ups."""

    measure: str
    lowest: float
    median: float
    highest: float
    scans: int


@dataclass(frozen=True)
class ScanQuality:
    """The cohort's quality numbers, and the follow-up (subject, session) whose lungs overlap least, or ()."""

    spreads: tuple[Spread, ...] = ()
    poorest: tuple[str, ...] = ()
