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
    head = (
        f"Set {found.set}, {found.method}, {later} from {found.given}: of {found.stable} patients stable{truth} "
        f"{_share(found.right, found.right_low, found.right_high)} are called stable, of {found.fast} fast "
        f"{_share(found.missed, found.missed_low, found.missed_high)}; {found.between} are between."
    )
    chosen = f"chosen on {found.val_patients} val patients" if found.val_patients else "the usual one, for want of val"
    return (
        f"{head} Stable is what is foretold below {found.cutoff:.2f} points a year, {chosen}. Correct calls, the mean "
        f"of both shares that are right, beyond those of {found.rival}, on val the best that needs no model: "
        f"{_gained(found.gained, found.gained_low, found.gained_high)} ({found.verdict})."
    )


def _from_more(found: CalledFromMore) -> str:
    return (
        f"Set {found.set}, {found.method}, the same {found.stable} stable and {found.fast} fast patients and later "
        f"visits from four given visits beyond those from two: correct calls "
        f"{_gained(found.gained, found.gained_low, found.gained_high)} ({found.verdict})."
    )


def _share(share: float, low: float, high: float) -> str:
    if math.isnan(share):
        return "none"
    return f"{100 * share:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _gained(gained: float, low: float, high: float) -> str:
    """The difference of correct calls, in points."""
    if math.isnan(gained):
        return "unknown without patients of both kinds"
    return f"{100 * gained:+.0f} points " + (
        "[no interval]" if math.isnan(low) else f"[{100 * low:+.0f}, {100 * high:+.0f}]"
    )
