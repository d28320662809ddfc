"""What a clinician reads off the lung, scan by scan: measured on real scans and on generated ones."""

from collections.abc import Iterable

from lung4d.figures.readouts import readout_curves
from lung4d.report.chapters.trajectories import generated_table
from lung4d.report.folder_map import place
from lung4d.report.formatting import listing
from lung4d.report.page import Charts, Reportlet, Section, Words
from lung4d.report.results import Results, choose_patients, flagged_scans
from lung4d.trajectories.strips import forecast_to_show


def section(results: Results) -> Section:
    lead = (
        "Density of the lung over the years. High attenuation is the share of the lung from −600 to −250 HU; as "
        "fibrosis grows, mean density and high attenuation rise while skewness and kurtosis fall."
    )
    table = results.tables.rows("readouts")
    given = _given(results)
    if table is None or not given:
        words = Words(("No scan was generated, so there is nothing to compare.",), tone="note")
        return Section("readouts", "Clinical read-outs", lead, (Reportlet("", "", (words,)),))
    caption = (
        "Look at the open circles: scans that came, and that the model was not shown. The nearer the line, the better "
        "the forecast; it passes near the full circles, which were given. Nine of ten should lie in the shaded band, "
        "which comes from what the model got wrong of patients that it had not seen. Density and histogram are those "
        "in the baseline's lung, after registration. The lung volume is that of each real scan as it was taken; a "
        "generated scan lies in the baseline's lung and has no volume of its own. All patients: "
        f"{place('biomarkers/readouts.tsv')}."
    )
    alt = f"Five measures of the lung over the years for the patients {', '.join(given)}, real and generated"
    chart = readout_curves(table, given)
    bodies = (Charts(((chart, alt),)), *_taken_otherwise(results, given))
    return Section("readouts", "Clinical read-outs", lead, (Reportlet("Real and generated", caption, bodies),))


def _taken_otherwise(results: Results, shown: Iterable[str]) -> list[Words]:
    """Those of the circles that are not comparable with the patient's first one."""
    others = [scan for scan in flagged_scans(results.tables.qc) if scan.otherwise and scan.subject in shown]
    said = listing([f"{scan.subject} visit {scan.session} ({scan.differs_in})" for scan in others])
    return [Words((f"Taken otherwise than the patient's baseline: {said}.",), tone="note")] if others else []


def _given(results: Results) -> dict[str, list[str]]:
    """The given sessions of the forecast that is shown, by patient."""
    found = {}
    for subject in choose_patients(results.tables.split, results.shown):
        table = generated_table(results.images.generated.get(subject), subject)
        if len(table):
            found[subject] = forecast_to_show(table)[0]
    return found
