"""Lung volume foretold by what needs no model: patients whose volumes are known."""

import numpy as np
import pytest

from helpers.visit_cases import patient_of
from lung4d.evaluate import findings
from lung4d.evaluate.records import ALIKE, BETTER
from lung4d.evaluate.truth import true_volumes
from lung4d.evaluate.volume.errors import FIRST, find_volumes, volume_table
from lung4d.evaluate.volume.rivals import FULL, MEASURED, RIVALS, VolumeSeries, methods_for, slope_of, volume_series
from lung4d.evaluate.volume.wording import volume_words
from lung4d.io.atomic import write_json

YEARS = np.array([0.0, 1.0, 2.0, 4.0])
LAST, SLOPE, WEIGHTED = RIVALS


def series(number, split, measured, full=None, years=YEARS):
    full = np.full(len(years), np.nan) if full is None else full
    return VolumeSeries(f"{number:03d}", split, split, years, {MEASURED: np.asarray(measured, float), FULL: full})


def cohort(volumes_of, per_split=8):
    splits = ("train", "val", "test")
    return [
        series(n, split, *volumes_of(n)) for n, split in enumerate(split for split in splits for _ in range(per_split))
    ]


def told(everyone, target=MEASURED):
    table = volume_table(everyone, 300, 1)
    return table[table["target"] == target].set_index("method")


def test_where_all_lose_the_same_the_slope_is_exact_and_the_last_value_off_by_all_of_it():
    rows = told(cohort(lambda n: (4000 + 10 * n - 100 * YEARS,)))
    assert rows.loc[LAST, "error"] == pytest.approx((100 + 300) / 2)
    assert rows.loc[SLOPE, "error"] == pytest.approx(0, abs=1e-9)
    assert rows.loc[SLOPE, ["difference", "low", "high"]].tolist() == pytest.approx([-200] * 3)
    assert (rows["slope"] == -100).all() and (rows["chosen_on"] == 8).all() and set(rows["split"]) == {"val"}
    assert rows.loc[SLOPE, ["patients", "visits"]].tolist() == [8, 16]
    assert (rows["floor"] == 169).all()


def test_the_slope_is_the_median_of_train_patients_alone():
    everyone = [
        *(series(n, "train", 4000 - loss * YEARS) for n, loss in enumerate((0, 50, 900))),
        series(3, "val", 4000 - 500 * YEARS), series(4, "test", 4000 - 500 * YEARS),
        series(5, "train", [4000.0], years=np.array([0.0])),
    ]  # fmt: skip
    assert (slope_of(everyone).slope, slope_of(everyone).slope_patients) == (-50, 3)


def test_where_breath_alone_differs_the_mean_of_both_beats_the_last_value_and_no_change_is_found_beside_it():
    random = np.random.default_rng(2)
    everyone = cohort(lambda n: (4000 + 300 * random.normal(size=4),), per_split=200)
    rows = told(everyone)
    assert rows.loc[WEIGHTED, "weight"] == pytest.approx(0.5, abs=0.2) and abs(rows.loc[LAST, "slope"]) < 25
    assert rows.loc[WEIGHTED, "high"] < 0  # averaging two breaths
    one, other = 300 * np.sqrt(2) * np.sqrt(2 / np.pi), 300 * np.sqrt(1.5) * np.sqrt(2 / np.pi)
    assert rows.loc[LAST, "error"] == pytest.approx(one, rel=0.1)
    assert rows.loc[WEIGHTED, "error"] == pytest.approx(other, rel=0.1)
    found = {one.method: one for one in find_volumes(volume_table(everyone, 300, 1), findings.verdict)}
    assert found[WEIGHTED].verdict == BETTER and found[LAST].verdict == ""
    assert found[SLOPE].verdict == ALIKE or abs(found[SLOPE].difference) < 10


def test_one_factor_brings_every_breath_to_full_breath():
    everyone = cohort(lambda n: (0.9 * (5000 + 10 * n - 90 * YEARS), 5000 + 10 * n - 90 * YEARS))
    rows = told(everyone, FULL)
    assert rows.loc[f"{SLOPE}, times a factor", "factor"] == pytest.approx(1 / 0.9)
    assert rows.loc[f"{SLOPE}, times a factor", "error"] == pytest.approx(0, abs=1e-6)
    assert rows.loc[SLOPE, "bias"] < -400 and rows.loc[SLOPE, "factor"] == 1
    assert told(everyone).loc[f"{SLOPE}, times a factor", "factor"] == pytest.approx(1)


def test_weight_and_factor_are_chosen_together():
    """Breaths of 90 % in the mean: averaging two is worth it only where the factor takes the shallow breath away."""
    random = np.random.default_rng(4)
    full = 5000 + np.zeros(4)
    rows = told(cohort(lambda n: (full * random.uniform(0.8, 1.0, 4), full), per_split=100), FULL)
    scaled = rows.loc[f"{WEIGHTED}, times a factor"]
    assert scaled["weight"] == pytest.approx(0.5, abs=0.25) and scaled["factor"] == pytest.approx(1 / 0.9, abs=0.02)
    assert scaled["error"] < rows.loc[f"{LAST}, times a factor", "error"] < rows.loc[LAST, "error"]


def test_test_patients_choose_nothing():
    def volumes(n):
        return 4000 - 100 * YEARS if n < 16 else 9000 + 700 * YEARS

    everyone, without = cohort(lambda n: (volumes(n),)), cohort(lambda n: (4000 - 100 * YEARS,))
    assert methods_for(everyone, MEASURED) == methods_for(without, MEASURED)


def test_without_val_train_patients_choose_and_without_later_visits_there_is_no_row():
    train = [series(n, "train", 4000 - 100 * YEARS) for n in range(4)]
    rows = told([*train, series(9, "test", 4000 - 100 * YEARS)])
    assert set(rows["split"]) == {"train"} and rows["low"].isna().all()
    assert volume_table([*train, series(9, "test", [4000.0, 3900.0], years=YEARS[:2])], 20, 1).empty
    alone = told([series(9, "test", 4000 - 100 * YEARS)])
    assert alone.index.tolist() == list(RIVALS) and (alone["slope"] == 0).all() and (alone["split"] == "").all()


def test_volumes_come_from_scans_and_visits_without_one_are_left_out(tmp_path):
    patient = patient_of("001", "test", [0.0, 1.0, 2.0, 3.0], (-1000.0, 500.0))
    visits = [{"session": "01", "full_breath_ml": 5000.0}, {"session": "04"}]
    write_json({"subject": "001", "visits": visits}, tmp_path / "sub-001_truth.json")
    known = {("001", "01"): 4100.0, ("001", "02"): 4000.0, ("001", "04"): 3900.0}
    (one,) = volume_series([patient], known, true_volumes([tmp_path]), {})
    assert one.years.tolist() == [0, 1, 3] and one.volumes[MEASURED].tolist() == [4100, 4000, 3900]
    assert one.volumes[FULL][0] == 5000 and np.isnan(one.volumes[FULL][1:]).all()
    assert volume_table([one], 20, 1)["target"].unique().tolist() == [MEASURED]


def test_the_words_say_the_floor():
    table = volume_table(cohort(lambda n: (4000 + 10 * n - 100 * YEARS,)), 100, 1)
    said = volume_words(find_volumes(table, findings.verdict))
    assert said[0] == (
        f"Lung volume as measured, set test, {FIRST}: off by 200 ml in the mean of 8 patients (16 later visits from "
        "the first two); repeat scans differ by 169 ml."
    )
    assert "-200 ml [-200, -200] to the last value (better)." in said[1]
