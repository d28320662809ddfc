r"""What forecasts are worth: one page from the evaluation of a run.

    .venv/bin/snakemake --cores 2 --configfile benchmarks/forecasting.yaml --directory WORK \
        -- results/evaluate/summary.json
    .venv/bin/python benchmarks/forecasting.py WORK/results

Writes forecasting.md beside this file.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow/scripts"))
from lung4d.evaluate.methods import PACES, model_name
from lung4d.io.atomic import atomic, read_json
from lung4d.io.tables import read_table

MODEL = model_name("expected")
BANDS = ["set", "group", "value", "measure", "patients", "visits", "coverage", "coverage_low", "coverage_high", "held"]
BANDS += ["width", "carried_width", "change", "floor", "below_floor"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    folder = parser.parse_args().results / "evaluate"
    summary, differences = read_table(folder / "summary.tsv"), read_table(folder / "differences.tsv")
    said = read_json(folder / "summary.json")
    parts = [PAGE]
    for name in sorted(summary["set"].unique(), key=lambda name: name != "test"):
        for task in ("extrapolation", "interpolation"):
            parts += [f"## {task.capitalize()}, {name}", scores(summary, name, task)]
        parts += [rivals(differences, name), thirds(differences, name)]
    parts += ["## Bands", markdown(read_table(folder / "coverage.tsv")[BANDS].round(3)), "## In the evaluation's words"]
    parts += [f"- {sentence}" for sentence in said["sentences"]]
    with atomic(HERE / "forecasting.md") as temporary:
        temporary.write_text("\n".join(part if part.startswith("- ") else part + "\n" for part in parts) + "\n")


def scores(summary: pd.DataFrame, name: str, task: str) -> str:
    """A row a method: errors in the lung and the whole volume, skill, pattern of change, extent."""
    part = select(summary, set=name, task=task, horizon="all", pace="all", course="all")
    measures = part.pivot_table(index="method", columns=["region", "measure"], values="mean", sort=False)
    rows = pd.DataFrame({"method": measures.index})
    wanted = {
        "lung MSE x 1000": ("lung", "mse", 1000, 2),
        "against the truth": ("lung", "mse_noisefree", 1000, 2),
        "whole MSE x 1000": ("whole", "mse", 1000, 2),
        "SSIM": ("lung", "ssim", 1, 3),
        "skill %": ("lung", "skill", 100, 0),
        "skill against the truth %": ("lung", "skill_noisefree", 100, 0),
        "pattern of change": ("lung", "change_correlation_noisefree", 1, 2),
        "extent error": ("lung", "extent_error_noisefree", 1, 1),
    }
    for title, (region, measure, factor, digits) in wanted.items():
        if (region, measure) in measures:
            rows[title] = (factor * measures[region, measure]).round(digits).to_numpy()
    return markdown(rows)


def rivals(differences: pd.DataFrame, name: str) -> str:
    """Paired differences of the model's expected scan to every baseline, MSE x 1000, lung and whole volume."""
    part = select(differences, set=name, horizon="all", pace="all", course="all", measure="mse", method=MODEL)
    rows = []
    for (task, reference), group in part.groupby(["task", "reference"], sort=False):
        regions = group.set_index("region")
        rows.append((task, reference, *(interval(regions.loc[region], 1000, 2) for region in ("lung", "whole"))))
    titles = ["task", f"{MODEL} minus", "lung", "whole volume"]
    return markdown(pd.DataFrame(rows, columns=titles))


def thirds(differences: pd.DataFrame, name: str) -> str:
    """Paired differences to the last scan by thirds of the patients, extrapolation."""
    part = select(
        differences, set=name, task="extrapolation", horizon="all", course="all", region="lung", reference="locf"
    )
    rows = []
    for measure, factor in (("mse", 1000), ("extent_error_noisefree", 1), ("extent_error", 1)):
        for method in (MODEL, model_name("drawn"), "cohort_mean_change_smoothed", "boosting"):
            cells = [select(part, measure=measure, method=method, pace=pace) for pace in PACES]
            if all(len(cell) for cell in cells):
                rows.append((measure, method, *(interval(cell.iloc[0], factor, 2) for cell in cells)))
    return markdown(pd.DataFrame(rows, columns=["measure, difference to the last scan", "method", *PACES]))


def select(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def interval(row: pd.Series, factor: float, digits: int) -> str:
    difference, low, high = (factor * row[name] for name in ("difference", "low", "high"))
    return f"{difference:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def markdown(rows: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, rows.columns)) + " |", "|" + " --- |" * len(rows.columns)]
    lines += ["| " + " | ".join("" if pd.isna(cell) else str(cell) for cell in row) + " |" for row in rows.to_numpy()]
    return "\n".join(lines)


PAGE = """\
# What forecasts are worth

Simulated patients (test: never seen), fibrosis in the chests of real CT and patients without change (both never trained
on). From the first two visits (extrapolation) or the first and the last (interpolation). Intervals are 95 %, paired,
over patients."""

if __name__ == "__main__":
    main()
