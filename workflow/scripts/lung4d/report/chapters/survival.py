"""Does the appearance of real and generated scans carry prognosis? C-indices, Kaplan-Meier, chosen codes."""

import pandas as pd

from lung4d.figures.charts import kaplan_meier_chart, risk_times
from lung4d.report.formatting import count, fixed, interval, listing, missing, p_value, whole
from lung4d.report.page import Charts, Finding, Fold, Reportlet, Section, Table, Words
from lung4d.report.results import Results
from lung4d.survival.records import Headline, ModelScore
from lung4d.survival.wording import selection_words, sentences

SCANS = {
    "real": "real scan",
    "generated": "generated scan",
    "carried_forward": "last scan carried forward",
    "none": "no scan",
}
ANALYSES = {
    "first scan": "The first scan; the clock starts there",
    "third scan": "The third scan, real against generated from the first two; the same clock for both",
    "one-year change": "Change per year from the second to the third scan; the clock starts at the third",
}


def section(results: Results) -> Section:
    reportlets = (_cindex(results), _curves(results), _selection(results), _own_words(results))
    lead = (
        "Codes are chosen and models fitted on training and validation patients only, then scored once on held-out "
        "ones. A C-index of 0.5 is a coin toss, 1 a perfect order of deaths."
    )
    return Section("survival", "Survival", lead, tuple(r for r in reportlets if r is not None))


def headline(results: Results) -> Finding:
    """The codes' C-index on held-out patients beside the covariates', or why there is none."""
    found = results.prognosis
    if found.headline:
        return Finding("Survival", _headline_words(found.headline))
    if not found.unscored:
        return Finding("Survival", "There are no outcomes.", done=False)
    # the codes' own reason before that of another model
    reason = next((one.reason for one in found.unscored if one.model == "codes"), found.unscored[0].reason)
    return Finding("Survival", f"There is no C-index for the codes: {reason.rstrip('.')}.", done=False)


def _headline_words(found: Headline) -> str:
    words = (
        f"In {count(found.patients, 'held-out patient')} with {count(found.events, 'event')}, the codes' C-index "
        f"is {listing([_score_words(one, found.analysis) for one in found.scores])}."
    )
    return words if found.ordered else words + " An interval that includes 0.5 has shown no order at all."


def _score_words(found: ModelScore, analysis: str) -> str:
    said = interval(found.c_index, found.low, found.high)
    if found.model != "codes":
        return f"{said} for the covariates alone"
    words = SCANS.get(found.scan, found.scan)
    return f"{said} on the {words.replace('scan', analysis, 1) if found.scan in ('real', 'generated') else words}"


def _cindex(results: Results) -> Reportlet:
    title = "Concordance with survival"
    table = results.tables.rows("cindex")
    if table is None:
        return Reportlet(title, "", (Words(("There is no C-index: no outcomes were given.",), tone="note"),))
    bodies = []
    for analysis, part in table.groupby("analysis", sort=False):
        bodies += [Words((ANALYSES.get(analysis, str(analysis)) + ".",)), _scores(part)]
    bodies.append(Fold("How the models were fitted", (_fits(table),)))
    caption = (
        "Compare with “covariates only”: a model that is no better than age, sex and smoking gains nothing from the "
        "scan."
    )
    return Reportlet(title, caption, tuple(bodies))


def _scores(part: pd.DataFrame) -> Table:
    """C-indices of held-out patients, one row a model and kind of scan."""
    rows, strong = [], set()
    for number, row in enumerate(part.to_dict("records")):
        remark = " ".join(str(row[key]) for key in ("reason", "note") if not missing(row.get(key)) and row[key])
        scored = interval(row["c_index"], row["c_low"], row["c_high"])
        change = interval(row["difference_to_real"], row["difference_low"], row["difference_high"], sign=True)
        seen = SCANS.get(row["scan"], str(row["scan"])) + (", external" if row["set"] == "external" else "")
        scored = "not possible" if missing(row["c_index"]) else scored
        rows.append((str(row["model"]), seen, scored, change, whole(row["patients"]), whole(row["events"]), remark))
        if row["model"] == "codes":
            strong.add(number)
    columns = ("Model", "Seen on", "C-index, 95 % interval", "Difference to real scan", "Patients", "Events", "Remark")
    return Table(columns, tuple(rows), numeric=frozenset(range(2, 6)), strong=frozenset(strong))


def _fits(table: pd.DataFrame) -> Table:
    """What every model was fitted on, and its C-index there, which is too good by nature."""
    rows = [
        (
            str(row["analysis"]),
            str(row["model"]),
            whole(row["training_patients"]),
            whole(row["training_events"]),
            fixed(row["events_per_variable"], 1),
            fixed(row["apparent_c_in_sample"]),
            fixed(row["optimism_corrected_c"]),
        )
        for row in table.drop_duplicates(["analysis", "model"]).to_dict("records")
    ]
    columns = (
        "Analysis", "Model", "Fitted on patients", "with events", "Events per variable",
        "C-index in the fitted patients", "Corrected for optimism",
    )  # fmt: skip
    return Table(columns, tuple(rows), numeric=frozenset(range(2, 7)))


def _curves(results: Results) -> Reportlet:
    title = "Survival by risk group"
    table = results.tables.rows("kaplan_meier")
    chosen = [] if table is None else _curves_to_show(table)
    if not chosen:
        words = "No held-out patients with an outcome and a predicted risk, so there are no curves."
        return Reportlet(title, "", (Words((words,), tone="note"),))
    charts, tests = [], []
    for (analysis, scan), steps in chosen:
        groups = {"low": "lower risk", "high": "higher risk"}
        named = steps.assign(group=steps["group"].map(groups).fillna(steps["group"]))
        what = f"{analysis}, {SCANS.get(scan, scan)}"
        drawn = kaplan_meier_chart(named, risk_times(max(steps["time"])), title=what[:1].upper() + what[1:])
        charts.append((drawn, f"Kaplan-Meier curves by predicted risk: {what}"))
        tests.append(f"{what}: {_logrank(steps)}")
    caption = (
        "Held-out patients, divided at the median risk of the patients the model was fitted on. Bands are 95 % "
        "intervals; where they overlap widely the groups have not been told apart. Log-rank test: "
        + "; ".join(tests)
        + "."
    )
    return Reportlet(title, caption, (Charts(tuple(charts)),))


def _curves_to_show(table: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """The codes' curves of held-out patients: the third scan, real and generated, else the first scan."""
    codes = table[(table["model"] == "codes") & (table["set"] == "test")]
    for analysis, scans in (("third scan", ("real", "generated")), ("first scan", ("real",))):
        found = [
            ((analysis, scan), steps)
            for scan in scans
            if len(steps := codes[(codes["analysis"] == analysis) & (codes["scan"] == scan)]) > 1
        ]
        if found:
            return found
    return []


def _logrank(steps: pd.DataFrame) -> str:
    p = steps["logrank_p"].iloc[0]
    return "not possible with one group or no death" if missing(p) else f"p {p_value(p)}".replace("p 0", "p = 0")


def _selection(results: Results) -> Reportlet:
    title = "Codes chosen as biomarkers"
    table = results.tables.rows("selection")
    chosen = table[table["selected"].astype(str).str.lower() == "true"] if table is not None else pd.DataFrame()
    if table is None or chosen.empty:
        found = results.prognosis.selection
        words = "No code was chosen." + (f" {selection_words(found)}" if found else "")
        return Reportlet(title, "", (Words((words,)),))
    rows = tuple(
        (
            str(row["code"]).removeprefix("code_"),
            fixed(row["hazard_ratio"]),
            p_value(row["p"]),
            p_value(row["q"]),
            fixed(None if missing(row.get("stability")) else 100 * row["stability"], 0),
            fixed(100 * row["mean_frequency"], 2),
            whole(row["present_in"]),
        )
        for row in chosen.to_dict("records")
    )
    columns = (
        "Code", "Hazard ratio per standard deviation", "p", "q (false discovery rate)", "Chosen again in resamples, %",
        "Mean share of the lung, %", "Occurs in patients",
    )  # fmt: skip
    tested = found.tested if (found := results.prognosis.selection) else len(table)
    caption = (
        f"The best of {count(tested, 'code')} by p value. A q well below 0.05 and a high share of resamples speak for "
        "a finding; without them the choice is mostly chance."
    )
    return Reportlet(title, caption, (Table(columns, rows, numeric=frozenset(range(1, 7))),))


def _own_words(results: Results) -> Reportlet | None:
    said = sentences(results.prognosis)
    if results.prognosis_method:
        said.append(results.prognosis_method)
    if not said:
        return None
    caption = "What the survival step itself wrote down, who was left out and why."
    return Reportlet("In the analysis's own words", caption, (Fold("Show all", (Words(tuple(said)),)),))
