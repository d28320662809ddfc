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
    table = results.tables.rows("reconstruction")
    if table is None:
        return Reportlet(title, "", (Words(("No scan was held out, so nothing was scored.",)),))
    rows = []
    for (split, region), part in table.groupby(["split", "region"], sort=True):
        means = part[["mse", "psnr", "ssim"]].astype(float).mean()
        error = means["mse"] ** 0.5 * results.window_width
        values = (fixed(error, 0), fixed(1000 * means["mse"], 2), fixed(means["psnr"], 1), fixed(means["ssim"], 3))
        rows.append((SETS.get(split, str(split)), REGIONS.get(region, str(region)), *values, whole(len(part))))
    columns = ("Patients", "Region", "Error, HU (RMS)", "MSE × 1000", "PSNR, dB", "SSIM", "Scans")
    caption = "Means over scans that the autoencoder was not trained on."
    return Reportlet(title, caption, (Table(columns, tuple(rows), numeric=frozenset({2, 3, 4, 5, 6})),))


def _codes(results: Results) -> Reportlet:
    title = "Use of the codes"
    table = results.tables.rows("codes")
    if table is None:
        return Reportlet(title, "", (Words(("No scan was held out, so no use of codes was counted.",)),))
    rows = []
    for split, part in table.groupby("split", sort=True):
        used = part["used"].astype(str).str.lower() == "true"
        numbers = (
            whole(used.sum()),
            whole(len(part)),
            fixed(100 * used.mean(), 0),
            fixed(part["perplexity"].iloc[0], 1),
        )
        rows.append((SETS.get(split, str(split)), *numbers))
    columns = ("Patients", "Codes used", "Of", "Used, %", "Perplexity")
    caption = (
        "A code counts as used where it fills at least 1 in 10,000 places in held-out lungs. Perplexity is how many "
        "codes there would be if all in use were equally common; a low one means that the codebook has collapsed."
    )
    return Reportlet(title, caption, (Table(columns, tuple(rows), numeric=frozenset({1, 2, 3, 4})),))
