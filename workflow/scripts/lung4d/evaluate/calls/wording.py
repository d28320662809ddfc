"""What is found of calls, in sentences."""

import math
from collections.abc import Iterable

from lung4d.evaluate.calls.cutoffs import LIMITS
from lung4d.evaluate.calls.records import Called, CalledFromMore

MEANT = (
    f"Stable is a patient whose extent changes by less than {LIMITS['stable']:g} point a year either way, fast one "
    f"whose extent rises by more than {LIMITS['fast']:g} points a year; those between count in neither share."
)


def called_words(found: Iterable[Called], more: Iterable[CalledFromMore]) -> list[str]:
    """What the words mean, and a sentence per method and question; nothing where nobody was called."""
    said = [_called(one) for one in found]
    return [f"Calls. {MEANT}", *said, *map(_from_more, more)] if said else []


def _called(found: Called) -> str:
    truth = "" if found.source == "truth" else " as seen in scans"
    later = "later visits" if found.given == found.after else f"visits after the first {found.after}"
    right = _share(found.stable, "stable", found.right, found.right_low, found.right_high)
    missed = _share(found.fast, "fast", found.missed, found.missed_low, found.missed_high)
    whose = f"Set {found.set}, {found.method}, {later} from {found.given}{truth}"
    head = f"{whose}: {right}; {missed}; {found.between} between"
    chosen = f"chosen on {found.val_patients} val patients" if found.val_patients else "the usual one, for want of val"
    head += f". Stable is what is foretold below {found.cutoff:.2f} points a year, {chosen}."
    if math.isnan(found.gained):
        return f"{head} Beside what needs no model: {found.verdict}."
    return (
        f"{head} Correct calls, the mean of both shares that are right, beyond those of {found.rival}, on val the best "
        f"that needs no model: {_gained(found.gained, found.gained_low, found.gained_high)} ({found.verdict})."
    )


def _from_more(found: CalledFromMore) -> str:
    return (
        f"Set {found.set}, {found.method}, the same {found.stable} stable and {found.fast} fast patients and later "
        f"visits from four given visits beyond those from two: correct calls "
        f"{_gained(found.gained, found.gained_low, found.gained_high)} ({found.verdict})."
    )


def _share(patients: int, kind: str, share: float, low: float, high: float) -> str:
    if not patients:
        return f"nobody is {kind}"
    counted = f"{patients} {kind} patient{'' if patients == 1 else 's'}"
    return f"of {counted} {100 * share:.0f} % [{100 * low:.0f}, {100 * high:.0f}] are called stable"


def _gained(gained: float, low: float, high: float) -> str:
    """The difference of correct calls, in points."""
    if math.isnan(gained):
        return "unknown without patients of both kinds"
    ends = "no interval" if math.isnan(low) else f"{100 * low:+.0f}, {100 * high:+.0f}"
    return f"{100 * gained:+.0f} points [{ends}]"
