"""One scan under two names: voxel for voxel, in a part of its slices, or by the looks of its lungs.

Copies are found by what the scans show (lung4d.io.fingerprint), whatever their patients, visits and files are called.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from lung4d.io.fingerprint import Fingerprint

SAME, SLICES, ALIKE = "same voxels", "same slices", "alike"
LEAST_SHARED = 0.2  # of the shorter scan's slices; two scans of a person share none, because of their noise
# Correlation of the lungs' looks. On the built-in cohort and real CT, copies with other voxels, kernels or HU have
# 0.986 to 1, visits of one patient up to 0.93, patients up to 0.65.
ALIKE_FROM = 0.965
BLOCK = 256  # scans that are compared at once with all others
TURNS = [axes for count in range(4) for axes in combinations((0, 1, 2), count)]  # that may be mirrored, none first
COLUMNS = ["copy", "kind", "subject", "session", "likeness", "left_out", "flag"]

ScanKey = tuple[str, str]  # subject, session


@dataclass(frozen=True)
class Copies:
    """Two scans or more that show one image. likeness: 1 for equal voxels, the share of the shorter scan's slices that
    are equal, or the correlation of the looks; turned: alike when one of them is mirrored along some axes."""

    kind: str
    scans: tuple[ScanKey, ...]
    likeness: float = 1.0
    turned: bool = False


def find_copies(fingerprints: Mapping[ScanKey, Fingerprint]) -> list[Copies]:
    """All copies among these scans, the certain ones first. The order of the scans is kept."""
    by_voxels: dict[str, list[ScanKey]] = defaultdict(list)
    for scan, fingerprint in fingerprints.items():
        by_voxels[fingerprint.voxels].append(scan)
    same = [Copies(SAME, tuple(scans)) for scans in by_voxels.values() if len(scans) > 1]
    distinct = {scans[0]: fingerprints[scans[0]] for scans in by_voxels.values()}
    slices = _sharing_slices({scan: set(fingerprint.slices) for scan, fingerprint in distinct.items()})
    known = {frozenset(copies.scans) for copies in slices}
    looks = {scan: fingerprint.lungs for scan, fingerprint in distinct.items() if fingerprint.lungs is not None}
    alike = [copies for copies in _looking_alike(looks) if frozenset(copies.scans) not in known]
    return [*same, *slices, *alike]


def _sharing_slices(slices: Mapping[ScanKey, set[str]]) -> list[Copies]:
    """All pairs of scans of which no small part is the same slices."""
    holders: dict[str, list[ScanKey]] = defaultdict(list)
    for scan, own in slices.items():
        for digest in own:
            holders[digest].append(scan)
    shared = Counter(pair for scans in holders.values() for pair in combinations(scans, 2))
    likeness = {pair: count / min(len(slices[scan]) for scan in pair) for pair, count in shared.items()}
    return [Copies(SLICES, pair, share) for pair, share in likeness.items() if share >= LEAST_SHARED]


def _looking_alike(looks: Mapping[ScanKey, np.ndarray]) -> list[Copies]:
    """Each scan with the one whose lungs look most like its own, where they are as alike as copies are."""
    scans = list(looks)
    likeness: dict[tuple[ScanKey, ScanKey], float] = {}
    turned: dict[tuple[ScanKey, ScanKey], bool] = {}
    for start in range(0, len(scans), BLOCK):
        others = _unit([looks[scan] for scan in scans[start : start + BLOCK]])
        for first in range(0, start + 1, BLOCK):
            own = [looks[scan] for scan in scans[first : first + BLOCK]]
            for axes in TURNS:
                values = _unit([np.flip(one, axes) for one in own]) @ others.T
                for i, j in np.argwhere(values >= ALIKE_FROM).tolist():
                    pair = scans[first + i], scans[start + j]
                    if first + i < start + j and values[i, j] > likeness.get(pair, 0):
                        likeness[pair], turned[pair] = round(float(values[i, j]), 4), bool(axes)
    nearest: dict[ScanKey, tuple[ScanKey, ScanKey]] = {}
    for pair in sorted(likeness, key=lambda pair: -likeness[pair]):
        for scan in pair:
            nearest.setdefault(scan, pair)
    return [Copies(ALIKE, pair, likeness[pair], turned[pair]) for pair in dict.fromkeys(nearest.values())]


def _unit(looks: list[np.ndarray]) -> np.ndarray:
    """Vectors of length 1 (n, cells), float32."""
    rows = np.stack([one.ravel() for one in looks]).astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)


def left_out(found: Iterable[Copies]) -> dict[ScanKey, str]:
    """Scans that tell nothing new, with the reason: equal to an earlier visit of their patient, voxel for voxel."""
    reasons = {}
    for copies in found:
        first: dict[str, str] = {}
        for subject, session in copies.scans if copies.kind == SAME else ():
            if subject in first:
                reasons[subject, session] = (
                    f"It is voxel for voxel the scan of visit {first[subject]}, and a copy shows no change; give this "
                    "visit its own scan, or exclude it."
                )
            first.setdefault(subject, session)
    return reasons


def shared_sets(found: Iterable[Copies], assigned: Mapping[str, str]) -> dict[str, str]:
    """`{patient: whose set they share}` for patients with equal voxels; a patient with an assigned set leads.

    What only looks alike moves nobody. Raises ValueError where two such patients are assigned to different sets.
    """
    leads: dict[str, str] = {}

    def lead_of(subject: str) -> str:
        while subject in leads:
            subject = leads[subject]
        return subject

    for copies in found:
        if copies.kind == ALIKE:
            continue
        for (one, session), (other, its_session) in combinations(copies.scans, 2):
            leading = sorted({lead_of(one), lead_of(other)}, key=lambda subject: (subject not in assigned, subject))
            if len(leading) == 1:
                continue
            sets = [assigned.get(subject) for subject in (lead_of(one), lead_of(other))]
            if None not in sets and sets[0] != sets[1]:
                raise ValueError(
                    f"patient {one}, visit {session}, and patient {other}, visit {its_session}, have the same voxels, "
                    f"but their split is {sets[0]} and {sets[1]}; give both the same, or exclude one of the scans"
                )
            leads[leading[1]] = leading[0]
    return {subject: lead_of(subject) for subject in leads}


def copies_table(found: Iterable[Copies]) -> pd.DataFrame:
    """copies.tsv: a row a scan of each copy, with what a person should read of it; `left_out` as `left_out` says."""
    found = list(found)
    lost = left_out(found)
    rows = [
        (number, copies.kind, *scan, copies.likeness, scan in lost, lost.get(scan) or _flag(copies, scan))
        for number, copies in enumerate(found, start=1)
        for scan in copies.scans
    ]
    text = dict.fromkeys(("kind", "subject", "session", "flag"), str)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"likeness": float, "left_out": bool, **text})


def _flag(copies: Copies, scan: ScanKey) -> str:
    others = [_name(other, scan) for other in copies.scans if other != scan]
    named = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    if copies.kind == SAME:
        return f"It is voxel for voxel the scan of {named}; check which file is whose."
    if copies.kind == SLICES:
        share = f"{100 * copies.likeness:.0f} % of the shorter one's"
        return f"It shares slices, voxel for voxel, with the scan of {named} ({share}); check which file is whose."
    how = f"likeness {copies.likeness:.2f} of 1{', when mirrored' if copies.turned else ''}"
    return (
        f"It looks like the scan of {named} ({how}): one scan resampled, cropped or reconstructed anew? Then exclude "
        "one of them, or give both patients the same set."
    )


def _name(other: ScanKey, scan: ScanKey) -> str:
    return f"visit {other[1]} of the same patient" if other[0] == scan[0] else f"patient {other[0]}, visit {other[1]}"
