"""Rows of tables that have a forecasting method each: their order, their titles, and which are the model's."""

from collections.abc import Iterable

from lung4d.evaluate.methods import METHODS, MODEL, of_kind


def title_of(method: str) -> str:
    return METHODS[method].title if method in METHODS else method


def ours_among(methods: list[str]) -> frozenset[int]:
    """Which of a table's rows are the model's."""
    ours = of_kind(MODEL)
    return frozenset(number for number, method in enumerate(methods) if method in ours)


def in_order(methods: Iterable[str]) -> list[str]:
    """Known methods in the order of METHODS, then any other."""
    present = list(methods)
    return [name for name in METHODS if name in present] + [name for name in present if name not in METHODS]
