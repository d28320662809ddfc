"""Forecasts of visits that the model was not shown, beside everything that knows nothing of disease."""

import pandas as pd

from lung4d.figures.charts import Bar, interval_bars
from lung4d.report.chapters.training import training_reportlet
from lung4d.report.formatting import count, fixed, interval, missing
from lung4d.report.page import Charts, Finding, Fold, Reportlet, Section, Table, Words
from lung4d.report.results import Results

METHODS = {
    "model (expected)": "Model, expected scan",
    "model (drawn)": "Model, drawn on the last scan",
    "model (residual)": "Model, residual decoding",
    "model (mix)": "Model, mix decoding",
    "model (pure)": "Model, pure decoding",
    "locf": "Last scan carried forward",
    "locf_blurred": "Last scan, blurred",
    "mean_of_given": "Mean of the given scans",
    "mean_of_given_blurred": "Mean of the given scans, blurred",
    "locf_autoencoder": "Last scan through the autoencoder",
    "linear_image": "Linear trend of the image",
    "linear_image_shrunk": "Linear trend of the image, smoothed and shrunk",
    "linear_latent": "Linear trend of the codes",
    "linear_latent_shrunk": "Linear trend of the codes, smoothed and shrunk",
    "cohort_mean_change": "Cohort's mean change",
    "cohort_mean_change_smoothed": "Cohort's mean change, blurred",
    "boosting": "Boosted trees on the images",
    "reconstruction (oracle)": "Autoencoder, shown the answer",
    "true latent, residual (oracle)": "True codes, residual decoding",
    "true latent, mix (oracle)": "True codes, mix decoding",
}
TASKS = {
    "extrapolation": "Extrapolation: later visits from the first two",
    "interpolation": "Interpolation: visits in between from the first and the last",
}
PACES = {"slow": "Slow", "middle": "Middle", "fast": "Fast"}
BANDS = {"mean_density_hu": ("Mean density, HU", 0), "high_attenuation_percent": ("High attenuation area, points", 1)}
HORIZONS = {"<1": "less than 1 year", "1-2": "1 to 2 years", ">2": "2 years or more"}
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
ENOUGH = 5  # patients; with fewer an interval over patients means little
# What a forecast must beat, all three, to have shown that it knows of the disease: noise and the cohort's mean aside.
REFERENCES = {
    "locf": "the last scan",
    "blurred": "that scan blurred",
    "cohort": "the cohort's mean change on it",
}


def section(results: Results) -> Section:
    """Tables and charts of both tasks, lung first, the whole volume and the horizons folded away."""
    reportlets = []
    table = results.tables.rows("forecast_summary")
    for task, title in TASKS.items():
        part = _select(table, task)
        if part.empty:
            words = "No test patient has three usable visits, so no visit could be kept from the model and scored."
            reportlets.append(Reportlet(title, "", (Words((words,), tone="note"),)))
        else:
            reportlets.append(_task_reportlet(table, task, title, results))
    coverage = results.tables.rows("coverage")
    if coverage is not None:
        reportlets.append(_bands_reportlet(coverage))
    reportlets.append(Reportlet("How to read the tables", "", (Fold("The methods and measures", (Words(GLOSSARY),)),)))
    said = results.evaluate_words.get("sentences") or []
    if said:
        caption = "What the evaluation step itself wrote down, every decoding against every reference."
        reportlets.append(
            Reportlet("In the evaluation's own words", caption, (Fold("Show all", (Words(tuple(said)),)),))
        )
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
    table = results.tables.rows("forecast_summary")
    decoding = results.setting("generate_trajectories", "decoding", "drawn")
    ours = f"model ({'expected' if decoding == 'drawn' else decoding})"
    items = []
    for task, title in TASKS.items():
        part = _select(table, task)
        part = part[part["measure"] == "mse"].set_index("method") if len(part) else part
        meaning = title.partition(": ")[2]
        if ours not in part.index:
            words = f"{meaning.capitalize()}: no test patient has three usable visits, so nothing was scored."
            items.append(Finding(task.capitalize(), words, done=False))
            continue
        row, last = part.loc[ours], part.loc["locf"]
        made = "scans to be expected" if ours == "model (expected)" else "generated scans"
        words = f"Forecast of {meaning}. {_headline_words(row, last, made, results.window_width)}"
        if decoding == "drawn" and "model (drawn)" in part.index:
            error = _hu(part.loc["model (drawn)", "mean"], results.window_width)
            words += f" The volumes on disk keep the last scan's noise and are off by {error} HU."
        items.append(Finding(task.capitalize(), words))
    return items


def _headline_words(row: pd.Series, last: pd.Series, made: str, width: float) -> str:
    """Errors of what the model has `made` and of the last scan in HU, and what the paired intervals allow to say."""
    patients = int(row["patients"])
    said = (
        f"In the lungs of {count(patients, 'test patient')} ({count(row['targets'], 'withheld visit')}) the {made} "
        f"are off by {_hu(row['mean'], width)} HU (root mean square), the last scan carried forward by "
        f"{_hu(last['mean'], width)} HU. Difference of the squared errors (× 1000): "
        f"{', '.join(f'{_difference(row, key)} to {name}' for key, name in REFERENCES.items())}."
    )
    if patients < ENOUGH:
        return said + f" With {count(patients, 'patient')} this cannot tell which is better."
    verdicts = {key: verdict(row, key) for key in REFERENCES}
    said += f" The model is {', '.join(f'{verdicts[key]} {name}' for key, name in REFERENCES.items())}."
    if set(verdicts.values()) == {"better than"}:
        return said + " It has beaten all three."
    return said + " That it foretells a patient's change takes beating all three, and is not shown."


def verdict(row: pd.Series, reference: str) -> str:
    """What a paired difference of errors allows to say of the model: below zero is better."""
    low, high = row[f"{reference}_low"], row[f"{reference}_high"]
    if missing(low) or missing(high) or low <= 0 <= high:
        return "not shown to differ from"
    return "better than" if high < 0 else "worse than"


def _task_reportlet(table: pd.DataFrame, task: str, title: str, results: Results) -> Reportlet:
    part = _select(table, task)
    errors = part[part["measure"] == "mse"]
    first = errors.iloc[0]
    caption = (
        f"{count(first['patients'], 'test patient')}, {count(first['targets'], 'withheld visit')}. Look whether the "
        "model's interval lies wholly left of the line: only then has it beaten the last scan. Also look at the "
        "blurred last scan, which gains by averaging noise and knows nothing of disease, and at the cohort's mean "
        "change, which knows nothing of the patient."
    )
    bodies = [_chart(errors, task), _scores(part, results.window_width)]
    bodies.append(Fold("Extent, density and pattern of change", (_disease(part),)))
    whole = _select(table, task, region="whole")
    if len(whole):
        bodies.append(Fold("The whole volume, chest wall included", (_scores(whole, results.window_width),)))
    thirds = {name: _select(table, task, pace=key) for key, name in PACES.items()}
    if all(map(len, thirds.values())):
        bodies.append(Fold("Slow, middle and fast patients", (_paces(thirds),)))
    horizons = {
        f"Forecasts {name} after the scan that is carried forward:": _select(table, task, horizon=key)
        for key, name in HORIZONS.items()
    }
    others = {
        f"Set {name}:": _select(table, task, patients_of=name) for name in table["set"].unique() if name != "test"
    }
    bodies += _folded("By time since the last given scan", horizons, results.window_width)
    bodies += _folded("Patients of other sites, never trained on", others, results.window_width)
    return Reportlet(title, caption, tuple(bodies))


def _bands_reportlet(coverage: pd.DataFrame) -> Reportlet:
    """How often the bands held what was seen, and their width beside that of bands around the last scan."""
    rows = []
    for row in sorted(coverage.to_dict("records"), key=_test_first):
        name, digits = BANDS[row["measure"]]
        shares = (100 * row[key] for key in ("coverage", "coverage_low", "coverage_high"))
        numbers = (interval(*shares, 0), fixed(row["width"], digits), fixed(row["carried_width"], digits))
        rows.append((row["set"], name, str(row["visits"]), *numbers, fixed(100 * row["carried_coverage"], 0)))
    columns = (
        "Patients", "Measure", "Visits", "In the band, %", "Width", "Width around the last scan",
        "In the band around the last scan, %",
    )  # fmt: skip
    caption = (
        "Every visit but the first, forecast from all visits before it. A band promises to hold nine visits in ten; "
        "one that does and is narrower than the band around the last scan tells more than that scan."
    )
    table = Table(columns, tuple(rows), numeric=frozenset(range(2, len(columns))))
    return Reportlet("Do the 90 % bands hold what they promise?", caption, (table,))


def _test_first(row: dict[str, object]) -> tuple[bool, str, str]:
    return row["set"] != "test", row["set"], row["measure"]


def _folded(title: str, parts: dict[str, pd.DataFrame], width: float) -> list[Fold]:
    """Scores of several parts of the table, each below its words; nothing where no part has a row."""
    bodies = [body for words, rows in parts.items() if len(rows) for body in (Words((words,)), _scores(rows, width))]
    return [Fold(title, tuple(bodies))] if bodies else []


def _disease(part: pd.DataFrame) -> Table:
    """What the forecasts get right of the disease, one row a method; also against the truth where simulated."""
    by_measure = {measure: rows.set_index("method") for measure, rows in part.groupby("measure")}
    columns = {title: column for title, column in DISEASE.items() if column[0] in by_measure}
    methods = _order(part["method"].unique())
    rows = [
        (METHODS.get(method, method), *(_mean(by_measure, name, method, digits) for name, digits in columns.values()))
        for method in methods
    ]
    strong = frozenset(number for number, method in enumerate(methods) if method.startswith("model"))
    return Table(("Method", *columns), tuple(rows), numeric=frozenset(range(1, len(columns) + 1)), strong=strong)


def _paces(thirds: dict[str, pd.DataFrame]) -> Table:
    """Difference to the last scan, one row a method, one column a third of the patients."""
    errors = [part[part["measure"] == "mse"].set_index("method") for part in thirds.values()]
    methods = [method for method in _order(errors[0].index) if method != "locf"]
    rows = [
        (METHODS.get(method, method), *(_difference(part.loc[method], "locf") for part in errors)) for method in methods
    ]
    titles = [f"{name}: difference to last scan, MSE × 1000" for name in thirds]
    strong = frozenset(number for number, method in enumerate(methods) if method.startswith("model"))
    return Table(("Method", *titles), tuple(rows), numeric=frozenset(range(1, len(titles) + 1)), strong=strong)


def _chart(errors: pd.DataFrame, task: str) -> Charts:
    """Paired difference of every method to LOCF, with its interval."""
    rows = errors.set_index("method")
    parts = [f"locf_{part}" for part in ("difference", "low", "high")]
    bars = [
        Bar(METHODS.get(method, method), *(1000 * rows.loc[method, parts]), ours=method.startswith("model"))
        for method in _order(rows.index)
        if method != "locf" and not method.endswith("(oracle)")
    ]
    label = "squared error in the lung × 1000, difference to the last scan carried forward"
    drawn = interval_bars(bars, label, zero="← better      worse →")
    return Charts(((drawn, f"Difference of each method's error to the last scan carried forward, {task}"),))


def _scores(part: pd.DataFrame, width: float) -> Table:
    """One row a method: errors, similarity, and paired differences with intervals."""
    methods = _order(part["method"].unique())
    by_measure = {measure: rows.set_index("method") for measure, rows in part.groupby("measure")}
    rows, strong = [], set()
    for number, method in enumerate(methods):
        error = by_measure["mse"].loc[method]
        rows.append(
            (
                METHODS.get(method, method),
                _hu(error["mean"], width),
                fixed(1000 * error["mean"], 2),
                _difference(error, "locf") if method != "locf" else "reference",
                _difference(error, "blurred") if method != "locf_blurred" else "reference",
                _difference(error, "cohort") if method != "cohort_mean_change_smoothed" else "reference",
                _mean(by_measure, "psnr", method, 1),
                _mean(by_measure, "ssim", method, 3),
                _skill(by_measure, method),
            )
        )
        if method.startswith("model"):
            strong.add(number)
    columns = (
        "Method", "Error, HU (RMS)", "MSE × 1000", "Difference to last scan", "Difference to blurred last scan",
        "Difference to cohort's change", "PSNR, dB", "SSIM", "Skill on change, %",
    )  # fmt: skip
    return Table(columns, tuple(rows), numeric=frozenset(range(1, len(columns))), strong=frozenset(strong))


def _skill(by_measure: dict[str, pd.DataFrame], method: str) -> str:
    """Share of the smoothed change that a method forecasts: 0 for LOCF, 100 for a perfect forecast."""
    if "skill" not in by_measure or method == "locf" or method not in by_measure["skill"].index:
        return "0" if method == "locf" else fixed(None)
    row = by_measure["skill"].loc[method]
    return interval(100 * row["mean"], 100 * row["locf_low"], 100 * row["locf_high"], 0)


def _difference(row: pd.Series, reference: str) -> str:
    values = (1000 * row[f"{reference}_{part}"] for part in ("difference", "low", "high"))
    return interval(*values, decimals=2, sign=True)


def _mean(by_measure: dict[str, pd.DataFrame], measure: str, method: str, decimals: int) -> str:
    table = by_measure.get(measure)
    return fixed(table.loc[method, "mean"] if table is not None and method in table.index else None, decimals)


def _hu(mse: float, width: float) -> str:
    """Root of a mean square error on the unit scale, in HU."""
    return fixed(None if missing(mse) else float(mse) ** 0.5 * width, 0)


def _order(methods) -> list[str]:
    """Known methods in the order of METHODS, then any other."""
    present = list(methods)
    return [name for name in METHODS if name in present] + [name for name in present if name not in METHODS]


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
    for column, value in (("set", patients_of), ("horizon", horizon), ("region", region), ("pace", pace)):
        table = table[table[column] == value]
    return table[table["task"] == task]
