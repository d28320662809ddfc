"""How a visit was taken otherwise than its baseline: pose, breath, kernel, slice thickness, contrast medium.

Each changes the lung's density or shape as disease does, and no registration undoes it. What is not known of one of the
two scans is no difference, but an unusual pose or breath is told also where nothing is known of the other. Headers and
names come first; where they say nothing, the pixels: the trachea's shape, the lungs' volume, what hangs down in them.
These "may" be breath or pose, for disease lowers the volume too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = ("pose", "breath", "kernel", "slice thickness", "contrast")
SAME_SLICES = 1.1  # times as thick are the same slices
LESS_AIR = 0.75  # of the baseline's volume: repeated full breaths differ by less
LESS_EACH = 0.85  # of each lung's: breath takes from both, an operation or a collapse from one
CUT_PERCENT = 1.0  # of the lung's voxels on the scan's edge, beyond which its volume is not known
NOT_ALONE = "what changed between them is not disease alone"


@dataclass(frozen=True)
class Taken:
    """How a scan was taken: `facts` of the sidecar that convert left, `numbers` in the status that segment left."""

    facts: Mapping[str, Any]
    numbers: Mapping[str, Any]


def differences(visit: Taken, baseline: Taken) -> dict[str, str]:
    """A sentence for each of KINDS in which the visit was taken otherwise than the baseline."""
    found = {
        "pose": _pose(visit, baseline),
        "breath": _breath(visit, baseline),
        "kernel": _kernel(visit, baseline),
        "slice thickness": _slices(visit, baseline),
        "contrast": _contrast(visit, baseline),
    }
    return {kind: sentence for kind, sentence in found.items() if sentence}


def joined(kinds: Iterable[str]) -> str:
    """Kinds as a table holds them; "" for none."""
    return "; ".join(kinds)


def count_kinds(cells: Iterable[Any]) -> dict[str, int]:
    """How many of the cells that `joined` made name each kind, in the order of KINDS; what is no text names none."""
    named = Counter(kind for cell in cells if isinstance(cell, str) for kind in cell.split("; "))
    return {kind: named[kind] for kind in KINDS if named[kind]}


def _pose(visit: Taken, baseline: Taken) -> str:
    now, first = visit.facts.get("pose"), baseline.facts.get("pose")
    if now and first:
        return "" if now == first else f"{now.capitalize()}, the baseline {first}: {NOT_ALONE}."
    if now not in (None, "supine"):
        return f"{now.capitalize()}, of the baseline no pose is known: {NOT_ALONE} where it is supine."
    if first not in (None, "supine"):
        return f"The baseline is {first}, of this visit no pose is known: {NOT_ALONE} where it is supine."
    seen = [taken.numbers.get("may_be_prone") for taken in (visit, baseline)]
    if None in seen or seen[0] == seen[1]:
        return ""
    one, other = ("visit", "baseline") if seen[0] else ("baseline", "visit")
    return f"By the density of the lungs the {one} may be prone and the {other} not."


def _breath(visit: Taken, baseline: Taken) -> str:
    now, first = visit.facts.get("breath"), baseline.facts.get("breath")
    if now == "expiration" != first:
        return f"Expiration, the baseline {_named(first)}: {NOT_ALONE}."
    if first == "expiration" != now:
        return f"The baseline is an expiration, this visit {_named(now)}: {NOT_ALONE}."
    if now == "expiration":
        return ""
    seen = [taken.numbers.get("may_be_expiration") for taken in (visit, baseline)]
    if None not in seen and seen[0] != seen[1]:
        one, other = ("visit", "baseline") if seen[0] else ("baseline", "visit")
        return f"By the shape of the trachea the {one} may be an expiration and the {other} not."
    return _air(visit, baseline)


def _named(breath: str | None) -> str:
    return "an inspiration" if breath else "not named one"


def _air(visit: Taken, baseline: Taken) -> str:
    """Whether one of the two holds so little air that its breath may be another; of the lungs that both show."""
    volumes = [
        [taken.numbers.get(f"volume_{side}_ml") or 0.0 for taken in (visit, baseline)] for side in ("right", "left")
    ]
    shown = [(now, first) for now, first in volumes if now and first]
    if not shown or any((taken.numbers.get("border_percent") or 0.0) > CUT_PERCENT for taken in (visit, baseline)):
        return ""
    shares = [now / first for now, first in shown]
    share = sum(now for now, _ in shown) / sum(first for _, first in shown)
    told = f"The lungs hold {100 * share:.0f} % of the volume at the baseline"
    if share < LESS_AIR and max(shares) < LESS_EACH:
        return f"{told}: it may be a shallower breath or an expiration; loss of lung does the same."
    if 1 / share < LESS_AIR and 1 / min(shares) < LESS_EACH:
        return f"{told}: the baseline may be a shallower breath or an expiration."
    return ""


def _kernel(visit: Taken, baseline: Taken) -> str:
    """Of the headers where both name one, else of the column `kernel` where both have it."""
    for name in ("kernel", "kernel_in_table"):
        now, first = (" ".join(str(taken.facts.get(name) or "").split()) for taken in (visit, baseline))
        if now and first:
            return "" if now.casefold() == first.casefold() else f"Kernel {now}, at the baseline {first}."
    return ""


def _slices(visit: Taken, baseline: Taken) -> str:
    """Thickness, or the distance between slices where that is larger or the thickness of one is not known."""
    apart = [(taken.facts.get("spacing_mm") or [0.0])[-1] for taken in (visit, baseline)]
    thick = [taken.facts.get("slice_thickness_mm") or 0.0 for taken in (visit, baseline)]
    words = "Slices of {} mm, at the baseline of {} mm."
    if all(thick):
        now, first = (max(pair) for pair in zip(thick, apart, strict=True))
    else:
        (now, first), words = apart, "Slices {} mm apart, at the baseline {} mm."
    if not (now and first) or max(now, first) <= SAME_SLICES * min(now, first):
        return ""
    return words.format(round(float(now), 2), round(float(first), 2))


def _contrast(visit: Taken, baseline: Taken) -> str:
    now, first = visit.facts.get("contrast"), baseline.facts.get("contrast")
    if None in (now, first) or now == first:
        return ""
    if now:
        return "Contrast medium, at the baseline none is named."
    return "No contrast medium is named, at the baseline it is."
