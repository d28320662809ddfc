"""Ablations of the disease model: what they set, which are trained, and the table they end in."""

import pandas as pd
import pytest

from helpers.running import ROOT, jobs_of, snakemake
from helpers.variant_cases import compare
from lung4d.evaluate.comparison_tables import ablation, ablation_page
from lung4d.evaluate.comparisons import ABLATION
from lung4d.pipeline.door.configuration import load_yaml

TINY = str(ROOT / "tests/tiny.yaml")


def test_each_row_changes_one_setting_of_the_defaults():
    section = load_yaml(ROOT / "config/config.yaml")["train_ode"]
    assert {row.name: dict(row.settings) for row in ABLATION} == {
        "no-features": {"features": False},
        "no-drawing": {"maps": 0},
        "no-latent-loss": {"latent_weight": 0},
        "no-low-pass-loss": {"low_pass_weight": 0},
        "backward": {"direction": "backward"},
        "no-time-gap": {"time_gap": False},
        "linear": {"dynamics": "linear"},
        "ode-convgru": {"encoder": "ode_convgru"},
        "quantised": {"latents": "quantised"},
        "one-member": {"members": 1},
    }
    assert all(key in section for row in ABLATION for key in row.settings)
    assert not any(row.is_own(section) for row in ABLATION)


@pytest.mark.parametrize(("own", "rows"), [("{}", 10), ("train_ode: {members: 1, time_gap: false}", 8)])
def test_a_row_with_the_settings_of_the_run_is_not_trained_again(tmp_path, own, rows):
    (tmp_path / "own.yaml").write_text(own)
    configs = [TINY, str(tmp_path / "own.yaml")]
    jobs = jobs_of(snakemake("--dry-run", "--configfile", *configs, "--", "ablation", folder=tmp_path))
    assert (jobs["ablation_train"], jobs["train_ode"], jobs["ablation"]) == (rows, 1, 1)
    assert "table1" not in jobs and "evaluate" not in jobs


ERRORS = {
    "locf": 0.04,
    "model (own, expected)": 0.02,
    "model (linear, expected)": 0.03,
    "model (no-drawing, mix)": 0.02,
}


def forecasts():
    """Four patients in whom every method has the same errors but for the patient's factor; extent signed."""
    rows = []
    for patient, factor in enumerate((0.5, 1.0, 1.5, 1.0)):
        for method, error in ERRORS.items():
            name, decoding = method[7:-1].split(", ") if "(" in method else (method, "")
            keys = ("test", "extrapolation", f"{patient}", "03", "lung", method, name, decoding)
            rows.append((*keys, error * factor, error * factor / 2, -100 * error, 0.5, float("nan")))
    keys = ["set", "task", "subject", "session", "region", "method", "row", "decoding"]
    measures = ["mse", "mse_lowpass", "extent_error", "change_correlation", "change_correlation_noisefree"]
    absent = dict.fromkeys(["density_error_hu", "high_attenuation_error", "extent_error_noisefree"], float("nan"))
    return pd.DataFrame(rows, columns=[*keys, *measures]).assign(**absent)


def test_differences_are_to_the_own_models_first_decoding_and_paired():
    table = ablation(forecasts(), bootstrap=200, seed=1).set_index("row")
    assert table.index.tolist() == ["own", "linear", "no-drawing"]
    linear = table.loc["linear"]
    assert (linear["patients"], linear["visits"]) == (4, 4)
    assert (linear["mse"], linear["mse_difference"]) == pytest.approx((0.03, 0.01))
    assert linear["mse_low"] < 0.01 < linear["mse_high"]
    assert (linear["skill"], linear["skill_difference"]) == pytest.approx((0.25, -0.25))
    assert (linear["skill_low"], linear["skill_high"]) == pytest.approx((-0.25, -0.25))  # the same share in everyone
    assert (linear["extent_error"], linear["extent_error_difference"]) == pytest.approx((3, 1))
    assert (linear["change_correlation"], linear["change_correlation_difference"]) == (0.5, 0)
    assert table["change_correlation_noisefree"].isna().all()
    assert (table.loc[["own", "no-drawing"], "mse_difference"] == 0).all()


def test_the_page_shows_values_and_differences():
    page = ablation_page(ablation(forecasts(), bootstrap=200, seed=1))
    assert "## Extrapolation, set test: 4 patients, 4 visits" in page and "Interpolation" not in page
    assert "| straight line instead of the ODE | expected | 30.00 | +10.00 [" in page
    assert "| 25.0 | -25.0 [-25.0, -25.0] | 3.00 | +1.00 [+1.00, +1.00] | 0.50 | +0.00 [+0.00, +0.00] |" in page
    assert "noise-free" not in page
    assert "nothing could be withheld" in ablation_page(ablation(forecasts()[:0], bootstrap=200, seed=1))


def test_the_script_compares_the_decodings_that_each_model_has(tmp_path):
    table, page = compare("ablation", tmp_path, {row.name: row.settings for row in ABLATION})
    table = table.query("set == 'test' and task == 'extrapolation'")
    drawing = [row.name for row in ABLATION if row.name != "no-drawing"]
    assert set(zip(table["row"], table["decoding"], strict=True)) == {
        ("no-drawing", "mix"), *((name, decoding) for name in ("own", *drawing) for decoding in ("expected", "drawn"))
    }  # fmt: skip
    first = table.iloc[0]
    assert (first["row"], first["decoding"], first["mse_difference"]) == ("own", "expected", 0)
    assert (table["mse_difference"] != 0).sum() == len(table) - 1
    assert "| one model instead of several | drawn |" in page
