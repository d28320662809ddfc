"""Preparation of the scans: lung masks, registration, and every scan's numbers."""

import numpy as np
import pandas as pd

from lung4d.figures import views
from lung4d.figures.mosaic import css_width
from lung4d.figures.scans import flicker_pair, mask_mosaic, registration_figure
from lung4d.report.formatting import count, fixed, missing, whole
from lung4d.report.page import Flicker, Fold, Picture, Reportlet, Section, Table, Words
from lung4d.report.results import ReportedScan, Results, choose_patients, flagged_scans, visits_of

MOST_FLAGGED = 8  # scans shown because of a flag
# column of qc.tsv -> (title, decimals)
QUALITY = {
    "segment_volume_ml": ("Lung volume, ml", 0),
    "register_dice_before": ("Overlap before (Dice)", 3),
    "register_dice_after": ("Overlap after (Dice)", 3),
    "register_displacement_p50_mm": ("Half of the lung moved by, mm", 1),
    "register_displacement_p95_mm": ("95 % of the lung moved by less than, mm", 1),
    "register_inverse_consistency_mm": ("Inverse consistency, mm", 2),
    "register_log_jacobian_mean": ("Change of volume (log)", 3),
    "register_folded_percent": ("Folded, % of the lung", 2),
    "convert_slice_spacing_mm": ("Slice spacing, mm", 2),
}


def segmentation_section(results: Results) -> Section:
    reportlets = [_mask_pictures(results), *_flagged_pictures(results)]
    truth = results.tables.rows("segmentation")
    if truth is not None:
        rows = tuple((str(r.subject), str(r.session), fixed(r.dice, 3)) for r in truth.itertuples())
        caption = ""
        if found := results.evaluation.masks:
            mean, lowest = fixed(found.mean, 3), fixed(found.lowest, 3)
            caption = f"Mean Dice {mean}, lowest {lowest}, over {count(found.scans, 'scan')}; 1 is perfect."
        table = Table(("Patient", "Visit", "Dice"), rows, numeric=frozenset({2}))
        reportlets.append(Reportlet("Against the simulated truth", caption, (Fold("Every scan", (table,)),)))
    lead = "Everything that follows looks inside the lungs only, so a mask that loses diseased lung loses the disease."
    return Section("segmentation", "Lung masks", lead, tuple(reportlets))


def _mask_pictures(results: Results) -> Reportlet:
    bodies = []
    for subject in choose_patients(results.tables.split, results.shown):
        rows = _mask_rows(results, _scans_of(results, subject))
        if rows:
            alt = f"Lung masks of patient {subject}, {count(len(rows), 'visit')}, outlined in yellow on the CT"
            png = mask_mosaic(rows)
            bodies.append(Picture(png, alt, css_width(png)))
    caption = (
        "The yellow line is the border of the lung mask. It should follow the pleura, keep diseased lung inside and "
        "leave windpipe, main bronchi and bowel gas outside."
    )
    return Reportlet("Masks on the scans", caption, tuple(bodies) or (Words(("There is no mask to show.",)),))


def _flagged_pictures(results: Results) -> list[Reportlet]:
    """Masks of the flagged scans that are not shown anyway, so that a person can decide about them; a picture does not
    show that a scan was taken otherwise than its baseline."""
    shown = choose_patients(results.tables.split, results.shown)
    marked = [scan for scan in flagged_scans(results.tables.qc) if scan.flags and scan.subject not in shown]
    scans = [(scan.subject, scan.session) for scan in marked]
    rows = _mask_rows(results, scans[:MOST_FLAGGED])
    if not rows:
        return []
    caption = "The flags are listed under Attention."
    if len(scans) > MOST_FLAGGED:
        caption += f" The first {MOST_FLAGGED} of {len(scans)} are shown."
    png = mask_mosaic(rows)
    alt = f"Lung masks of {count(len(rows), 'flagged scan')}, outlined in yellow on the CT"
    return [Reportlet("Masks of flagged scans", caption, (Picture(png, alt, css_width(png)),))]


def _mask_rows(results: Results, scans: list[ReportedScan]) -> list[tuple[str, np.ndarray, np.ndarray, views.Spacing]]:
    """Name, HU, mask and spacing of those of the scans that have both files, on a view around their lungs."""
    images, rows = results.images, []
    for scan in scans:
        if scan in images.cts and scan in images.lung_masks:
            ct, mask = views.read(images.cts[scan]), views.read(images.lung_masks[scan])
            view = views.view_of(ct, mask)
            name = f"{scan[0]}\nvisit {scan[1]}"
            rows.append((name, views.on_view(ct, view), views.on_view(mask, view, mask=True), view.zyx_spacing))
    return rows


def registration_section(results: Results) -> Section:
    reportlets = [*_pair_reportlets(results), *_truth_reportlets(results), _quality_reportlet(results)]
    lead = (
        "Every follow-up is brought onto the patient's baseline, so that what differs afterwards is disease and not "
        "breath or posture."
    )
    return Section("registration", "Registration", lead, tuple(reportlets))


def _pair_reportlets(results: Results) -> list[Reportlet]:
    pairs = pairs_to_show(results)
    if not pairs:
        words = Words(("No patient has a registered follow-up scan to show.",))
        return [Reportlet("Before and after", "", (words,))]
    caption = (
        "Baseline in blue, follow-up in yellow: what coincides is grey. After registration no coloured fringe should "
        "be left along the pleura, the diaphragm and the vessels; colour inside the lung that stays is change of "
        "density. Below: rest the pointer on the picture (or tap it) and baseline and registered follow-up alternate; "
        "vessels must stand still."
    )
    bodies = []
    for baseline, scan, why in pairs:
        images = results.images
        fixed_ct, mask = views.read(images.cts[baseline]), views.read(images.lung_masks[baseline])
        view = views.view_of(fixed_ct, mask)
        still, lung = views.on_view(fixed_ct, view), views.on_view(mask, view, mask=True)
        before, after = (views.on_view(views.read(files[scan]), view) for files in (images.cts, images.warped))
        told = f"Patient {scan[0]}, visit {scan[1]} onto visit {baseline[1]}{why}"
        picture = registration_figure(still, before, after, lung, view.zyx_spacing)
        first, second = flicker_pair(still, after, lung, view.zyx_spacing)
        bodies += [
            Words((told + ".",)),
            Picture(picture, f"{told}: overlays before and after registration", css_width(picture)),
            Flicker(first, second, ("baseline", "registered follow-up"), told, css_width(first)),
        ]
    return [Reportlet("Before and after", caption, tuple(bodies))]


def pairs_to_show(results: Results) -> list[tuple[ReportedScan, ReportedScan, str]]:
    """(baseline, follow-up, remark): the last follow-up of every shown patient, and the poorest overlap of all."""
    images = results.images
    visits = visits_of(results.tables.split)

    def pair(subject: str, session: str) -> tuple[ReportedScan, ReportedScan] | None:
        baseline, scan = (subject, visits[subject][0][0]), (subject, session)
        there = (
            baseline in images.cts and baseline in images.lung_masks and scan in images.cts and scan in images.warped
        )
        return (baseline, scan) if there and baseline != scan else None

    chosen = []
    for subject in choose_patients(results.tables.split, results.shown):
        found = pair(subject, visits[subject][-1][0])
        if found:
            chosen.append((*found, ""))
    worst = results.quality.poorest
    if worst and worst not in [scan for _, scan, _ in chosen]:
        found = pair(*worst)
        if found:
            chosen.append((*found, ", the poorest overlap of the cohort"))
    return chosen


def _truth_reportlets(results: Results) -> list[Reportlet]:
    truth = results.tables.rows("registration")
    if truth is None:
        return []
    columns = (
        "Patient", "Visit", "Before, mean mm", "Before, 95th percentile mm", "After, mean mm", "After, median mm",
        "After, 95th percentile mm",
    )  # fmt: skip
    keys = ("before_mean", "before_p95", "after_mean", "after_median", "after_p95")
    rows = tuple(
        (str(r["subject"]), str(r["session"]), *(fixed(r[key], 2) for key in keys)) for r in truth.to_dict("records")
    )
    caption = ""
    if found := results.evaluation.fields:
        caption = (
            f"Distance between where points of the lung truly went and where registration puts them, "
            f"{count(found.scans, 'follow-up scan')}: {fixed(found.before, 2)} mm before, "
            f"{fixed(found.after, 2)} mm after on average; the worst scan is left with {fixed(found.worst, 2)} mm."
        )
    body = Fold("Every follow-up", (Table(columns, rows, numeric=frozenset(range(2, 7))),))
    return [Reportlet("Against the simulated truth", caption, (body,))]


def _quality_reportlet(results: Results) -> Reportlet:
    """Medians and extremes over the cohort, and every scan folded away."""
    title = "Quality numbers"
    qc = results.tables.rows("qc")
    columns = [c for c in QUALITY if qc is not None and c in qc and qc[c].notna().any()]
    if qc is None or not columns:
        return Reportlet(title, "", (Words(("There are no quality numbers.",)),))
    numbers = qc[columns].apply(pd.to_numeric, errors="coerce")
    spreads = []
    for found in results.quality.spreads:
        name, decimals = QUALITY[found.measure]
        values = (fixed(value, decimals) for value in (found.lowest, found.median, found.highest))
        spreads.append((name, *values, whole(found.scans)))
    every = tuple(
        (str(row["subject"]), str(row["session"]), "yes" if row["ok"] else "no",
         *(fixed(None if missing(n) else n, QUALITY[c][1]) for c, n in zip(columns, values, strict=True)))
        for row, values in zip(qc.to_dict("records"), numbers.to_numpy(), strict=True)
    )  # fmt: skip
    heads = ("Patient", "Visit", "Usable", *(QUALITY[column][0] for column in columns))
    table = Table(heads, every, numeric=frozenset(range(3, len(heads))))
    summary = Table(
        ("Measure", "Lowest", "Median", "Highest", "Scans"), tuple(spreads), numeric=frozenset({1, 2, 3, 4})
    )
    caption = "Registration numbers are those of follow-up scans; a baseline lies on itself."
    return Reportlet(title, caption, (summary, Fold("Every scan", (table,))))


def _scans_of(results: Results, subject: str) -> list[ReportedScan]:
    return [(subject, session) for session, _ in visits_of(results.tables.split).get(subject, [])]
