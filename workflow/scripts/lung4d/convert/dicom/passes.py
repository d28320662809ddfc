"""One scan out of a stack that holds slices twice, passes that overlap, or several phases.

Copies (one place, the same values) are dropped. What is left with two images at one place, or on two lattices, is told
apart by the numbers of the header, if they can. Of those passes the largest is taken, and every other that goes on
where it ends, on its lattice; where both have a slice, the larger one's. Whatever is left out is counted.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from lung4d.convert.dicom.headers import FEWEST_SLICES, Slice, number_of, series_of
from lung4d.convert.dicom.lattice import (
    continues,
    cover_the_same,
    distinct,
    is_lattice,
    met_by,
    places_of,
    repeats,
    step_of,
)
from lung4d.convert.dicom.stacks import depths_of, separated
from lung4d.io.status import UnusableScan


def one_scan(slices: list[Slice], digests: Callable[[Sequence[int]], dict[int, str]]) -> tuple[list[Slice], list[str]]:
    """The slices of one scan among the sorted `slices`, one at each place, and what to say of the others.

    `digests` gives what stands for the values of the slices with these indices; it is asked for those that share a
    place alone. Raises UnusableScan for different images at one place that nothing tells apart.
    """
    kept = _without_copies(slices, digests)
    copies = len(slices) - len(kept)
    flags = [f"{counted(copies, 'in the series twice')}."] if copies else []
    passes = _passes(kept)
    if passes:
        kept, said = _largest_and_what_continues_it(passes)
        flags += said
    depths = depths_of(kept)
    if doubled := repeats(depths):
        if 2 * doubled < (places := len(distinct(depths))):
            raise UnusableScan(
                f"The series holds different images at {doubled} of its {places} positions, and no number tells which "
                "belong together; export the series again."
            )
        raise UnusableScan(
            "The series holds different images at the same position (two phases?); export each as a series of its own."
        )
    return kept, flags


def counted(count: int, done: str, of: str = "") -> str:
    """`count` slices, `of` what, and what was `done` with them: 3 slices of another acquisition were left out."""
    return f"{count} slice{'s' * (count != 1)}{of and ' of '}{of} {'was' if count == 1 else 'were'} {done}"


def _without_copies(slices: list[Slice], digests: Callable[[Sequence[int]], dict[int, str]]) -> list[Slice]:
    places = places_of(np.array([item.depth for item in slices]))
    shared = np.flatnonzero(np.bincount(places)[places] > 1)
    values = digests(shared.tolist()) if len(shared) else {}
    seen, kept = set(), []
    for index, item in enumerate(slices):
        what = (places[index], values.get(index))
        if what not in seen or index not in values:
            kept.append(item)
        seen.add(what)
    return kept


def _passes(slices: list[Slice]) -> list[list[Slice]]:
    """The passes that cannot all be stacked, by acquisition, series or instance numbers; none where all can, or where
    none of these tells apart what cannot."""
    runs = _runs(slices)
    depths = depths_of(slices)
    step = step_of(depths) or 1.0
    steps = {id(item): (item.depth - depths[0]) / step for item in slices}
    counts = {id(item): number_of(item.header.get("InstanceNumber")) or 0.0 for item in slices}
    tried = [
        separated(slices, lambda item: str(item.header.get("AcquisitionNumber"))),
        separated(slices, lambda item: series_of(item.header)),
        separated(slices, lambda item: str(item.header.get("AcquisitionTime"))),
        separated(slices, lambda item: runs[id(item)]),
        # Where the slice numbered 0 would lie, counting up or down.
        separated(slices, lambda item: round(steps[id(item)] - counts[id(item)])),
        separated(slices, lambda item: round(steps[id(item)] + counts[id(item)])),
    ]
    fit = [parts for parts in tried if len(parts) > 1 and all(map(_is_even, parts))]
    if not repeats(depths):
        fit = [parts for parts in fit if _interleave(parts)]
        if is_lattice(depths):
            fit = [parts for parts in fit if all(map(_is_complete, parts))]
    return fit[0] if fit else []


def _is_even(part: list[Slice]) -> bool:
    """Whether `part` can be a pass: numbers that are nonsense make uneven ones."""
    return len(distinct(depths_of(part))) < 3 or is_lattice(depths_of(part))


def _is_complete(part: list[Slice]) -> bool:
    """Whether the slices of an even `part` are so thick that none is missing: what lies between is another scan."""
    thickness = number_of(part[0].header.get("SliceThickness")) or 0.0
    return len(part) >= FEWEST_SLICES and step_of(depths_of(part)) < 1.1 * thickness


def _runs(slices: list[Slice]) -> dict[int, int]:
    """The run of each slice (by its id), counted up where the direction of positions turns as InstanceNumber grows."""
    numbers = [number_of(item.header.get("InstanceNumber")) for item in slices]
    if None in numbers or len(set(numbers)) < len(numbers):
        return dict.fromkeys(map(id, slices), 0)
    order = np.argsort(np.array(numbers, float))
    rises = np.sign(np.diff([slices[index].depth for index in order]))
    runs, run, direction = {id(slices[order[0]]): 0}, 0, 0.0
    for index, rise in zip(order[1:], rises, strict=True):
        if direction and rise != direction:
            run, direction = run + 1, 0.0
        else:
            direction = rise
        runs[id(slices[index])] = run
    return runs


def _interleave(passes: list[list[Slice]]) -> bool:
    """Whether a pass begins before another ends."""
    ends = sorted((depths_of(part)[0], depths_of(part)[-1]) for part in passes)
    return any(start < end for (_, end), (start, _) in pairwise(ends))


def _largest_and_what_continues_it(passes: list[list[Slice]]) -> tuple[list[Slice], list[str]]:
    waiting = sorted(passes, key=lambda part: -len(part))
    taken, joined, met = waiting.pop(0), 1, 0
    while (found := next((k for k, part in enumerate(waiting) if _goes_on(taken, part)), None)) is not None:
        part = waiting.pop(found)
        there = met_by(depths_of(taken), np.array([item.depth for item in part]))
        new = [item for item, double in zip(part, there, strict=True) if not double]
        taken, joined, met = sorted([*taken, *new], key=lambda item: item.depth), joined + 1, met + int(there.sum())
    flags = []
    if met:
        flags.append(f"{joined} passes were joined; where they overlap, {counted(met, 'left out', 'the shorter')}.")
    phases = sum(len(part) for part in waiting if cover_the_same(depths_of(taken), depths_of(part)))
    if phases:
        flags.append(f"{counted(phases, 'left out', 'another acquisition')}.")
    if others := sum(map(len, waiting)) - phases:
        flags.append(
            f"{counted(others, 'left out', 'another pass')}: their positions do not continue those of the longer one."
        )
    return taken, flags


def _goes_on(taken: list[Slice], part: list[Slice]) -> bool:
    return continues(depths_of(taken), depths_of(part))
