"""The rows of the paper's Table 1: what they set, which are trained, and the table they end in."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers.running import ROOT, jobs_of, snakemake, times
from helpers.variant_cases import compare
from lung4d.evaluate.baselines import BASELINES
from lung4d.evaluate.comparison_tables import table1, table1_page
from lung4d.evaluate.comparisons import LITERAL, TABLE1
from lung4d.evaluate.forecasting import ORACLES
from lung4d.evaluate.variants import together
from lung4d.io.tables import read_table
from lung4d.ode.ensemble import load_ode
from lung4d.pipeline.door.configuration import load_yaml, overlaid
from lung4d.visits.tasks import forecast_tasks

# what each row changes in the paper's method, and the paper's MSE of interpolation and extrapolation
CHANGES = {
    "convgru": ({"decoder": "direct"}, 0.018, 0.023),
    "convgru-skip": ({}, 0.020, 0.019),
    "ode-convgru-skip": ({"encoder": "ode_convgru"}, 0.018, 0.026),
    "masked-inputs": ({"hide_visits": 0.5}, 0.035, 0.036),
}


def paper_section():
    return overlaid(load_yaml(ROOT / "config/config.yaml"), load_yaml(ROOT / "config/paper.yaml"))["train_ode"]


def test_the_literal_values_are_those_of_the_paper_overlay():
    stated = load_yaml(ROOT / "config/paper.yaml")["train_ode"]
    assert set(stated) - set(LITERAL) == {"epochs"}  # the run's own
    assert {key: paper_section()[key] for key in LITERAL} == LITERAL


def test_each_row_differs_from_the_paper_in_what_its_name_says():
    section = paper_section()
    assert [row.name for row in TABLE1] == list(CHANGES)
    for row in TABLE1:
        changed, interpolation, extrapolation = CHANGES[row.name]
        assert {key: value for key, value in row.settings.items() if section[key] != value} == changed
        assert (row.paper["interpolation"][0], row.paper["extrapolation"][0]) == (interpolation, extrapolation)
        assert row.is_own(section) == (not changed)
        assert not row.is_own(load_yaml(ROOT / "config/config.yaml")["train_ode"])


PAPERS = {"train_ode": LITERAL, "generate_trajectories": {"decoding": "pure"}}


@pytest.mark.parametrize(("own", "rows"), [({}, 4), (PAPERS, 3)])
def test_a_row_with_the_settings_of_the_run_is_not_trained_again(tmp_path, own, rows):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    configs = [str(ROOT / "tests/tiny.yaml"), str(tmp_path / "own.yaml")]
    jobs = jobs_of(snakemake("--dry-run", "--configfile", *configs, "--", "table1", folder=tmp_path))
    assert (jobs["table1_train"], jobs["train_ode"], jobs["table1"]) == (rows, 1, 1)
    assert "ablation" not in jobs and "evaluate" not in jobs


def test_given_visits_are_targets_where_asked_for():
    assert [task.targets for task in forecast_tasks(4)] == [(2, 3), (1, 2)]
    assert [task.targets for task in forecast_tasks(4, given_too=True)] == [(0, 1, 2, 3)] * 2
    assert [task.given for task in forecast_tasks(4, given_too=True)] == [task.given for task in forecast_tasks(4)]
    assert forecast_tasks(2, given_too=True) == []


def test_several_forecasters_are_one_and_their_names_come_back():
    def constant(value):
        return lambda given, years, mix: {"pure": np.full(len(years), value), "mix": np.full(len(years), mix)}

    made = together({"a-b": constant(1.0), "own": constant(2.0)})(None, np.zeros(3), 0.4)
    assert list(made) == ["a-b, pure", "a-b, mix", "own, pure", "own, mix"]
    assert made["own, pure"].tolist() == [2.0] * 3 and made["a-b, mix"].tolist() == [0.4] * 3


def forecasts(name="test", given_too=False):
    """Two patients: the first has two withheld visits (in-lung errors 0.02 and 0.04), the second one (0.01)."""
    rows = []
    for row, decoding, factor in (("locf", "", 2), ("convgru-skip", "pure", 1), ("own", "pure", 0.5)):
        for subject, session, mse in (("1", "03", 0.02), ("1", "04", 0.04), ("2", "03", 0.01), ("1", "01", 0.0)):
            for region, share in (("lung", 1.0), ("whole", 0.1)):
                if session != "01" or given_too:
                    error = mse * factor * share
                    rows.append(
                        (name, row, decoding, "extrapolation", subject, "01+02", session, region, error, 0.5, 20)
                    )
    columns = ["set", "row", "decoding", "task", "subject", "given", "session", "region", "mse", "ssim", "psnr"]
    return pd.DataFrame(rows, columns=columns)


def test_the_table_holds_means_over_patients_of_their_withheld_visits():
    table = table1(forecasts())
    assert table["row"].tolist() == ["convgru-skip", "own", "locf"]  # baselines stand below the models
    first = table.iloc[0]
    assert first["extrapolation_lung_mse"] == pytest.approx((0.03 + 0.01) / 2)
    assert first["extrapolation_whole_mse"] == pytest.approx(0.002)
    assert (first["extrapolation_patients"], first["extrapolation_visits"]) == (2, 3)
    assert first["interpolation_visits"] == 0 and np.isnan(first["interpolation_lung_mse"])
    assert (
        first["paper_extrapolation_psnr"] == 17.816
        and table["paper_extrapolation_psnr"].isna().tolist()[1:] == [True] * 2
    )


def test_means_that_count_given_visits_stand_in_columns_of_their_own():
    plain, both = table1(forecasts()), table1(forecasts(given_too=True), given_too=True)
    pd.testing.assert_frame_equal(both[list(plain)], plain)
    assert both.loc[0, "extrapolation_lung_mse_given_too"] == pytest.approx((0.02 + 0.01) / 2)
    assert "given visits counted too" in table1_page(both) and "given visits counted too" not in table1_page(plain)


def test_the_page_has_the_papers_numbers_beside_the_test_set_alone():
    page = table1_page(table1(pd.concat([forecasts("external"), forecasts()], ignore_index=True)))
    whole = (
        "| ConvGRU, skip connections (the paper's method) | pure | – (0.02) | – (0.469) | – (17.387) | 0.00200 (0.019)"
    )
    assert page.count(whole) == 1
    assert page.count("| the run's own settings | pure | – | – | – | 0.00100 | 0.500 | 20.00 |") == 2
    assert page.index("Set test") < page.index("Set external")
    assert "Interpolation 0 patients, 0 withheld visits; extrapolation 2 patients, 3 withheld visits." in page
    assert "{" not in page.replace("{given_too: true}", "")
    assert "nothing could be withheld" in table1_page(table1(forecasts()[:0]))


def test_the_script_scores_every_row_the_own_model_and_all_baselines(tmp_path):
    table, page = compare("table1", tmp_path, {row.name: row.settings for row in TABLE1}, given_too=True)
    own = [("own", decoding) for decoding in ("drawn", "expected", "pure", "residual", "mix")]
    expected = [(row.name, "pure") for row in TABLE1] + own + [(name, "") for name in (*BASELINES, *ORACLES)]
    for name in ("test", "external"):
        part = table[table["set"] == name]
        assert [(row.row, row.decoding) for row in part.fillna({"decoding": ""}).itertuples()] == expected
    errors = table.filter(regex="^(inter|extra)polation_.*_(mse|ssim)")
    assert errors.shape[1] == 16 and errors.notna().all(axis=None)
    test = table[table["set"] == "test"].set_index(["row", "decoding"])
    assert (test["extrapolation_patients"] == 1).all() and (test["extrapolation_visits"] == 2).all()
    carried = test.loc["locf"].iloc[0]  # exact at the two given of four visits
    assert carried["extrapolation_lung_mse_given_too"] == pytest.approx(carried["extrapolation_lung_mse"] / 2)
    assert "ODE-ConvGRU, skip connections | pure |" in page


@pytest.mark.slow
def test_the_whole_table_on_the_tiny_cohort(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder, symlinks=True)
    run = ("--cores", "2", "--configfile", str(ROOT / "tests/tiny.yaml"), "--", "table1")
    done = snakemake(*run, folder=folder)
    assert jobs_of(done) == {"table1_train": 4, "table1": 1}
    table = read_table(folder / "results/table1/table1.tsv")
    assert {row.name for row in TABLE1} < set(table["row"]) and "own" in set(table["row"])
    for row in TABLE1:
        made = load_ode(folder / f"results/table1/{row.name}/model.pt").settings
        assert (made.encoder, made.decoder) == (row.settings["encoder"], row.settings["decoder"])
        assert (made.hidden, made.maps, made.features) == (4, 0, False)
    before = times(folder / "results")
    assert not jobs_of(snakemake(*run, folder=folder)) and times(folder / "results") == before
