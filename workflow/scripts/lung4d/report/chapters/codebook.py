"""The codebook code by code: what each decodes to, where it occurs in real scans, and how common it is."""

import pandas as pd

from lung4d.codebook.shown import DECODED, PATCH, WITH_PATCHES, most_used
from lung4d.figures.mosaic import css_width
from lung4d.report.folder_map import place
from lung4d.report.formatting import count, fixed, whole
from lung4d.report.page import Fold, Picture, Reportlet, Section, Table, Words
from lung4d.report.results import Results

LISTED = 40  # codes in the table
SHARES = {"train": "training", "val": "validation", "test": "test", "external": "external"}


def section(results: Results) -> Section:
    lead = (
        "Every code stands for a small pattern of CT. Codes have the numbers that they have in the tables of "
        "biomarkers; both pictures go from air to dense tissue, at window −1350 to 150 HU."
    )
    table = results.tables.rows("codebook")
    if table is None:
        words = Words(("There is no codebook to show.",))
        return Section("codebook", "Codebook", lead, (Reportlet("", "", (words,)),))
    reportlets = (_decoded(results, table), _exemplars(results, table), _common(table))
    return Section("codebook", "Codebook", lead, tuple(part for part in reportlets if part is not None))


def _decoded(results: Results, table: pd.DataFrame) -> Reportlet | None:
    picture = results.images.codebook.get("decoded")
    if picture is None:
        return None
    unused = int((~table["used"]).sum())
    framed = results.setting("train_vqgan", "norm", "group") == "group"
    contrast = " at the contrast of a training scan" if framed else ""
    caption = (
        f"A latent filled with one code, decoded{contrast}: {_which(table, DECODED)} One code alone can only repeat "
        "itself, so look at brightness and grain. Neighbours should differ: many tiles alike mean that codes are "
        "wasted. A tile that breaks the order is a code of borders, whose meaning depends on the codes beside it."
    )
    if unused:
        caption += (
            f" {count(unused, 'code')} of {whole(len(table))}, in brackets where drawn, "
            f"{'fills' if unused == 1 else 'fill'} fewer than 1 in 10,000 places in training lungs."
        )
    png = picture.read_bytes()
    alt = f"{count(min(DECODED, len(table)), 'code')}, each decoded alone, from air to dense tissue"
    return Reportlet("Each code decoded", caption, (Picture(png, alt, css_width(png)),))


def _exemplars(results: Results, table: pd.DataFrame) -> Reportlet | None:
    picture = results.images.codebook.get("exemplars")
    if picture is None:
        return None
    side = PATCH * int(results.setting("train_vqgan", "compression", 4))
    caption = (
        f"Axial patches of {side} × {side} voxels from training scans, drawn at random around places that hold the "
        f"code (the yellow frame), from different patients where there are: {_which(table, WITH_PATCHES)} The four of "
        "a code should show one thing. A code whose patches have nothing in common is a poor biomarker, however well "
        "it does in the table."
    )
    png = picture.read_bytes()
    alt = f"Up to four real patches of each of {count(min(WITH_PATCHES, len(table)), 'code')}, from air to dense tissue"
    return Reportlet("Where each code occurs", caption, (Picture(png, alt, css_width(png)),))


def _which(table: pd.DataFrame, most: int) -> str:
    """Which codes a picture of at most `most` shows."""
    if len(table) <= most:
        return f"all {whole(len(table))}."
    held = 100 * most_used(table, most)["share_train"].sum()
    return f"the {most} most common of {whole(len(table))}, which fill {fixed(held, 0)} % of the training lungs."


def _common(table: pd.DataFrame) -> Reportlet:
    shares = {name: words for name, words in SHARES.items() if table[f"share_{name}"].notna().any()}
    rows = []
    for row in table.sort_values("rank").head(LISTED).to_dict("records"):
        percents = (fixed(100 * row[f"share_{name}"], 2) for name in shares)
        rows.append((str(row["code"]), *percents, *(fixed(row[key], 0) for key in ("mean_hu", "sd_hu", "decoded_hu"))))
    columns = (
        "Code", *(f"Share of {words} lungs, %" for words in shares.values()), "Mean HU", "SD, HU", "Decoded, HU"
    )  # fmt: skip
    caption = (
        "Shares should be alike in training and held-out lungs. Mean and SD are of the CT at the code's places in "
        f"training lungs; {place('codebook')} has every code, and the places of the patches."
    )
    body = Table(columns, tuple(rows), numeric=frozenset(range(1, len(columns))))
    fold = Fold(f"The {min(LISTED, len(table))} most common", (body,))
    return Reportlet("How common each code is", caption, (fold,))
