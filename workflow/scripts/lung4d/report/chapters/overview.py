"""The head of the report: what was run, what came of it in plain words, and what needs a person's attention."""

import pandas as pd

from lung4d.register.acquisition import count_kinds
from lung4d.report.chapters.forecasting import headline as forecast_headline
from lung4d.report.chapters.survival import headline as survival_headline
from lung4d.report.formatting import count, fixed, listing, missing, whole
from lung4d.report.page import Finding, Findings, Fold, Reportlet, Section, Table, Words
from lung4d.report.results import FlaggedScan, Results, flagged_scans, visits_of

STAGE_WORDS = {
    "convert": "reading the scan",
    "segment": "finding the lungs",
    "register": "aligning it to the baseline",
    "resample": "resampling",
    "split": "comparing it with the other scans",
}
SETS = {"train": "training", "val": "validation", "test": "test", "external": "external"}


def facts(results: Results) -> tuple[tuple[str, str], ...]:
    """(number, what) of the page's head."""
    qc, split = results.tables.qc, results.tables.split
    visits = visits_of(split)
    scans = len(qc) if qc is not None else sum(map(len, visits.values()))
    patients = qc["subject"].nunique() if qc is not None else len(visits)
    usable = sum(map(len, visits.values()))
    known = [row for row in results.participants if not missing(row.get("event"))]
    series = sum(len(sessions) >= 2 for sessions in visits.values())
    said = [
        _fact(patients, "patient"),
        _fact(scans, "scan"),
        _fact(usable, "usable scan"),
        _fact(series, "patient with two visits or more", "patients with two visits or more"),
    ]
    if split is not None and len(split):
        sets = split.drop_duplicates("subject")["split"].value_counts()
        said += [_fact(sets[name], f"{word} patient") for name, word in SETS.items() if name in sets]
    events = _fact(sum(int(row["event"]) for row in known), "event") if known else ("none", "events known")
    return (*said, events)


def _fact(number: int, noun: str, plural: str = "") -> tuple[str, str]:
    return whole(number), noun if number == 1 else plural or noun + "s"


def summary_section(results: Results) -> Section:
    """What worked, what could not be done, and the headline results."""
    items = [_scans_words(results), *_truth_words(results), _reconstruction_words(results)]
    items += forecast_headline(results)
    items.append(survival_headline(results))
    lead = "Square brackets hold 95 % intervals. Where an interval includes “no difference”, none has been shown."
    return Section("summary", "In short", lead, (Reportlet("", "", (Findings(tuple(items)),)),))


def _scans_words(results: Results) -> Finding:
    visits = visits_of(results.tables.split)
    usable, lost = sum(map(len, visits.values())), len(unusable_scans(results))
    if not usable:
        return Finding("Scans", "No scan could be used, so nothing after their preparation was done.", done=False)
    went = f"{count(usable, 'scan')} of {count(len(visits), 'patient')} went through segmentation, registration and "
    end = f"{count(lost, 'scan')} could not be used and can be found below." if lost else "None was lost."
    if others := _otherwise(results):
        counts = count_kinds(scan.differs_in for scan in others)
        kinds = ", ".join(f"{kind} {number}" for kind, number in counts.items())
        end += f" {count(len(others), 'follow-up')} taken otherwise than the baseline ({kinds}): see Attention."
    return Finding("Scans", f"{went}resampling. {end}")


def _truth_words(results: Results) -> list[Finding]:
    items = []
    if masks := results.evaluation.masks:
        words = (
            f"They agree with the simulated truth with a mean Dice of {fixed(masks.mean, 3)} (lowest "
            f"{fixed(masks.lowest, 3)}, {count(masks.scans, 'scan')}; 1 is perfect)."
        )
        items.append(Finding("Lung masks", words))
    if fields := results.evaluation.fields:
        words = (
            f"It brings the mean error of known points from {fixed(fields.before, 1)} mm to {fixed(fields.after, 1)} "
            f"mm ({count(fields.scans, 'follow-up scan')})."
        )
        items.append(Finding("Registration", words))
    return items


def _reconstruction_words(results: Results) -> Finding:
    """The autoencoder's error in the lungs of the test scans, as HU; the best held-out set where there is no test."""
    lung = {found.split: found for found in results.evaluation.reconstructed if found.region == "lung"}
    found = next((lung[split] for split in ("test", "val", "external") if split in lung), None)
    if found is None:
        return Finding("Autoencoder", "It was not scored, because no scan was held out.", done=False)
    sentence = (
        f"Compressed to codes and drawn again, the {count(found.scans, f'{SETS[found.split]} scan')} differ from the "
        f"originals by {results.hu_of(found.mse)} HU in the lung (root mean square). No forecast through the codes "
        "alone can be finer."
    )
    return Finding("Autoencoder", sentence)


def attention_section(results: Results) -> Section:
    """Every scan that could not be used, every flagged one, every one taken otherwise, every patient with one visit."""
    reportlets = [_unusable(results), _flagged(results), *_taken_otherwise(results), _single_visits(results)]
    if results.notices:
        reportlets.append(Reportlet("What your tables leave open", "", (Words(tuple(results.notices)),)))
    if results.excluded:
        rows = tuple((str(r["subject"]), str(r["session"]), str(r.get("reason") or "")) for r in results.excluded)
        body = Table(("Patient", "Visit", "Reason given"), rows)
        caption = "By the column “exclude” of scans.tsv, or by qc.tsv."
        reportlets.append(Reportlet("Scans left out by your tables", caption, (body,)))
    return Section(
        "attention", "Attention", "What a person should look at before using the results.", tuple(reportlets)
    )


def unusable_scans(results: Results) -> list[tuple[str, str, str, str]]:
    """(subject, session, stage, reason) of the table of unusable scans and of the quality table, each scan once."""
    qc = _rows(results.tables.qc)
    failed = qc[~qc["ok"].astype(bool)] if len(qc) else qc
    rows = [row for table in (_rows(results.tables.unusable), failed) for row in table.itertuples()]
    found = {(str(row.subject), str(row.session)): (str(row.stage), str(row.reason)) for row in reversed(rows)}
    return [(*scan, *found[scan]) for scan in sorted(found)]


def _unusable(results: Results) -> Reportlet:
    scans = unusable_scans(results)
    if not scans:
        return Reportlet("Scans that could not be used", "", (Words(("None: every scan went through.",)),))
    rows = tuple((subject, session, STAGE_WORDS.get(stage, stage), reason) for subject, session, stage, reason in scans)
    caption = f"{count(len(rows), 'scan')} stopped at the step named here; the other scans of the patient went on."
    return Reportlet(
        "Scans that could not be used", caption, (Table(("Patient", "Visit", "Stopped at", "Reason"), rows),)
    )


def _flagged(results: Results) -> Reportlet:
    rows = tuple((scan.subject, scan.session, scan.flags) for scan in _usable_flagged(results) if scan.flags)
    if not rows:
        return Reportlet("Flagged scans", "", (Words(("No scan was flagged.",)),))
    caption = (
        f"{count(len(rows), 'scan')} went through all the same. Look at the pictures; a row in config/qc.tsv (subject, "
        "session, reason) leaves a scan out of the next run."
    )
    body = Table(("Patient", "Visit", "Why"), rows)
    # a flag on many scans is a matter of the cohort, not of a scan: it must not push the report out of sight
    bodies = (body,) if len(rows) <= 15 else (Fold(f"All {len(rows)} flagged scans", (body,)),)
    return Reportlet("Flagged scans", caption, bodies)


def _taken_otherwise(results: Results) -> list[Reportlet]:
    """How many follow-ups were taken otherwise than their baseline, and in what; each of them folded away."""
    scans = _otherwise(results)
    if not scans:
        return []
    caption = (
        "Pose, breath, kernel, slice thickness and contrast medium change a lung's density or shape as disease does, "
        "and registration does not undo it: what changed at these visits is not disease alone."
    )
    counts = count_kinds(scan.differs_in for scan in scans)
    kinds = Table(
        ("Otherwise than at the baseline", "Follow-ups"),
        tuple((kind.capitalize(), str(number)) for kind, number in counts.items()),
        numeric=frozenset({1}),
    )
    every = Table(("Patient", "Visit", "How"), tuple((scan.subject, scan.session, scan.otherwise) for scan in scans))
    bodies = (kinds, Fold(f"{count(len(scans), 'follow-up')}, one by one", (every,)))
    return [Reportlet("Follow-ups taken otherwise than their baseline", caption, bodies)]


def _otherwise(results: Results) -> list[FlaggedScan]:
    return [scan for scan in _usable_flagged(results) if scan.otherwise]


def _usable_flagged(results: Results) -> list[FlaggedScan]:
    table = _rows(results.tables.qc)
    return flagged_scans(table[table["ok"].astype(bool)]) if len(table) else []


def _single_visits(results: Results) -> Reportlet:
    visits = visits_of(results.tables.split)
    single = [subject for subject, sessions in visits.items() if len(sessions) == 1]
    lost = sorted({str(s) for s in _rows(results.tables.qc).get("subject", [])}.difference(visits))
    words = []
    if single:
        words.append(
            f"{count(len(single), 'patient has', 'patients have')} one usable visit: {listing(single)}. They help to "
            "train the autoencoder; without a second visit no change can be learnt or scored from them."
        )
    if lost:
        words.append(f"{count(len(lost), 'patient has', 'patients have')} no usable scan at all: {listing(lost)}.")
    return Reportlet("Patients with one visit or none", "", (Words(tuple(words or ["None."])),))


def _rows(table: pd.DataFrame | None) -> pd.DataFrame:
    return table if table is not None else pd.DataFrame()
