"""Forecasts of visits that the model was not shown, beside everything that knows nothing of disease."""

import pandas as pd

from lung4d.evaluate.methods import (
    HORIZONS,
    MODEL,
    ORACLE,
    PACES,
    REFERENCES,
    TASKS,
    model_name,
    of_kind,
)
from lung4d.evaluate.records import (
    ALIKE,
    BETTER,
    SHOWN,
    TOO_FEW,
    WORSE,
    EvaluateFindings,
    ModelScores,
    TaskScores,
)
from lung4d.evaluate.wording import claim_words, judged_words, sentences
from lung4d.figures.charts import Bar, interval_bars
from lung4d.report.chapters.bands import bands_reportlet
from lung4d.report.chapters.called import called_reportlet
from lung4d.report.chapters.foretold import foretold_tables
from lung4d.report.chapters.method_rows import in_order, ours_among, title_of
from lung4d.report.chapters.training import training_reportlet
from lung4d.report.chapters.volumes import volume_reportlet
from lung4d.report.formatting import count, fixed, interval
from lung4d.report.page import Charts, Finding, Fold, Reportlet, Section, Table, Words
from lung4d.report.results import Results

DISEASE = {  # column title: measure, decimals
    "Density error, HU": ("density_error_hu", 0),
    "High attenuation error, points": ("high_attenuation_error", 1),
    "Extent error, points": ("extent_error", 1),
    "Extent error against the truth": ("extent_error_noisefree", 1),
    "Pattern of change": ("change_correlation", 2),
    "Pattern of change against the truth": ("change_correlation_noisefree", 2),
}
GLOSSARY = (
    "The model draws its forecast at the scan's own resolution: on the last given scan, whose detail and noise stay; "
    "or as the scan to be expected, from which the noise is taken too, so that it is smoother than any real scan. The "
    "other decodings go through the codes.",
    "Residual decoding keeps the last given scan's own detail and adds only the change that the model predicts. Pure "
    "decoding draws the whole scan from the codes. Mix lies between the two.",
    "The autoencoder that is shown the answer, and true codes, are no forecasts: they tell how well codes could draw "
    "the scan at best.",
    "Smoothed and shrunk trends keep the share of a straight line's change that did best in val patients. Boosted "
    "trees are ordinary machine learning on the images, the strongest rival that knows neither codes nor dynamics.",
    "Errors are of the HU window scaled to 0 to 1; HU (RMS) is their root in HU. The error of a perfect forecast is "
    "not zero, because the scan it is held against has noise of its own.",
    "Skill is the share of the change since the last scan, smoothed so that noise hardly counts, that a method "
    "foretells: 0 for the last scan itself, 100 for a perfect forecast, below 0 for one that is worse than no change.",
    "Extent is the share of the lung whose smoothed density is above -720 HU; its error is in percentage points. "
    "Pattern of change is the correlation within the lung of the change foretold with the true one, beyond the "
    "cohort's mean and what a shift, a blur or more contrast would draw: 0 for a method that foretells nothing. "
    "Against scans with noise, averaging several visits alone can earn some, so that only the one against the "
    "simulated truth bears a claim.",
    "Slow, middle and fast are thirds of the patients by the yearly change of extent.",
    "Differences are paired by patient; their intervals come from drawing patients again and again.",
)
VERDICTS = {BETTER: "better than", WORSE: "worse than", ALIKE: "not shown to differ from"}
CLAIMS = {
    SHOWN: "It has beaten all four, and what changed in the patients goes with what it foretold.",
    TOO_FEW: "There are too few patients to say whether it foretells a patient's change.",
}


def section(results: Results) -> Section:
    """Tables and charts of both tasks, lung first, the whole volume and the horizons folded away."""
    reportlets = []
    table = results.tables.rows("forecast_summary")
    for task, meaning in TASKS.items():
        title = f"{task.capitalize()}: {meaning.short}"
        if _select(table, task).empty:
            words = "No test patient has three usable visits, so no visit could be kept from the model and scored."
            reportlets.append(Reportlet(title, "", (Words((words,), tone="note"),)))
        else:
            reportlets.append(_task_reportlet(table, task, title, results))
    judged = tuple(map(judged_words, results.evaluation.judged))
    reportlets += [Reportlet("How the withheld visits were taken", "", (Words(judged),))] if judged else []
    calls, volume, coverage = (results.tables.rows(name) for name in ("calls", "volume", "coverage"))
    reportlets += [] if calls is None else [called_reportlet(calls)]
    reportlets += [] if volume is None else [volume_reportlet(volume)]
    reportlets += [] if coverage is None else [bands_reportlet(coverage)]
    reportlets.append(Reportlet("How to read the tables", "", (Fold("The methods and measures", (Words(GLOSSARY),)),)))
    if results.evaluation != EvaluateFindings():
        caption = "What the evaluation step itself wrote down, every decoding against every reference."
        said = Fold("Show all", (Words(tuple(sentences(results.evaluation))),))
        reportlets.append(Reportlet("In the evaluation's own words", caption, (said,)))
    reportlets.append(training_reportlet(results.tables.ode_history, "Training of the disease model"))
    lead = (
        "A forecast is worth something only if it tells more than the scan already in hand. Every number here is from "
        "visits that were withheld from the model, in test patients."
    )
    return Section("forecasts", "Forecasts", lead, tuple(reportlets))


def headline(results: Results) -> list[Finding]:
    """One finding per task: the scan to be expected where the model draws, else the decoding of the run's volumes.

    What is drawn on the last scan keeps that scan's noise, which says nothing of the forecast; its error is told too.
    """
    decoding = results.setting("generate_trajectories", "decoding", "drawn")
    ours = model_name("expected" if decoding == "drawn" else decoding)
    scored = {task.task: task for task in results.evaluation.tasks if task.set == "test"}
    items = []
    for task, meaning in TASKS.items():
        models = {model.method: model for model in scored[task].models} if task in scored else {}
        if ours not in models:
            words = f"{meaning.short.capitalize()}: no test patient has three usable visits, so nothing was scored."
            items.append(Finding(task.capitalize(), words, done=False))
            continue
        made = "scans to be expected" if ours == model_name("expected") else "generated scans"
        words = f"Forecast of {meaning.short}. {_headline_words(models[ours], scored[task], made, results)}"
        drawn = models.get(model_name("drawn"))
        if decoding == "drawn" and drawn:
            error = results.hu_of(drawn.mse)
            words += f" The volumes on disk keep the last scan's noise and are off by {error} HU."
        items.append(Finding(task.capitalize(), words))
    return items


def _headline_words(found: ModelScores, task: TaskScores, made: str, results: Results) -> str:
    """Errors of what the model has `made` and of the last scan in HU, and what the paired intervals allow to say."""
    names = {key: reference.short for key, reference in REFERENCES.items()}
    differences = ", ".join(
        f"{_of_squares(one.mean, one.low, one.high)} to {names[one.reference]}" for one in found.against
    )
    said = (
        f"In the lungs of {count(task.patients, 'test patient')} ({count(task.visits, 'withheld visit')}) the {made} "
        f"are off by {results.hu_of(found.mse)} HU (root mean square), the last scan carried forward by "
        f"{results.hu_of(task.locf)} HU. Difference of the squared errors (× 1000): {differences}."
    )
    if any(one.verdict == TOO_FEW for one in found.against):
        return said + f" With {count(task.patients, 'patient')} this cannot tell which is better."
    verdicts = ", ".join(f"{VERDICTS[one.verdict]} {names[one.reference]}" for one in found.against)
    return f"{said} The model is {verdicts}. {CLAIMS.get(found.claim) or claim_words(found)}"


def _task_reportlet(table: pd.DataFrame, task: str, title: str, results: Results) -> Reportlet:
    part = _select(table, task)
    errors = part[part["measure"] == "mse"]
    first = errors.iloc[0]
    caption = (
        f"{count(first['patients'], 'test patient')}, {count(first['targets'], 'withheld visit')}. Look whether the "
        "model's interval lies wholly left of the line: only then has it beaten the last scan. Also look at the "
        "blurred last scan, which gains by averaging noise and knows nothing of disease, at the cohort's mean change, "
        "which knows nothing of the patient, and at the weighted mean, which has both."
    )
    bodies = [_chart(errors, task), _scores(part, results)]
    bodies.append(Fold("Extent, density and pattern of change", (_disease(part),)))
    if foretold := foretold_tables(results.tables.rows("change"), task):
        bodies.append(Fold("Change foretold beside change that came", tuple(foretold)))
    whole = _select(table, task, region="whole")
    if len(whole):
        bodies.append(Fold("The whole volume, chest wall included", (_scores(whole, results),)))
    thirds = {pace.capitalize(): _select(table, task, pace=pace) for pace in PACES}
    if all(map(len, thirds.values())):
        bodies.append(Fold("Slow, middle and fast patients", (_paces(thirds),)))
    horizons = {
        f"Forecasts {years.said} after the scan that is carried forward:": _select(table, task, horizon=horizon)
        for horizon, years in HORIZONS.items()
        if years.said
    }
    others = {
        f"Set {name}:": _select(table, task, patients_of=name) for name in table["set"].unique() if name != "test"
    }
    bodies += _folded("By time since the last given scan", horizons, results)
    bodies += _folded("Patients of other sites, never trained on", others, results)
    return Reportlet(title, caption, tuple(bodies))


def _folded(title: str, parts: dict[str, pd.DataFrame], results: Results) -> list[Fold]:
    """Scores of several parts of the table, each below its words; nothing where no part has a row."""
    bodies = [body for words, rows in parts.items() if len(rows) for body in (Words((words,)), _scores(rows, results))]
    return [Fold(title, tuple(bodies))] if bodies else []


def _disease(part: pd.DataFrame) -> Table:
    """What the forecasts get right of the disease, one row a method; also against the truth where simulated."""
    by_measure = {measure: rows.set_index("method") for measure, rows in part.groupby("measure")}
    columns = {title: column for title, column in DISEASE.items() if column[0] in by_measure}
    methods = in_order(part["method"].unique())
    rows = [
        (title_of(method), *(_mean(by_measure, name, method, digits) for name, digits in columns.values()))
        for method in methods
    ]
    numeric = frozenset(range(1, len(columns) + 1))
    return Table(("Method", *columns), tuple(rows), numeric=numeric, strong=ours_among(methods))


def _paces(thirds: dict[str, pd.DataFrame]) -> Table:
    """Difference to the last scan, one row a method, one column a third of the patients."""
    errors = [part[part["measure"] == "mse"].set_index("method") for part in thirds.values()]
    methods = [method for method in in_order(errors[0].index) if method != "locf"]
    rows = [(title_of(method), *(_difference(part.loc[method], "locf") for part in errors)) for method in methods]
    titles = [f"{name}: difference to last scan, MSE × 1000" for name in thirds]
    numeric = frozenset(range(1, len(titles) + 1))
    return Table(("Method", *titles), tuple(rows), numeric=numeric, strong=ours_among(methods))


def _chart(errors: pd.DataFrame, task: str) -> Charts:
    """Paired difference of every method to LOCF, with its interval."""
    parts = [f"locf_{part}" for part in ("difference", "low", "high")]
    rows = 1000 * errors.set_index("method")[parts]
    methods, ours, ceilings = in_order(rows.index), of_kind(MODEL), of_kind(ORACLE)
    bars = [
        Bar(title_of(method), mean, low, high, method in ours)
        for method in methods
        if method != "locf" and method not in ceilings
        for mean, low, high in [rows.loc[method]]
    ]
    label = "squared error in the lung × 1000, difference to the last scan carried forward"
    drawn = interval_bars(bars, label, zero="← better      worse →")
    return Charts(((drawn, f"Difference of each method's error to the last scan carried forward, {task}"),))


def _scores(part: pd.DataFrame, results: Results) -> Table:
    """One row a method: errors, similarity, and paired differences with intervals."""
    methods = in_order(part["method"].unique())
    by_measure = {measure: rows.set_index("method") for measure, rows in part.groupby("measure")}
    rows = []
    for method in methods:
        error = by_measure["mse"].loc[method]
        rows.append(
            (
                title_of(method),
                results.hu_of(error["mean"]),
                fixed(1000 * error["mean"], 2),
                *(
                    _difference(error, key) if method != reference.method else "reference"
                    for key, reference in REFERENCES.items()
                ),
                _mean(by_measure, "psnr", method, 1),
                _mean(by_measure, "ssim", method, 3),
                _skill(by_measure, method),
            )
        )
    columns = (
        "Method", "Error, HU (RMS)", "MSE × 1000", "Difference to last scan", "Difference to blurred last scan",
        "Difference to cohort's change", "Difference to weighted mean", "PSNR, dB", "SSIM", "Skill on change, %",
    )  # fmt: skip
    return Table(columns, tuple(rows), numeric=frozenset(range(1, len(columns))), strong=ours_among(methods))


def _skill(by_measure: dict[str, pd.DataFrame], method: str) -> str:
    """Share of the smoothed change that a method forecasts: 0 for LOCF, 100 for a perfect forecast."""
    if "skill" not in by_measure or method == "locf" or method not in by_measure["skill"].index:
        return "0" if method == "locf" else fixed(None)
    row = by_measure["skill"].loc[method]
    return interval(100 * row["mean"], 100 * row["locf_low"], 100 * row["locf_high"], 0)


def _difference(row: pd.Series, reference: str) -> str:
    value, low, high = (row[f"{reference}_{part}"] for part in ("difference", "low", "high"))
    return _of_squares(value, low, high)


def _of_squares(value: float, low: float, high: float) -> str:
    """A difference of squared errors times 1000, with its interval."""
    return interval(1000 * value, 1000 * low, 1000 * high, decimals=2, sign=True)


def _mean(by_measure: dict[str, pd.DataFrame], measure: str, method: str, decimals: int) -> str:
    table = by_measure.get(measure)
    return fixed(table.loc[method, "mean"] if table is not None and method in table.index else None, decimals)


def _select(
    table: pd.DataFrame | None,
    task: str,
    horizon: str = "all",
    region: str = "lung",
    pace: str = "all",
    patients_of: str = "test",
) -> pd.DataFrame:
    if table is None:
        return pd.DataFrame()
    chosen = {"set": patients_of, "horizon": horizon, "region": region, "pace": pace, "course": "all"}
    for column, value in chosen.items():
        table = table[table[column] == value] if value else table
    return table[table["task"] == task]
