"""The U-Net that is told the years: what it sees, what it can learn, its training without and with a kill."""

import functools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.ode_cases import WINDOW, drifting, given_of, section, visits, write_cohort
from helpers.running import ROOT, jobs_of, snakemake
from helpers.scripts import run_script
from helpers.variant_cases import COHORT, EVALUATE, SPLITS, save_variants
from helpers.visit_cases import patient_of
from lung4d.evaluate.unet.comparison import unet_page, unet_table
from lung4d.evaluate.unet.forecaster import WAY, unet_forecaster
from lung4d.evaluate.unet.network import UNet, forecast_scan, load_unet, save_unet, seen_at
from lung4d.evaluate.unet.training import lung_error, start_unet, train
from lung4d.io.tables import read_table
from lung4d.ode.features import STEP
from lung4d.ode.options import ODETraining
from lung4d.training.checkpoints import Checkpoints

SHORT = {"epochs": 12, "accumulation": 2, "validate_every": 6, "save_every": 4, "crop": None, "members": 1}
FREE = SimpleNamespace(check=lambda: None, earlier=SimpleNamespace(gone=lambda: True, wait=lambda: None))


def nothing(_frame):
    """Draws no picture."""


def options(**changes):
    return ODETraining.of(section("train_ode", **SHORT) | changes)


def network(seed=0):
    """One that changes something."""
    torch.manual_seed(seed)
    made = UNet().eval()
    torch.nn.init.normal_(made.last.weight, std=0.1)
    return made


def line(years, shape=(4, 5, 6)):
    """Scans that change by 0.02 a year at every voxel from -0.3 on, and a lung."""
    scans = torch.stack([torch.full(shape, -0.3 + 0.02 * year) for year in years])
    return np.array(years), scans, torch.ones(shape, dtype=torch.bool)


def test_what_it_sees_is_the_same_for_any_number_of_visits():
    for given in ([0.0], [0.0, 2.0], [0.0, 1.0, 3.0, 4.0]):
        hand, seen, told = seen_at(*line(given), year=5.0)
        assert (hand, seen.shape) == (len(given) - 1, (4, 4, 5, 6))
        trend = 0.0 if len(given) == 1 else 0.02 / STEP
        assert seen[2].numpy() == pytest.approx(trend, abs=1e-6)
        assert seen[1].numpy() == pytest.approx(0.02 * (np.mean(given) - given[-1]) / STEP, abs=1e-6)
        assert told.tolist() == [5.0 - given[-1], 0.0, given[-1]]
    hand, _, told = seen_at(*line([0.0, 1.0, 4.0]), year=2.5)  # between two visits
    assert (hand, told.tolist()) == (1, [1.5, 3.0, 4.0])
    assert seen_at(*line([1.0, 2.0]), year=0.5)[0] == 0


def test_untrained_it_carries_the_scan_at_hand_forward_on_any_grid():
    for shape in ((4, 5, 6), (8, 12, 12), (7, 3, 9)):
        years, scans, region = line([0.0, 1.0], shape)
        assert torch.equal(forecast_scan(UNet(), years, scans, region, 3.0), scans[1])


def test_the_years_change_its_answer():
    years, scans, region = line([0.0, 1.0], (8, 8, 8))
    made = network()
    one, other = (forecast_scan(made, years, scans, region, year) for year in (2.0, 6.0))
    assert (one - other).abs().mean() > 1e-3


def test_the_loss_is_the_error_in_the_lung_of_what_is_asked_alone():
    z, mask = visits(3)
    seen = given_of(z, [0.0, 1.0, 2.0], mask)
    plain = lung_error(UNet(), seen, [0, 1], [2])
    wanted = ((seen.scans[1] - seen.scans[2]).square() * seen.region).sum() / seen.region.sum() / STEP**2
    assert plain.item() == pytest.approx(float(wanted), rel=1e-5)
    assert torch.equal(plain, lung_error(None, seen, [0, 1], [2]))
    seen.scans[2][~seen.region] = 7.0
    assert torch.equal(lung_error(UNet(), seen, [0, 1], [2]), plain)


class Calm:
    """Nobody stops the training; or somebody does after so many questions."""

    def __init__(self, after=10**9):
        self.left, self.after = False, after

    @property
    def requested(self):
        self.after -= 1
        return self.after < 0

    def leave(self):
        raise SystemExit(75)


def trained(folder, patients, stopper=None, **changes):
    run = start_unet(options(**changes), patients, torch.device("cpu"), folder / "history.parquet")
    return run, train(run, Checkpoints(folder / "checkpoints", "d"), stopper or Calm(), FREE, nothing)


def test_it_has_the_steps_of_one_member_of_the_disease_model_and_is_chosen_on_val(tmp_path):
    patients = drifting(6, split=("train", "train", "val"))
    run, best = trained(tmp_path, patients)
    assert run.steps == options().steps(4) == 24 and len(run.history.rows) == 25
    judged = run.history.frame()["held_out_image"].dropna()
    assert len(judged) == 5 and best["value"] == judged.min()
    assert {patient.subject for patient in run.samples.patients} == {"000", "001", "003", "004"}
    assert {patient.subject for patient in run.judges} == {"002", "005"}


def test_it_learns_a_change_that_the_scans_tell(tmp_path):
    """Lungs grow denser by 50 HU a year, or less dense, as the first scans say: no change is off by all of it."""
    patients = drifting(8, split=("train", "train", "val"))
    run, best = trained(tmp_path, patients, epochs=40, lr=2e-3)
    first = run.history.rows[0]
    assert first["held_out_image"] == pytest.approx(first["image_no_change"])
    assert best["value"] < 0.6 * first["image_no_change"]


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path):
    patients = drifting(5, split=("train", "train", "val"))
    _, whole = trained(tmp_path / "whole", patients)
    with pytest.raises(SystemExit):
        trained(tmp_path / "killed", patients, Calm(after=7))
    run, resumed = trained(tmp_path / "killed", patients)
    assert resumed["step"] == whole["step"] and resumed["value"] == whole["value"]
    assert all(torch.equal(tensor, resumed["weights"][name]) for name, tensor in whole["weights"].items())
    assert run.history.frame()["step"].tolist() == list(range(run.steps + 1))


def test_without_patients_it_is_the_scan_at_hand(tmp_path):
    run, best = trained(tmp_path, [])
    assert run.steps == 0 and not best["weights"]["last.weight"].any()


def test_its_forecasts_keep_the_baseline_outside_the_lung_and_see_no_other_visit(tmp_path):
    region = np.zeros((8, 8, 8), bool)
    region[2:6, 2:6, 2:6] = True
    unit = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 8, 8, 8)).astype(np.float32)
    whole = patient_of("001", "test", [0.0, 1.0, 1.0], WINDOW, unit=unit, region=region)
    path = tmp_path / "model.pt"
    save_unet({"weights": network().state_dict(), "step": 3}, WINDOW, path)
    made = unet_forecaster(load_unet(path, WINDOW, torch.device("cpu")))(whole, np.array([2.0, 0.5]), None)[WAY]
    assert made.shape == (2, 8, 8, 8) and np.array_equal(made[0][~region], unit[0][~region])
    alone = patient_of("001", "test", [0.0], WINDOW, unit=unit[:1], region=region)
    first = functools.partial(unet_forecaster(load_unet(path, WINDOW, torch.device("cpu"))), mix=None)
    assert np.isfinite(first(alone, np.array([3.0]))[WAY]).all()
    with pytest.raises(ValueError, match="trained on HU"):
        load_unet(path, (-1350, 150), torch.device("cpu"))


def test_it_is_trained_on_demand_and_never_for_the_rest(tmp_path):
    tiny = str(ROOT / "tests/tiny.yaml")
    jobs = jobs_of(snakemake("--dry-run", "--configfile", tiny, "--", "unet", folder=tmp_path))
    assert (jobs["train_unet"], jobs["train_ode"], jobs["unet"]) == (1, 1, 1)
    assert "evaluate" not in jobs and "ablation" not in jobs
    assert "train_unet" not in jobs_of(snakemake("--dry-run", "--configfile", tiny, "--", "all", folder=tmp_path))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Both scripts on the small cohort: the table, the page, the forecasts."""
    folder = tmp_path_factory.mktemp("unet")
    paths = write_cohort(folder, COHORT, SPLITS, grid=(12, 12, 12))
    settings = section("train_ode", **SHORT, checkpoints=str(folder / "checkpoints"), folders=paths.folders)
    outputs = {"model": folder / "unet.pt", "history": folder / "h.parquet", "progress": folder / "p.png"}
    run_script("train_unet", dict(paths.items()), outputs, settings, folder / "train.log")
    inputs = {**dict(paths.items()), "ode": save_variants(folder, {})["own"], "unet": outputs["model"]}
    results = {name: folder / f"{name}.tsv" for name in ("table", "forecast")} | {"page": folder / "page.md"}
    run_script("unet", inputs, results, {**EVALUATE, "folders": paths.folders}, folder / "log.txt")
    return read_table(results["table"]), results["page"].read_text(), read_table(results["forecast"])


def test_it_stands_beside_the_model_and_all_baselines_on_the_same_visits(compared):
    table, page, forecasts = compared
    part = table.query("set == 'test' and task == 'extrapolation' and measure == 'mse'").set_index("row")
    assert {"unet", "own", "locf", "weighted mean", "boosting"} <= set(part.index)
    assert (part["patients"] == 1).all() and (part["visits"] == 2).all()
    visits_of = forecasts[forecasts["region"] == "lung"].groupby("row")[["subject", "task", "session"]].apply(
        lambda rows: set(rows.itertuples(index=False, name=None))
    )  # fmt: skip
    assert visits_of["unet"] == visits_of["own"] == visits_of["locf"]
    model = part.query("decoding == 'expected'").loc["own"]
    unet, carried = part.loc["unet"], part.loc["locf"]
    assert unet["last_difference"] == pytest.approx(unet["mean"] - carried["mean"])
    assert unet["model_difference"] == pytest.approx(unet["mean"] - model["mean"])
    assert carried["last_difference"] == model["model_difference"] == 0
    assert "| one U-Net that is told the years | told the years |" in page
    assert not forecasts.query("row == 'unet' and region == 'lung'")["predicted_extent"].isna().any()


def test_differences_of_the_table_are_paired_and_skill_is_pooled():
    rows = []
    for patient, factor in enumerate((0.5, 1.0, 1.5, 1.0)):
        for method, error in (("locf", 0.04), ("model (own, expected)", 0.02), ("model (unet, told the years)", 0.03)):
            row, decoding = method[7:-1].split(", ") if "(" in method else (method, "")
            keys = ("test", "extrapolation", f"{patient}", "03", "lung", method, row, decoding)
            rows.append((*keys, error * factor, error * factor / 2, -100 * error))
    keys = ["set", "task", "subject", "session", "region", "method", "row", "decoding"]
    forecasts = pd.DataFrame(rows, columns=[*keys, "mse", "mse_lowpass", "extent_error"])
    missing = ["density_error_hu", "high_attenuation_error", "extent_error_noisefree", "change_correlation"]
    missing += ["change_correlation_noisefree", "mse_noisefree"]
    table = unet_table(forecasts.assign(**dict.fromkeys(missing, np.nan)), 200, 1).set_index(["row", "measure"])
    unet = table.loc[("unet", "mse")]
    assert (unet["last_difference"], unet["model_difference"]) == pytest.approx((-0.01, 0.01))
    assert unet["model_low"] < 0.01 < unet["model_high"]
    skill = table.loc[("unet", "skill")]
    assert (skill["mean"], skill["model_difference"]) == pytest.approx((0.25, -0.25))
    page = unet_page(table.reset_index())
    assert "## Extrapolation, set test: 4 patients, 4 visits" in page and "| 30.00 | -10.00 [" in page
    assert "nothing could be withheld" in unet_page(table.reset_index()[:0])
