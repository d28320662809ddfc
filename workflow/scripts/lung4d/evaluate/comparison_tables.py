"""What a comparison ends in: table1.tsv, table3.tsv and ablation.tsv, and each as a page.

Needs neither torch nor scikit-learn, which not every one of their environments has.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lung4d.evaluate.comparisons import OWN, SCORED_SETS, TABLE1, TABLE3, TITLES, as_markdown, as_page
from lung4d.evaluate.methods import ORACLE_MARK, sets_in_order
from lung4d.evaluate.summary import by_patient, each_minus
from lung4d.io.atomic import write_text
from lung4d.io.tables import write_table
from lung4d.metrics import Interval, ratio_bootstrap

FORECASTS = ("interpolation", "extrapolation")
REGIONS = {"whole": "whole volume", "lung": "lung"}
IN_TABLE1 = {"mse": ("MSE", 5), "ssim": ("SSIM", 3), "psnr": ("PSNR", 2)}  # name and digits
GIVEN_TOO = "_given_too"
MEANS = ("mse", "extent_error", "change_correlation", "change_correlation_noisefree")  # of patients, in the ablation
COMPARED_PARTS = ("", "_difference", "_low", "_high")


def write_comparison(table: pd.DataFrame, page: str, output: Any) -> None:
    """Write table and page to the outputs of these names, and print the page."""
    write_table(table, output.table)
    write_text(page, output.page)
    print(page)


def table1(forecasts: pd.DataFrame, given_too: bool = False) -> pd.DataFrame:
    """table1.tsv from the forecasts of `lung4d.evaluate.variants`: a row per set, model and decoding, or baseline.

    <task>_patients, <task>_visits and <task>_<region>_<measure>, on intensities from 0 to 1: means over patients of the
    means over their withheld visits. paper_<task>_<measure> is the paper's number, beside the test set. given_too:
    where the given visits were scored too, <task>_<region>_<measure>_given_too is the mean over these and the withheld
    ones; PSNR is then infinite for what returns a given visit itself.
    """
    withheld = [session not in given.split("+") for session, given in forecasts[["session", "given"]].to_numpy()]
    forecasts = forecasts.assign(withheld=withheld)
    keys, papers = ["set", "row", "decoding"], {row.name: row.paper for row in TABLE1}
    lines = []
    for values, part in forecasts.groupby(keys, sort=False):
        line = dict(zip(keys, values, strict=True))
        line |= _counts(part[part["withheld"]]) | _means(part[part["withheld"]])
        line |= _means(part, GIVEN_TOO) if given_too else {}
        lines.append(line | (_of_paper(papers.get(line["row"], {})) if line["set"] == "test" else {}))
    counts = [f"{task}_{what}" for task in FORECASTS for what in ("patients", "visits")]
    scores = [f"{task}_{region}_{measure}" for task in FORECASTS for region in REGIONS for measure in IN_TABLE1]
    of_paper = [f"paper_{task}_{measure}" for task in FORECASTS for measure in IN_TABLE1]
    columns = [*keys, *counts, *scores, *([name + GIVEN_TOO for name in scores] if given_too else []), *of_paper]
    table = pd.DataFrame(lines, columns=columns)
    return table.sort_values("decoding", key=_is_baseline, kind="stable", ignore_index=True)


def _is_baseline(decoding: pd.Series) -> pd.Series:
    return decoding == ""


def _counts(part: pd.DataFrame) -> dict[str, int]:
    counts: dict[str, int] = {}
    for task in FORECASTS:
        visits = part.loc[(part["task"] == task) & (part["region"] == "whole"), "subject"]
        counts |= {f"{task}_patients": visits.nunique(), f"{task}_visits": len(visits)}
    return counts


def _means(part: pd.DataFrame, suffix: str = "") -> dict[str, float]:
    patients = part.groupby(["task", "region", "subject"])[list(IN_TABLE1)].mean()
    means = patients.groupby(["task", "region"]).mean()
    return {
        f"{task}_{region}_{name}{suffix}": row[name] for (task, region), row in means.iterrows() for name in IN_TABLE1
    }


def _of_paper(paper: Mapping[str, tuple[float, ...]]) -> dict[str, float]:
    return {
        f"paper_{task}_{measure}": value
        for task, values in paper.items()
        for measure, value in zip(IN_TABLE1, values, strict=True)
    }


def table1_page(table: pd.DataFrame) -> str:
    """Per set the whole volume, with the paper's numbers in brackets, and the lung."""
    suffixes = [""] + [GIVEN_TOO] * any(name.endswith(GIVEN_TOO) for name in table)
    heads = ["", "decoding", *(f"{task}, {name}" for task in FORECASTS for name, _ in IN_TABLE1.values())]
    parts = []
    for name in sets_in_order(table["set"].unique()):
        part = table[table["set"] == name]
        first = part.iloc[0]
        counted = "; ".join(
            f"{task} {first[f'{task}_patients']} patients, {first[f'{task}_visits']} withheld visits"
            for task in FORECASTS
        )
        for suffix in suffixes:
            for region, shown in REGIONS.items():
                heading = f"## Set {name}, {shown}{', given visits counted too' if suffix else ''}"
                rows = [_table1_cells(row, region, suffix) for row in part.to_dict("records")]
                parts.append((f"{heading}\n\n{counted.capitalize()}.", as_markdown(heads, rows, 2)))
    return as_page(TABLE1_WORDS, parts, oracle=ORACLE_MARK)


def _table1_cells(row: Mapping[str, Any], region: str, suffix: str) -> list[str]:
    cells = [TITLES.get(row["row"], row["row"]), row["decoding"]]
    for task in FORECASTS:
        for measure, (_, digits) in IN_TABLE1.items():
            told, paper = _told(row[f"{task}_{region}_{measure}{suffix}"], digits), row[f"paper_{task}_{measure}"]
            cells.append(told if region != "whole" or pd.isna(paper) else f"{told} ({paper:g})")
    return cells


def table3(scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """table3.tsv from each row's scores (split, region, mse; a row per scan and region): means over scans.

    scans_<set>, mse_<set>_whole and mse_<set>_lung of the sets test and external, missing where a set has no scan,
    beside paper_<set>, the paper's MSE.
    """
    lines = []
    for row in TABLE3:
        line = {"row": row.name, **row.settings}
        for name in SCORED_SETS:
            part = scores[row.name].query("split == @name")
            line[f"scans_{name}"] = int((part["region"] == "whole").sum())
            for region in REGIONS:
                line[f"mse_{name}_{region}"] = part.loc[part["region"] == region, "mse"].mean()
            line[f"paper_{name}"] = row.paper[name][0]
        lines.append(line)
    return pd.DataFrame(lines)


def table3_page(table: pd.DataFrame) -> str:
    """MSE times 1000, and how to compare; external columns only where there are such scans."""
    sets = [name for name in SCORED_SETS if name == "test" or table[f"scans_{name}"].any()]
    heads = ["codes", "compression", "learning rate"]
    for name in sets:
        heads += [f"{name}, whole volume", f"{name}, lung", f"paper, {SCORED_SETS[name]}"]
    rows = []
    for row in table.to_dict("records"):
        columns = [column for name in sets for column in (f"mse_{name}_whole", f"mse_{name}_lung", f"paper_{name}")]
        told = [_told(1000 * row[column], 2) for column in columns]
        rows.append([str(row["codes"]), str(row["compression"]), f"{row['lr']:g}", *told])
    counts = ", ".join(f"{table[f'scans_{name}'].max()} {name}" for name in sets)
    return as_page(TABLE3_WORDS, [("", as_markdown(heads, rows, 0))], counts=counts)


def ablation(forecasts: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """ablation.tsv from the forecasts of `lung4d.evaluate.variants`: a row per set, task, variant and decoding.

    In the lung, means over patients: mse on intensities from 0 to 1; skill, the share of LOCF's squared error of the
    low-passed change that is removed, pooled over patients; extent_error, absolute, in percentage points;
    change_correlation, and change_correlation_noisefree where the cohort is simulated. <measure>_difference is the row
    minus the first decoding of the run's own model, paired by patient, _low and _high its 95 % bootstrap interval.
    """
    lung = forecasts[forecasts["region"] == "lung"]
    lines = []
    for (name, task), part in lung.groupby(["set", "task"]):
        variants = part.loc[part["decoding"] != "", ["method", "row", "decoding"]].drop_duplicates().set_index("method")
        scores = _against(variants.index[variants["row"] == OWN][0], part, bootstrap, seed)
        counts = {"patients": part["subject"].nunique(), "visits": part.groupby(["subject", "session"]).ngroups}
        for method, variant in variants.iterrows():
            lines.append({"set": name, "task": task, **variant, **counts, **scores[method]})
    measures = [measure + part for measure in (MEANS[0], "skill", *MEANS[1:]) for part in COMPARED_PARTS]
    return pd.DataFrame(lines, columns=["set", "task", "row", "decoding", "patients", "visits", *measures])


def _against(reference: str, part: pd.DataFrame, bootstrap: int, seed: int) -> dict[str, dict[str, float]]:
    """By method the measures, and their differences to the method `reference` with intervals."""
    known = by_patient(part, [*MEANS, "mse_lowpass"])
    found: dict[str, dict[str, float]] = {method: {} for method in part["method"].unique()}
    for measure in (measure for measure in MEANS if measure in known):
        for method, interval in each_minus(known[measure], reference, bootstrap, seed).items():
            found[method] |= _columns(measure, known[measure][method].mean(), interval)
    errors = known["mse_lowpass"]
    carried = errors["locf"].to_numpy()
    for method in errors:
        own = ratio_bootstrap(carried - errors[method].to_numpy(), carried, bootstrap, seed).mean
        gained = (errors[reference] - errors[method]).to_numpy()
        found[method] |= _columns("skill", own, ratio_bootstrap(gained, carried, bootstrap, seed))
    return found


def _columns(measure: str, value: float, difference: Interval) -> dict[str, float]:
    return dict(zip((measure + part for part in COMPARED_PARTS), (float(value), *difference), strict=True))


def ablation_page(table: pd.DataFrame) -> str:
    """A part per set and task."""
    parts = []
    for name in sets_in_order(table["set"].unique()):
        for task in reversed(FORECASTS):
            part = table[(table["set"] == name) & (table["task"] == task)]
            if len(part):
                counted = f"{part['patients'].iloc[0]} patients, {part['visits'].iloc[0]} visits"
                parts.append((f"## {task.capitalize()}, set {name}: {counted}", _ablation_markdown(part)))
    return as_page(ABLATION_WORDS, parts)


def _ablation_markdown(part: pd.DataFrame) -> str:
    noisefree = "_noisefree" if part["change_correlation_noisefree"].notna().any() else ""
    shown = {
        "MSE x 1000": ("mse", 1000, 2),
        "skill, %": ("skill", 100, 1),
        "extent error, points": ("extent_error", 1, 2),
        f"correlation of change{', noise-free' if noisefree else ''}": (f"change_correlation{noisefree}", 1, 2),
    }
    heads = ["| decoding", *(f"{head} | difference" for head in shown)]  # each is over two columns
    rows = []
    for row in part.to_dict("records"):
        cells = [cell for what in shown.values() for cell in _with_difference(row, *what)]
        rows.append([TITLES[row["row"]], row["decoding"], *cells])
    return as_markdown(heads, rows, 2)


def _with_difference(row: Mapping[str, Any], measure: str, factor: float, digits: int) -> list[str]:
    """The value, and the difference with its interval."""
    if pd.isna(row[measure]):
        return ["–", "–"]
    value, difference, low, high = (factor * row[measure + part] for part in COMPARED_PARTS)
    told = f"{difference:+.{digits}f}"
    return [f"{value:.{digits}f}", told if pd.isna(low) else f"{told} [{low:+.{digits}f}, {high:+.{digits}f}]"]


def _told(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


TABLE1_WORDS = """\
# Table 1: variants of the disease model

Interpolation forecasts the visits between a patient's first and last from these two, extrapolation all visits after
the first two from these. Numbers are means over patients on intensities from 0 to 1. The first four rows are the
paper's method as it literally has it (`config/paper.yaml`), with the run's own `epochs` and `hidden`, on the run's own
autoencoder, decoded purely. Then come the run's own model by all its decodings, and what needs no disease model.
Rows named “{oracle}” see the visit itself: they are limits, not forecasts.

Compare the rows with each other, and every row with the baselines of the same table. The paper's numbers, in brackets,
are no target: its patients, its window of intensities (not stated) and its region are others, and its means include
the two visits that were given, which `table1: {{given_too: true}}` does here. Only their order can be compared.

{tables}"""

TABLE3_WORDS = """\
# Table 3: reconstruction by size of the codebook, compression and learning rate

Mean squared error times 1000 on intensities from 0 to 1, over the whole volume and in the lung alone; means over scans
({counts}). Each row is the run's own `train_vqgan` section with the three settings named. The paper's numbers are of
its own patients and of a window of intensities that it does not state: compare the order of the rows, not the values.

{tables}"""

ABLATION_WORDS = """\
# Ablation: what each part of the disease model is worth

Each row is a model trained with the run's own `train_ode` section and one change, and scored on visits that it was not
given, in the lung. Differences are the row minus the first row, paired by patient, with 95 % intervals over patients:
above zero in an error means that what was left out helps. MSE is on intensities from 0 to 1; skill is the share of the
last scan's squared error of the smoothed change that is removed; extent is the diseased share of the lung.

Compare within a decoding: `expected` leaves a scan's noise out and so has a lower MSE than `drawn`, which keeps it; a
model that draws nothing has `mix` alone, with the share of detail that was chosen for the run's own model. Each row is
one training with one seed: a small difference may be the seed's. A row without any difference has the run's own
settings and was not trained again. Baselines are in `evaluate/summary.tsv`.

{tables}"""
