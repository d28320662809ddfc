"""Does the appearance of real and generated scans carry prognosis? C-indices, Kaplan-Meier, chosen codes."""

import math

import pandas as pd

from lung4d.figures.charts import kaplan_meier_chart
from lung4d.report.formatting import count, fixed, interval, listing, missing, p_value, whole
from lung4d.report.page import Charts, Finding, Fold, Reportlet, Section, Table, Words
from lung4d.report.results import Results

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


def headline(results: Results) -> list[Finding]:
    """The codes' C-index on held-out patients beside the covariates', or why there is none."""
    table = results.tables.rows("cindex")
    if table is None:
        return [Finding("Survival", "There are no outcomes.", done=False)]
    for analysis in ("third scan", "first scan"):
        rows = table[(table["analysis"] == analysis) & (table["set"] == "test") & table["c_index"].notna()]
        if (rows["model"] == "codes").any():
            return [Finding("Survival", _headline_words(analysis, rows))]
    reason = _first_reason(table[table["model"] == "codes"]) or _first_reason(table)
    return [Finding("Survival", f"There is no C-index for the codes: {reason or 'no held-out patient'}.", done=False)]


def _headline_words(analysis: str, rows: pd.DataFrame) -> str:
    codes, covariates = rows[rows["model"] == "codes"], rows[rows["model"] == "covariates only"]
    parts = [f"{_cindex_words(row)} on the {_seen_on(row['scan'], analysis)}" for row in codes.to_dict("records")]
    parts += [f"{_cindex_words(row)} for the covariates alone" for row in covariates.to_dict("records")]
    first = codes.iloc[0]
    words = (
        f"In {count(first['patients'], 'held-out patient')} with {count(first['events'], 'event')}, the codes' C-index "
        f"is {listing(parts)}."
    )
    if missing(first["c_low"]) or first["c_low"] <= 0.5 <= first["c_high"]:
        words += " An interval that includes 0.5 has shown no order at all."
    return words


def _cindex_words(row: dict) -> str:
    return interval(row["c_index"], row["c_low"], row["c_high"])


def _seen_on(scan: str, analysis: str) -> str:
    words = SCANS.get(scan, str(scan))
    return words.replace("scan", analysis, 1) if scan in ("real", "generated") else words


def _first_reason(table: pd.DataFrame | None) -> str:
    if table is None:
        return ""
    reasons = [str(reason) for reason in table["reason"] if not missing(reason) and str(reason)]
    return reasons[0].rstrip(".") if reasons else ""


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
        scored = _cindex_words(row)
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
        drawn = kaplan_meier_chart(named, risk_times(float(steps["time"].max())), title=what[:1].upper() + what[1:])
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


def risk_times(last: float) -> list[float]:
    """About five round times from 0 to `last` (years) at which numbers at risk are printed."""
    step = next((s for s in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0) if last / s <= 6), 20.0)
    return [step * i for i in range(math.floor(last / step + 1e-9) + 1)]


def _selection(results: Results) -> Reportlet:
    title = "Codes chosen as biomarkers"
    table = results.tables.rows("selection")
    chosen = table[table["selected"].astype(str).str.lower() == "true"] if table is not None else pd.DataFrame()
    if chosen.empty:
        words = "No code was chosen. " + next(
            (s for s in results.survival_words.get("sentences") or [] if s.startswith("No code")), ""
        )
        return Reportlet(title, "", (Words((words.strip(),)),))
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
    judged = int(table["p"].notna().sum())
    caption = (
        f"The best of {count(judged, 'code')} by p value. A q well below 0.05 and a high share of resamples speak for "
        "a "
        "finding; without them the choice is mostly chance."
    )
    return Reportlet(title, caption, (Table(columns, rows, numeric=frozenset(range(1, 7))),))


def _own_words(results: Results) -> Reportlet | None:
    said = list(results.survival_words.get("sentences") or [])
    if results.survival_words.get("method"):
        said.append(str(results.survival_words["method"]))
    if not said:
        return None
    caption = "What the survival step itself wrote down, who was left out and why."
    return Reportlet("In the analysis's own words", caption, (Fold("Show all", (Words(tuple(said)),)),))
