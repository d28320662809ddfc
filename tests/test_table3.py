"""The rows of the paper's Table 3: what they set, which are trained, and the table they end in."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from helpers.code_imports import files_of, outside
from helpers.defaults import settings_of
from helpers.running import ROOT, jobs_of, set_key, snakemake, take_over_scans, times, write_cohort
from lung4d import metrics
from lung4d.evaluate.comparison_tables import table3, table3_page
from lung4d.evaluate.comparisons import TABLE3
from lung4d.evaluate.reconstruction import score_autoencoder
from lung4d.io.tables import read_table
from lung4d.io.volumes import to_unit
from lung4d.pipeline.door.configuration import load_yaml
from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.model import VQGAN, VQGANSettings, load_vqgan

# what each row changes in the defaults, and the paper's MSE x 1000, internal and external
CHANGES = {
    "codes-1024": ({"codes": 1024}, 3.76, 6.84),
    "codes-4096": ({"codes": 4096}, 3.54, 6.64),
    "lr-1e-4": ({"lr": 1e-4}, 4.88, 8.67),
    "codes-256": ({}, 4.23, 8.10),
    "compression-8": ({"compression": 8}, 6.17, 11.5),
}
PAPER_SIZE = "train_vqgan: {codes: 256}\n"  # what the tiny settings lack to be a row of the table


def test_each_row_differs_from_the_defaults_in_what_its_name_says():
    section = load_yaml(ROOT / "config/config.yaml")["train_vqgan"]
    assert [row.name for row in TABLE3] == list(CHANGES)
    for row in TABLE3:
        changed, internal, external = CHANGES[row.name]
        assert {key: value for key, value in row.settings.items() if section[key] != value} == changed
        assert row.is_own(section) == (not changed)
        assert row.paper == {"test": (pytest.approx(internal / 1000),), "external": (pytest.approx(external / 1000),)}


def test_what_makes_the_tables_needs_neither_torch_nor_scikit_learn():
    library = ROOT / "workflow/scripts/lung4d/evaluate"
    assert not {"torch", "sklearn"} & roots(library / "comparison_tables.py")
    assert not roots(library / "comparisons.py")


def roots(path):
    """First parts of the names of what must be there to import the module."""
    return {name.split(".")[0] for name in outside(files_of(path))}


def scores(test, external=()):
    """Scores of scans with these errors in the lung; the error of the whole volume is half."""
    rows = [
        ("01", f"{number:02d}", name, region, mse * factor)
        for name, errors in (("test", test), ("external", external))
        for number, mse in enumerate(errors)
        for region, factor in (("lung", 1.0), ("whole", 0.5))
    ]
    return pd.DataFrame(rows, columns=["subject", "session", "split", "region", "mse"])


def test_the_table_holds_means_over_scans_of_both_regions_and_sets():
    table = table3({row.name: scores([0.004, 0.006], [0.008]) for row in TABLE3}).set_index("row")
    first = table.loc["codes-1024"]
    assert (first["mse_test_lung"], first["mse_test_whole"]) == pytest.approx((0.005, 0.0025))
    assert (first["mse_external_lung"], first["scans_test"], first["scans_external"]) == (0.008, 2, 1)
    page = table3_page(table.reset_index())
    assert "| 256 | 8 | 0.0003 | 2.50 | 5.00 | 6.17 | 4.00 | 8.00 | 11.50 |" in page
    assert "means over scans\n(2 test, 1 external)" in page


def test_without_external_patients_their_columns_are_left_out_of_the_page():
    table = table3({row.name: scores([0.004]) for row in TABLE3})
    assert table["mse_external_whole"].isna().all()
    assert "external" not in table3_page(table) and "| 4.00 | 3.54 |" in table3_page(table)
    assert "means over scans\n(0 test)" in table3_page(table3({row.name: scores([]) for row in TABLE3}))


def test_an_autoencoder_is_scored_on_what_it_draws_of_each_volume(tmp_path):
    torch.manual_seed(0)
    model = VQGAN(settings_of(VQGANSettings, codes=8, embedding=4, width=4)).eval()
    generator = np.random.default_rng(0)
    hu = generator.normal(-600, 200, (12, 16, 20)).astype(np.int16)
    lung = np.zeros(hu.shape, np.uint8)
    lung[3:9, 4:12, 5:15] = 1
    files = tmp_path / "sub-1_ses-01_desc-preproc_ct.nii", tmp_path / "sub-1_ses-01_desc-lung_mask.nii.gz"
    for array, path in zip((hu, lung), files, strict=True):
        nib.save(nib.Nifti1Image(np.ascontiguousarray(array.T), np.eye(4)), path)
    table = score_autoencoder(model, [PreparedScan("1", "01", 0.0, "external", "", *files)]).set_index("region")
    unit = to_unit(hu, model.settings.window)
    with torch.no_grad():
        drawn = np.clip(model(torch.from_numpy(unit)[None, None])[0][0, 0].numpy(), -0.5, 0.5)
    assert table.loc["whole", "mse"] == pytest.approx(metrics.mse(drawn, unit), rel=1e-4)
    assert table.loc["lung", "mse"] == pytest.approx(metrics.mse(drawn, unit, lung > 0), rel=1e-4)
    assert set(table["split"]) == {"external"}


@pytest.mark.parametrize(("own", "rows"), [("", 5), (PAPER_SIZE, 4)])
def test_a_row_with_the_settings_of_the_run_is_not_trained_again(tmp_path, own, rows):
    (tmp_path / "own.yaml").write_text(own or "{}")
    configs = [str(ROOT / "tests/tiny.yaml"), str(tmp_path / "own.yaml")]
    done = snakemake("--dry-run", "--configfile", *configs, "--", "table3", folder=tmp_path)
    jobs = jobs_of(done)
    assert (jobs["table3_train"], jobs["train_vqgan"], jobs["table3"]) == (rows, 5 - rows, 1)
    assert "train_ode" not in jobs and "table3" not in jobs_of(
        snakemake("--dry-run", "--configfile", *configs, folder=tmp_path)
    )


@pytest.mark.slow
def test_the_whole_table_with_external_patients(tiny_run, tmp_path):
    images, folder = tiny_run / "results/simulate", tmp_path / "run"
    scans = pd.read_csv(images / "scans.tsv", sep="\t", dtype=str).groupby("subject").head(1)
    scans["path"] = [str(images / path) for path in scans["path"]]
    people = pd.read_csv(images / "participants.tsv", sep="\t", dtype=str)
    people["split"] = ["train", "train", "train", "val", "test", "external"]
    write_cohort(folder, scans, people)
    set_key(folder, "train_vqgan", "codes", 256)
    take_over_scans(tiny_run, folder, scans)
    done = snakemake("--cores", "2", "table3", folder=folder)
    results = folder / "results"
    table = read_table(results / "table3/table3.tsv").set_index("row")
    assert (table[["scans_test", "scans_external"]] == 1).all(axis=None)
    assert table.filter(like="mse_").notna().all(axis=None)
    assert "| 4096 | 4 | 0.0003 |" in done.stdout + done.stderr
    for row in TABLE3:
        path = results / f"table3/{row.name}/model.pt"
        assert path.exists() == (row.name != "codes-256")
        if path.exists():
            made = load_vqgan(path).settings
            assert (made.codes, made.compression) == (row.settings["codes"], row.settings["compression"])
    before = times(results)
    assert not jobs_of(snakemake("--cores", "2", "table3", folder=folder)) and times(results) == before
