"""Slices to stacks: geometry says what can be stacked, the numbers of the header only help.

A stack has one orientation, matrix, pixel size and line of corners, and slices of one kind. The slices of a series
make one stack as a rule, several where an export mixed them. What belongs together under several UIDs is joined:

- a torn series: number, description, kernel, thickness and grid are the same, and the positions fill one lattice;
- a chest in several series: kernel, thickness and grid are the same, none is as long as the lungs, and each goes on
  where another ends, on its lattice.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pydicom

from lung4d.convert.dicom.headers import FEWEST_SLICES, Slice, modality_of, number_of, reformats_of, series_of
from lung4d.convert.dicom.lattice import SAME_PLACE, continues, cover_the_same, distinct, is_lattice, repeats, step_of

TURN = 0.005  # between direction cosines of one stack
SCALE = 1e-3  # share, between pixel sizes of one stack
FULL_SPAN = 240.0  # mm: adult lungs with a margin
LABELLED = 4  # slices with one number on average, below which the number tells nothing
# What an export that put several series under one UID leaves to tell them apart.
RECONSTRUCTION = (
    "SeriesNumber", "SeriesDescription", "ConvolutionKernel", "SliceThickness", "ImageType", "PatientPosition",
)  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """Slices of one kind on one grid, sorted by position; several may lie at one place."""

    slices: list[Slice]

    @property
    def header(self) -> pydicom.Dataset:
        return self.slices[0].header

    @cached_property
    def series(self) -> frozenset[str]:
        return frozenset(series_of(item.header) for item in self.slices)

    @cached_property
    def places(self) -> np.ndarray:
        """Different positions along the stack, mm."""
        return distinct(depths_of(self.slices))

    @property
    def step(self) -> float:
        return step_of(self.places)

    @property
    def span(self) -> float:
        return float(self.places[-1] - self.places[0]) + self.step


def stacks_of(slices: list[Slice]) -> list[Stack]:
    """All stacks of `slices`, torn and continued series joined."""
    groups = _grouped(slices, lambda item: series_of(item.header)).values()
    parts = [part for group in groups for study in _by_study(group) for part in _on_one_grid(study)]
    stacks = [stack_of(part) for part in parts]
    stacks = _joined(stacks, _torn_name, _is_torn)
    return _joined(stacks, _piece_name, _is_continued)


def stack_of(slices: list[Slice]) -> Stack:
    return Stack(sorted(slices, key=_order))


def _order(item: Slice) -> tuple[float, float]:
    return round(item.depth, 2), number_of(item.header.get("InstanceNumber")) or 0.0


def depths_of(slices: list[Slice]) -> np.ndarray:
    """(n,) sorted positions along the normal, mm."""
    return np.sort([item.depth for item in slices])


def kind_of(header: pydicom.Dataset) -> tuple[str, frozenset[str], Any]:
    """What a slice is: modality, words of reformats, and values to a pixel."""
    return modality_of(header), reformats_of(header), header.get("SamplesPerPixel", 1)


def matrix_of(header: pydicom.Dataset) -> tuple[str, str]:
    return str(header.get("Rows")), str(header.get("Columns"))


def same_direction(one: Slice, other: Slice) -> bool:
    return bool(np.abs(one.directions - other.directions).max() < TURN)


def same_pixel_size(one: Slice, other: Slice) -> bool:
    return bool((np.abs(other.pixel_size - one.pixel_size) < SCALE * one.pixel_size).all())


def _same_grid(one: Slice, other: Slice) -> bool:
    return same_direction(one, other) and same_pixel_size(one, other)


def separated(slices: list[Slice], label: Callable[[Slice], Hashable]) -> list[list[Slice]]:
    """`slices` in parts by `label`, in its order, where it tells apart (nearly) all that lie at one place.

    All of them as one part where it does not, or where parts would have fewer than four slices on average. Images of
    one place alone, as they watch an injection, need not be told apart from each other.
    """
    parts = _grouped(slices, label)
    left = sum(repeats(depths) for part in parts.values() if len(distinct(depths := depths_of(part))) > 1)
    if len(slices) < LABELLED * len(parts) or left > 0.1 * repeats(depths_of(slices)):
        return [slices]
    order = sorted(parts, key=lambda value: (number_of(value) is None, number_of(value) or 0.0, str(value)))
    return [parts[value] for value in order]


def _grouped(slices: list[Slice], label: Callable[[Slice], Hashable]) -> dict[Hashable, list[Slice]]:
    parts = defaultdict(list)
    for item in slices:
        parts[label(item)].append(item)
    return dict(parts)


def _by_study(slices: list[Slice]) -> list[list[Slice]]:
    """Slices of one series by study; all together where nearly each names a study of its own."""
    studies = _grouped(slices, lambda item: str(item.header.get("StudyInstanceUID", "")))
    return list(studies.values()) if len(slices) >= 2 * len(studies) else [slices]


def _on_one_grid(slices: list[Slice]) -> list[list[Slice]]:
    """`slices` in parts that can be stacked."""
    grids: dict[Hashable, list[list[Slice]]] = defaultdict(list)
    for item in slices:
        known = grids[kind_of(item.header), matrix_of(item.header)]
        grid = next((part for part in known if _same_grid(part[0], item)), None)
        if grid is None:
            known.append([item])
        else:
            grid.append(_along(item, grid[0].directions))
    parts = [grid for known in grids.values() for grid in known]
    for tag in RECONSTRUCTION:
        parts = [piece for part in parts for piece in _by_reconstruction(part, tag)]
    return [line for part in parts for line in _by_corner(part)]


def _along(item: Slice, directions: np.ndarray) -> Slice:
    """`item` with exactly these directions: depths are comparable only along one normal."""
    return item if np.array_equal(item.directions, directions) else replace(item, directions=directions)


def _by_reconstruction(slices: list[Slice], tag: str) -> list[list[Slice]]:
    if not repeats(depths_of(slices)):
        return [slices]
    return separated(slices, lambda item: str(item.header.get(tag)))


def _by_corner(slices: list[Slice]) -> list[list[Slice]]:
    """`slices` whose corners lie on one line together; else those with the most frequent corner, then with the next."""
    parts: list[list[Slice]] = []
    while slices:
        near = _near_usual_corner(slices)
        if near.all() or near.sum() < FEWEST_SLICES or _drift_evenly(slices):
            return [*parts, slices]
        parts.append([item for item, close in zip(slices, near, strict=True) if close])
        slices = [item for item, close in zip(slices, near, strict=True) if not close]
    return parts


def _on_a_line(slices: list[Slice]) -> bool:
    """Whether the corners lie on one line along the stack, straight or slanting (tilted gantry)."""
    return bool(_near_usual_corner(slices).all()) or _drift_evenly(slices)


def _corners(slices: list[Slice]) -> np.ndarray:
    """(n, 2) where the first voxel lies in the plane of its slice, mm."""
    return np.array([item.directions @ item.position for item in slices])


def _near_usual_corner(slices: list[Slice]) -> np.ndarray:
    """Which of `slices` have the most frequent corner, to half a pixel."""
    corners = _corners(slices)
    found, counts = np.unique(np.round(corners, 1), axis=0, return_counts=True)
    return np.linalg.norm(corners - found[counts.argmax()], axis=1) <= slices[0].pixel_size.min() / 2


def _drift_evenly(slices: list[Slice]) -> bool:
    """Whether the corners move in proportion to the depths, to half a pixel."""
    corners, depths = _corners(slices), np.array([item.depth for item in slices])
    sample = np.unique(np.linspace(0, len(slices) - 1, 200).astype(int))
    first, second = (sample[index] for index in np.triu_indices(len(sample), 1))
    apart = np.abs(depths[second] - depths[first]) > SAME_PLACE
    if not apart.any():
        return False
    rise = (corners[second] - corners[first])[apart] / (depths[second] - depths[first])[apart, None]
    left = corners - depths[:, None] * np.median(rise, axis=0)
    return bool(np.linalg.norm(left - np.median(left, axis=0), axis=1).max() <= slices[0].pixel_size.min() / 2)


# Series that belong together


def _torn_name(stack: Stack) -> tuple[Hashable, ...]:
    return *_piece_name(stack), str(stack.header.get("SeriesNumber")), str(stack.header.get("SeriesDescription"))


def _piece_name(stack: Stack) -> tuple[Hashable, ...]:
    tags = ("StudyInstanceUID", "ConvolutionKernel", "SliceThickness", "PatientPosition")
    return kind_of(stack.header), matrix_of(stack.header), *(str(stack.header.get(tag)) for tag in tags)


def _joined(
    stacks: list[Stack], name: Callable[[Stack], Hashable], belong: Callable[[Stack, Stack], bool]
) -> list[Stack]:
    """`stacks` with those of one `name` joined where they `belong` together; short ones are put together first."""
    families = defaultdict(list)
    for stack in stacks:
        families[name(stack)].append(stack)
    joined = []
    for family in families.values():
        if len(family) > 1:
            short = [item for stack in family if len(stack.places) < FEWEST_SLICES for item in stack.slices]
            whole = [stack for stack in family if len(stack.places) >= FEWEST_SLICES]
            family = _chained([*whole, *_mended(short)], belong)
        joined += family
    return joined


def _mended(fragments: list[Slice]) -> list[Stack]:
    """Stacks of slices that fill one lattice, whatever series they name; else a stack for each series."""
    mended = []
    for part in _on_one_grid(fragments):
        stack = stack_of(part)
        if len(stack.places) >= FEWEST_SLICES and is_lattice(stack.places) and _on_a_line(part):
            mended.append(stack)
        else:
            mended += map(stack_of, _grouped(part, lambda item: series_of(item.header)).values())
    return mended


def _chained(stacks: list[Stack], belong: Callable[[Stack, Stack], bool]) -> list[Stack]:
    """`stacks`, the longest first, the short ones and all others joined to those that they belong to."""
    waiting = sorted(stacks, key=lambda stack: -len(stack.places))
    done: list[Stack] = []
    while waiting:
        base = waiting.pop(0)
        if len(base.places) < FEWEST_SLICES:
            return [*done, base, *waiting]
        while (found := next((k for k, more in enumerate(waiting) if belong(base, more)), None)) is not None:
            base = _union(base, waiting.pop(found))
        done.append(base)
    return done


def _union(one: Stack, other: Stack) -> Stack:
    return stack_of([*one.slices, *(_along(item, one.slices[0].directions) for item in other.slices)])


def _fit(one: Stack, other: Stack) -> bool:
    """Whether two stacks have one grid and one line of corners."""
    first, second = one.slices[0], other.slices[0]
    return _same_grid(first, second) and _on_a_line(_union(one, other).slices)


def _is_torn(base: Stack, more: Stack) -> bool:
    """Whether two stacks of one number and description are one series: together they are a lattice. Whole stacks
    without a number may only follow each other: two visits to the scanner look like that, where numbers were erased."""
    if not _fit(base, more):
        return False
    if base.header.get("SeriesNumber") is None and len(more.places) >= FEWEST_SLICES:
        return continues(base.places, more.places)
    return is_lattice(np.sort([*base.places, *more.places])) and not cover_the_same(base.places, more.places)


def _is_continued(base: Stack, more: Stack) -> bool:
    """Whether two series are pieces of one chest; `base` may have been joined of several."""
    short = more.span < FULL_SPAN and (base.span < FULL_SPAN or len(base.series) > 1)
    return short and continues(base.places, more.places) and _fit(base, more)
