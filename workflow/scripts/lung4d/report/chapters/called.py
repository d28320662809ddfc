"""Whether a patient is called stable, slow or fast, by every method, against the truth."""

import pandas as pd

from lung4d.evaluate.calls.wording import MEANT
from lung4d.evaluate.methods import sets_in_order
from lung4d.report.chapters.method_rows import in_order, ours_among, title_of
from lung4d.report.formatting import count, fixed, interval
from lung4d.report.page import Fold, Reportlet, Table, Words

CAPTION = (
    "A patient is called by the change of extent that a method foretells, in points of the lung a year, from a visit "
    "to all later ones. Look at both columns: who calls everybody stable is right of all stable patients, and misses "
    "every fast one. The rates from which on a patient is no longer called stable, and from which on fast, were chosen "
    "on val patients, for each method by itself."
)
QUESTIONS = {  # title: visits given, visits after which all later ones are asked for
    "From two visits, all later ones": (2, 2),
    "Visits after the fourth, from the first two": (2, 4),
    "Visits after the fourth, from the first four": (4, 4),
}


def called_reportlet(calls: pd.DataFrame) -> Reportlet:
    """From calls.tsv: the first question of the test patients at once, the rest folded away."""
    bodies: list[Words | Table | Fold] = [Words((MEANT,))]
    for name in sets_in_order(calls["set"].unique()):
        for title, (given, after) in QUESTIONS.items():
            part = calls[(calls["set"] == name) & (calls["visits_given"] == given) & (calls["after"] == after)]
            if part.empty:
                continue
            own = title if name == "test" else f"Set {name}: {title[0].lower()}{title[1:]}"
            table = _table(part[part["by"] == "truth"])
            bodies += (
                [Words((_counts(part, own),)), table]
                if len(bodies) == 1
                else [Fold(own, (Words((_counts(part, ""),)), table))]
            )
            courses = part[part["by"] == "course"]
            bodies += [] if courses.empty else [Fold(f"{own}: by course of the disease", tuple(_by_course(courses)))]
    return Reportlet("Who is called stable, slow or fast?", CAPTION, tuple(bodies))


def _counts(part: pd.DataFrame, title: str) -> str:
    """How many patients of each kind there are, below a title where there is one."""
    first = part[(part["by"] == "truth") & (part["method"] == part["method"].iloc[0])].set_index("group")["patients"]
    told = f"{count(first['stable'], 'stable patient')}, {first['between']} between and {first['fast']} fast"
    told += "" if part["source"].iloc[0] == "truth" else ", as seen in scans, whose noise makes some stable ones change"
    return f"{title}: {told}." if title else f"{told}."


def _table(part: pd.DataFrame) -> Table:
    """A row a method: shares of the stable and of the fast, and the cutoffs."""
    groups = {kind: rows.set_index("method") for kind, rows in part.groupby("group")}
    methods = in_order(part["method"].unique())
    rows = []
    for method in methods:
        stable, fast = groups["stable"].loc[method], groups["fast"].loc[method]
        chosen = "usual" if stable["val_patients"] == 0 else str(stable["val_patients"])
        shares = (_share(stable, "stable"), _share(fast, "stable"), _share(fast, "fast"))
        rows.append(
            (title_of(method), *shares, *(fixed(stable[name], 2) for name in ("stable_below", "fast_from")), chosen)
        )
    columns = (
        "Method", "Stable, called stable, %", "Fast, called stable, %", "Fast, called fast, %",
        "Stable below, points a year", "Fast from, points a year", "Chosen on val patients",
    )  # fmt: skip
    return Table(columns, tuple(rows), numeric=frozenset(range(1, len(columns))), strong=ours_among(methods))


def _by_course(part: pd.DataFrame) -> list[Words | Table]:
    """A row a method, a column a course: the share called stable."""
    groups = {course: rows.set_index("method") for course, rows in part.groupby("group")}
    methods = in_order(part["method"].unique())
    heads = [f"{course} ({rows['patients'].iloc[0]})" for course, rows in groups.items()]
    rows = [(title_of(one), *(_share(own.loc[one], "stable") for own in groups.values())) for one in methods]
    words = "Called stable, % of the patients of a course, whose number is in brackets."
    numeric = frozenset(range(1, len(heads) + 1))
    return [Words((words,)), Table(("Method", *heads), tuple(rows), numeric=numeric, strong=ours_among(methods))]


def _share(row: pd.Series, call: str) -> str:
    share, low, high = (100 * row[f"called_{call}{end}"] for end in ("", "_low", "_high"))
    return interval(share, low, high, 0)
