"""Table 1 of 4D-VQ-GAN (Zhao et al., section 4) on this cohort: variants of the disease model by forecasting error."""

from collections.abc import Mapping

import pandas as pd

from lung4d.evaluate.methods import sets_in_order
from lung4d.evaluate.variants import OWN, TABLE1

TASKS = ("interpolation", "extrapolation")
REGIONS = {"whole": "whole volume", "lung": "lung"}
MEASURES = {"mse": "MSE", "ssim": "SSIM", "psnr": "PSNR"}
PAPER = {row.name: row.paper for row in TABLE1}
TITLES = {row.name: row.title for row in TABLE1} | {OWN: "the run's own settings"}
KEYS = ["set", "row", "decoding"]
COUNTS = [f"{task}_{what}" for task in TASKS for what in ("patients", "visits")]
SCORES = [f"{task}_{region}_{measure}" for task in TASKS for region in REGIONS for measure in MEASURES]
OF_PAPER = [f"paper_{task}_{measure}" for task in TASKS for measure in MEASURES]
GIVEN_TOO = "_given_too"


def fill_table(forecasts: pd.DataFrame, given_too: bool = False) -> pd.DataFrame:
    """table1.tsv from the forecasts of `lung4d.evaluate.comparison`: a row per set, model and decoding, or baseline.

    <task>_patients, <task>_visits and <task>_<region>_<measure>, on intensities from 0 to 1: means over patients of the
    means over their withheld visits. paper_<task>_<measure> is the paper's number, beside the test set. given_too:
    where the given visits were scored too, <task>_<region>_<measure>_given_too is the mean over these and the withheld
    ones; PSNR is then infinite for what returns a given visit itself.
    """
    withheld = [session not in given.split("+") for session, given in forecasts[["session", "given"]].to_numpy()]
    forecasts = forecasts.assign(withheld=withheld)
    lines = []
    for keys, part in forecasts.groupby(KEYS, sort=False):
        line = dict(zip(KEYS, keys, strict=True))
        line |= _counts(part[part["withheld"]]) | _means(part[part["withheld"]])
        line |= _means(part, GIVEN_TOO) if given_too else {}
        lines.append(line | (_paper(line["row"]) if line["set"] == "test" else {}))
    columns = [*KEYS, *COUNTS, *SCORES, *([name + GIVEN_TOO for name in SCORES] if given_too else []), *OF_PAPER]
    table = pd.DataFrame(lines, columns=columns)
    return table.sort_values("decoding", key=_is_baseline, kind="stable", ignore_index=True)


def _is_baseline(decoding: pd.Series) -> pd.Series:
    return decoding == ""


def _counts(part: pd.DataFrame) -> dict[str, int]:
    counts = {}
    for task in TASKS:
        visits = part.loc[(part["task"] == task) & (part["region"] == "whole"), "subject"]
        counts |= {f"{task}_patients": visits.nunique(), f"{task}_visits": len(visits)}
    return counts


def _means(part: pd.DataFrame, suffix: str = "") -> dict[str, float]:
    patients = part.groupby(["task", "region", "subject"])[list(MEASURES)].mean()
    means = patients.groupby(["task", "region"]).mean()
    return {
        f"{task}_{region}_{name}{suffix}": row[name] for (task, region), row in means.iterrows() for name in MEASURES
    }


def _paper(row: str) -> dict[str, float]:
    return {
        f"paper_{task}_{measure}": value
        for task, values in (PAPER.get(row) or {}).items()
        for measure, value in zip(MEASURES, values, strict=True)
    }


def as_page(table: pd.DataFrame) -> str:
    """The table as Markdown: per set the whole volume, with the paper's numbers in brackets, and the lung."""
    suffixes = [""] + [GIVEN_TOO] * any(name.endswith(GIVEN_TOO) for name in table)
    parts = [
        f"## Set {name}, {REGIONS[region]}{', given visits counted too' if suffix else ''}\n\n"
        f"{_counted(part)}\n\n{_as_markdown(part, region, suffix)}\n"
        for name in sets_in_order(table["set"].unique())
        for part in [table[table["set"] == name]]
        for suffix in suffixes
        for region in REGIONS
    ]
    return PAGE.format(tables="\n".join(parts or ["No patient has three usable visits: nothing could be withheld.\n"]))


def _counted(part: pd.DataFrame) -> str:
    first = part.iloc[0]
    told = [f"{task} {first[f'{task}_patients']} patients, {first[f'{task}_visits']} withheld visits" for task in TASKS]
    return "; ".join(told).capitalize() + "."


def _as_markdown(part: pd.DataFrame, region: str, suffix: str) -> str:
    heads = ["", "decoding", *(f"{task}, {name}" for task in TASKS for name in MEASURES.values())]
    lines = ["| " + " | ".join(heads) + " |", "| --- | --- |" + " ---: |" * (len(heads) - 2)]
    for row in part.to_dict("records"):
        cells = [TITLES.get(row["row"], row["row"]), row["decoding"]]
        cells += [_cell(row, task, region, measure, suffix) for task in TASKS for measure in MEASURES]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[str, object], task: str, region: str, measure: str, suffix: str) -> str:
    digits = {"mse": 5, "ssim": 3, "psnr": 2}[measure]
    value, paper = row[f"{task}_{region}_{measure}{suffix}"], row[f"paper_{task}_{measure}"]
    told = "–" if pd.isna(value) else f"{value:.{digits}f}"
    return told if region != "whole" or pd.isna(paper) else f"{told} ({paper:g})"


PAGE = """\
# Table 1: variants of the disease model

Interpolation forecasts the visits between a patient's first and last from these two, extrapolation all visits after
the first two from these. Numbers are means over patients on intensities from 0 to 1. The first four rows are the
paper's method as it literally has it (`config/paper.yaml`), with the run's own `epochs` and `hidden`, on the run's own
autoencoder, decoded purely. Then come the run's own model by all its decodings, and what needs no disease model.
Rows named “(oracle)” see the visit itself: they are limits, not forecasts.

Compare the rows with each other, and every row with the baselines of the same table. The paper's numbers, in brackets,
are no target: its patients, its window of intensities (not stated) and its region are others, and its means include
the two visits that were given, which `table1: {{given_too: true}}` does here. Only their order can be compared.

{tables}"""
