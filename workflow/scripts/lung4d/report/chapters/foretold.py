"""What methods foretell of change, beside the change that came."""

import pandas as pd

from lung4d.evaluate.methods import CHANGES, EVERYONE
from lung4d.report.chapters.method_rows import in_order, ours_among, title_of
from lung4d.report.formatting import interval
from lung4d.report.page import Table, Words

FORETOLD = (
    "Change is a method's forecast minus what the same method makes of the day of the last given scan: removing noise "
    "counts for nothing. Slope: of the change that came on the change foretold, 1 where its size is right. "
    "Correlation: between patients, after the mean change a year is taken off both. Share foretold: the sum of all "
    "changes foretold over that of those that came.",
)
ESTIMATES = {  # column title: estimate of change.tsv, factor, decimals
    "Slope": ("slope", 1, 2),
    "Correlation": ("correlation", 1, 2),
    "Share foretold, %": ("drawn", 100, 0),
}


def foretold_tables(change: pd.DataFrame | None, task: str) -> list[Words | Table]:
    """What is foretold of change, a table a read-out with a row a method; nothing where nothing was scored."""
    if change is None:
        return []
    for column, value in {"set": "test", "task": task, **EVERYONE}.items():
        change = change[change[column] == value]
    bodies: list[Words | Table] = [Words(FORETOLD)] if len(change) else []
    for name, term in CHANGES.items():
        rows = change[change["measure"] == name].set_index("method")
        if rows.empty:
            continue
        methods = in_order(rows.index)
        cells = tuple(
            (title_of(method), *(_estimate(rows.loc[method], *column) for column in ESTIMATES.values()))
            for method in methods
        )
        bodies.append(Words((f"{term.short}:",)))
        bodies.append(Table(("Method", *ESTIMATES), cells, numeric=frozenset((1, 2, 3)), strong=ours_among(methods)))
    return bodies


def _estimate(row: pd.Series, column: str, factor: float, decimals: int) -> str:
    value, low, high = (factor * row[f"{column}{end}"] for end in ("", "_low", "_high"))
    return interval(value, low, high, decimals)
