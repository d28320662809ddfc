"""What the autoencoder keeps of a scan, how its training went, and which of its codes are in use."""

import numpy as np

from lung4d.figures.mosaic import css_width
from lung4d.figures.scans import reconstruction_figure
from lung4d.figures.slices import voxel_spacing
from lung4d.io.volumes import open_mask, open_volume, read_affine
from lung4d.report.chapters.training import training_reportlet
from lung4d.report.formatting import count, fixed, whole
from lung4d.report.page import Picture, Reportlet, Section, Table, Words
from lung4d.report.results import Results, choose_patients, visits_of

REGIONS = {"lung": "lung", "whole": "whole volume"}
SETS = {"train": "training", "val": "validation", "test": "test", "external": "external"}


def section(results: Results) -> Section:
    codes = results.setting("train_vqgan", "codes", "so many")
    lead = (
        f"Each scan is written as a grid of codes out of {codes}, and drawn again from them. What is lost here cannot "
        "come "
        "back in a forecast."
    )
    reportlets = (
        _pictures(results),
        _scores(results),
        _codes(results),
        training_reportlet(results.tables.vqgan_history, "Training of the autoencoder"),
    )
    return Section("reconstruction", "Reconstruction", lead, reportlets)


def _pictures(results: Results) -> Reportlet:
    images, rows = results.images, []
    visits = visits_of(results.tables.split)
    for subject in choose_patients(results.tables.split, results.shown):
        scan = next(
            ((subject, s) for s, _ in reversed(visits[subject]) if (subject, s) in images.reconstructions), None
        )
        if scan is None or scan not in images.volumes or scan not in images.masks:
            continue
        real, mask = np.asarray(open_volume(images.volumes[scan])), open_mask(images.masks[scan])
        again = np.asarray(open_volume(images.reconstructions[scan]))
        spacing = voxel_spacing(read_affine(images.volumes[scan]))
        rows.append((f"{subject}\nvisit {scan[1]}", real, again, mask, spacing))
    title = "Input, reconstruction, difference"
    if not rows:
        return Reportlet(title, "", (Words(("There is no reconstruction to show.",)),))
    caption = (
        "Look for fine reticulation and small vessels: they fade first. The difference should look like noise and "
        "follow no anatomy; colour is drawn inside the lungs."
    )
    alt = f"Input, reconstruction and difference of {count(len(rows), 'scan')}, axial and coronal"
    png = reconstruction_figure(rows)
    return Reportlet(title, caption, (Picture(png, alt, css_width(png)),))


def _scores(results: Results) -> Reportlet:
    title = "Error of reconstruction"
    rows = []
    for one in results.evaluation.reconstructed:
        values = (results.hu_of(one.mse), fixed(1000 * one.mse, 2), fixed(one.psnr, 1), fixed(one.ssim, 3))
        rows.append((SETS.get(one.split, one.split), REGIONS.get(one.region, one.region), *values, whole(one.scans)))
    if not rows:
        return Reportlet(title, "", (Words(("No scan was held out, so nothing was scored.",)),))
    columns = ("Patients", "Region", "Error, HU (RMS)", "MSE × 1000", "PSNR, dB", "SSIM", "Scans")
    caption = "Means over scans that the autoencoder was not trained on."
    return Reportlet(title, caption, (Table(columns, tuple(rows), numeric=frozenset({2, 3, 4, 5, 6})),))


def _codes(results: Results) -> Reportlet:
    title = "Use of the codes"
    rows = []
    for one in results.evaluation.codes:
        share = fixed(100 * one.used / one.codes, 0)
        rows.append(
            (SETS.get(one.split, one.split), whole(one.used), whole(one.codes), share, fixed(one.perplexity, 1))
        )
    if not rows:
        return Reportlet(title, "", (Words(("No scan was held out, so no use of codes was counted.",)),))
    columns = ("Patients", "Codes used", "Of", "Used, %", "Perplexity")
    caption = (
        "A code counts as used where it fills at least 1 in 10,000 places in held-out lungs. Perplexity is how many "
        "codes there would be if all in use were equally common; a low one means that the codebook has collapsed."
    )
    return Reportlet(title, caption, (Table(columns, tuple(rows), numeric=frozenset({1, 2, 3, 4})),))
