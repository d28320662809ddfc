"""The judge on patients whose answers are known: no training, no files but small ones."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import ndimage

from helpers.visit_cases import patient_of
from lung4d import metrics
from lung4d.biomarkers.repeats import below_floor, floor_of
from lung4d.evaluate import (
    baselines,
    boosting,
    change,
    change_signal,
    cohort_change,
    coverage,
    findings,
    forecasting,
    reconstruction,
    scoring,
    summary,
    trends,
    truth,
    tuning,
    wording,
)
from lung4d.evaluate.baselines import BASELINES, Chosen, FittedBaselines, ForecastInputs
from lung4d.evaluate.records import EvaluateFindings
from lung4d.evaluate.smoothing import smooth_inside
from lung4d.evaluate.trends import Trend, Weighting, choose_weighting
from lung4d.io.latents import Latents
from lung4d.io.names import LATENTS, LUNG_MASK, VOLUME, scan_file, scan_files
from lung4d.io.tables import read_table, write_table
from lung4d.ode import calibration
from lung4d.visits.patient import PatientVisits, find_patients, of_split
from lung4d.visits.tasks import forecast_tasks

SHAPE, WINDOW = (12, 16, 16), (-1000.0, 500.0)
RULER = scoring.Scorer(WINDOW, low_pass=4.0)


def region():
    inside = np.zeros(SHAPE, bool)
    inside[2:10, 4:12, 2:14] = True
    return inside


def encode(volume):
    """A stand-in for the autoencoder: blocks of 2^3 voxels averaged, exact where a volume is constant in blocks."""
    blocks = volume.reshape(6, 2, 8, 2, 8, 2).mean(axis=(1, 3, 5))[None]
    mask = region().reshape(6, 2, 8, 2, 8, 2).any(axis=(1, 3, 5))
    codes = np.clip((blocks[0] + 0.5) * 8, 0, 7).astype(np.int16)
    return Latents(codes=codes, embeddings=blocks, continuous=blocks, mask=mask)


def decode(embeddings):
    return np.kron(embeddings[0], np.ones((2, 2, 2), np.float32))


def make_visits(volumes, years, subject="001", split="test"):
    unit = np.stack(volumes).astype(np.float32)
    latents = tuple(encode(volume) for volume in unit)
    lung = {"region": region(), "mask": latents[0].mask, "spacing": (2.0, 2.0, 2.0)}
    return patient_of(subject, split, years, WINDOW, unit=unit, latents=latents, **lung)


def linear_patient(years=(0.0, 1.0, 2.5, 4.0), seed=0, noise=0.0, **whose):
    """Every lung voxel changes linearly with time; constant in blocks, so that the stand-in autoencoder is exact."""
    random = np.random.default_rng(seed)
    base = np.kron(random.uniform(-0.3, 0.0, (6, 8, 8)), np.ones((2, 2, 2)))
    slope = np.kron(random.uniform(0.0, 0.06, (6, 8, 8)), np.ones((2, 2, 2))) * region()
    volumes = [base + slope * year + noise * random.standard_normal(SHAPE) * region() for year in years]
    return make_visits(volumes, years, **whose)


def cohort_of(mean=0.03):
    return cohort_change.CohortChange(mean, np.full((cohort_change.HEIGHTS, cohort_change.DEPTHS), mean), 3)


TREND = Chosen(dict.fromkeys(("extrapolation", "interpolation"), Trend(1.0, 0.5)), "val", 2)
WEIGHTING = Chosen(dict.fromkeys(("extrapolation", "interpolation"), Weighting(0.25, 0.01)), "val", 2)
FITTED = FittedBaselines(Chosen(1.0, "val", 2), Chosen(0.5, "val", 2), cohort_of(), TREND, TREND, WEIGHTING)


def carry_forward(given, years, mix):
    """A stand-in for the model: the last scan, and a third decoding where a mix is asked for."""
    made = {"pure": np.stack([decode(given.latents[-1].embeddings)] * len(years))}
    made["residual"] = np.stack([given.unit[-1]] * len(years))
    if mix is not None:
        made["mix"] = (1 - mix) * made["pure"] + mix * made["residual"]
    return made


def known(given, fitted=FITTED):
    return ForecastInputs(given, fitted, decode, "extrapolation")


def scored(patients, noisefree=None, name="test"):
    rows = []
    for pace, (subject, patient) in enumerate(patients.items()):
        truths = (noisefree or {}).get(subject, {})
        scored_as = forecasting.ScoredPatient(subject, name, "", float(pace))
        rows += forecasting.score_patient(scored_as, patient, FITTED, decode, carry_forward, RULER, truths)
    return forecasting.forecast_table(rows)


# ---- cases -----------------------------------------------------------------------------------------------------------


def test_cases_withhold_what_they_score():
    assert forecast_tasks(1) == forecast_tasks(2) == []
    three = forecast_tasks(3)
    assert [(task.name, task.given, task.targets) for task in three] == [
        ("extrapolation", (0, 1), (2,)),
        ("interpolation", (0, 2), (1,)),
    ]
    five = forecast_tasks(5)
    assert five[0].targets == (2, 3, 4)
    assert five[1].given == (0, 4)
    for task in three + five:
        assert not set(task.given) & set(task.targets)


def test_anchor_is_the_nearest_earlier_visit():
    years = np.array([0.0, 1.0, 3.0])
    assert [baselines.anchor(years, year) for year in (-1, 0, 0.9, 1, 2.9, 3, 9)] == [0, 0, 0, 1, 1, 2, 2]


def test_weights_of_a_line():
    years = np.array([0.0, 1.0, 3.0])
    for year in (-2.0, 0.0, 0.5, 1.0, 2.0, 3.0, 7.0):
        weights = baselines.linear_weights(years, year)
        assert weights.sum() == pytest.approx(1)
        assert weights @ (5 * years - 1) == pytest.approx(5 * year - 1)
    assert baselines.linear_weights(np.array([2.0]), 5.0).tolist() == [1]
    assert baselines.linear_weights(np.array([2.0, 2.0]), 5.0).tolist() == [0.5, 0.5]


# ---- baselines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["linear_image", "linear_latent"])
def test_linear_methods_are_exact_on_linear_change(method):
    patient = linear_patient()
    for task in forecast_tasks(len(patient)):
        given = patient.take(task.given)
        for target in task.targets:
            made = BASELINES[method](known(given), patient.years[target])
            assert np.allclose(made, patient.unit[target], atol=1e-5)


def test_cohort_mean_change_is_exact_where_all_change_alike():
    base = np.full(SHAPE, -0.2)
    patients = [make_visits([base, base + 0.03 * year * region()], [0, year]) for year in (1.0, 2.0, 0.5)]
    learned = cohort_change.cohort_change(patients)
    assert learned.mean == pytest.approx(0.03, abs=1e-6)
    assert np.allclose(learned.by_place, 0.03, atol=1e-6)
    assert learned.patients == 3
    fitted = dataclasses.replace(FITTED, change=learned)
    given = make_visits([base, base + 0.03 * region()], [0, 1])
    for method in ("cohort_mean_change", "cohort_mean_change_smoothed"):
        made = BASELINES[method](known(given, fitted), 3.0)
        assert np.allclose(made, base + 0.09 * region(), atol=1e-5)


def test_cohort_change_by_place_finds_where_the_change_is():
    base, lung = np.full(SHAPE, -0.2), region()
    place = cohort_change.cells(lung, (2.0, 2.0, 2.0))
    rate = np.linspace(0, 0.08, cohort_change.HEIGHTS * cohort_change.DEPTHS)
    patients = [make_visits([base, base + rate[place] * gap * lung], [0, gap]) for gap in (1.0, 2.0)]
    learned = cohort_change.cohort_change(patients)
    present = np.unique(place[lung])
    assert np.allclose(learned.by_place.ravel()[present], rate[present], atol=1e-6)
    assert np.allclose(learned.map_of(lung, (2.0, 2.0, 2.0)), rate[place] * lung, atol=1e-6)
    assert learned.mean == pytest.approx((rate[place] * lung)[lung].mean(), abs=1e-6)


def test_a_cohort_without_two_visits_at_different_times_changes_nothing():
    base = np.full(SHAPE, -0.2)
    learned = cohort_change.cohort_change([make_visits([base], [0]), make_visits([base, base + 0.1], [1, 1])])
    assert (learned.mean, learned.patients) == (0.0, 0)
    assert not learned.by_place.any()


def test_smoothing_stays_inside_the_lung():
    random, lung = np.random.default_rng(0), region()
    volume = np.where(lung, 0.1, random.random(SHAPE)).astype(np.float32)
    smoothed = smooth_inside(volume, lung, 1.5)
    assert np.allclose(smoothed[lung], 0.1, atol=1e-6)
    assert np.array_equal(smoothed[~lung], volume[~lung])


def test_all_forecasts_keep_the_baseline_outside_the_lung():
    patient = linear_patient(noise=0.02)
    table = scored({"001": patient})
    errors = table[(table["method"] != "model (pure)") & (table["method"] != "model (mix)")]
    errors = errors.set_index(["task", "session", "method", "region"])["mse"].unstack()
    assert np.allclose(errors["whole"], errors["lung"] * region().mean(), rtol=1e-4)


# ---- trends and boosting ---------------------------------------------------------------------------------------------


def drifting(seed, noise, rate=0.04, years=(0.0, 1.0, 2.0, 3.0)):
    """The whole lung of a patient drifts at a rate of its own, below noise that a voxel's line multiplies."""
    random = np.random.default_rng(seed)
    base, own = np.full(SHAPE, -0.2), rate * random.uniform(0.5, 1.5)
    volumes = [base + region() * (own * year + noise * random.standard_normal(SHAPE)) for year in years]
    return make_visits(volumes, years)


def test_a_trend_is_believed_as_far_as_it_holds():
    sigmas = [1.0, 3.0]
    parts = functools.partial(trends.image_parts, blur=1.0)
    found, patients = trends.choose_trend([drifting(i, 0.05) for i in range(3)], sigmas, parts)
    assert patients == 3
    assert found["extrapolation"].sigma == 3.0
    assert found["extrapolation"].share > 0.8
    still, _ = trends.choose_trend([drifting(i, 0.05, rate=0) for i in range(3)], sigmas, parts)
    assert still["extrapolation"].share < 0.1
    half, _ = trends.choose_trend([make_visits([np.full(SHAPE, -0.2 + x) for x in (0, 0.1, 0.15)], [0, 1, 2])],
                                  [1.0], trends.latent_parts)  # fmt: skip
    assert half["extrapolation"].share == pytest.approx(0.5, abs=1e-3)
    none, patients = trends.choose_trend([], sigmas, parts)
    assert (none["interpolation"].share, patients) == (0, 0)


def noisy(seed: int, rate: float, years=(0.0, 1.0, 2.0, 3.0)):
    """The same lung with new noise at each visit (sd 0.1), denser by `rate` a year everywhere."""
    random = np.random.default_rng(seed)
    base = np.kron(random.uniform(-0.3, 0.0, (6, 8, 8)), np.ones((2, 2, 2)))
    noise = [0.1 * random.standard_normal(SHAPE) * region() for _ in years]
    return make_visits([base + region() * rate * y + n for y, n in zip(years, noise, strict=True)], years)


def test_the_weighted_mean_averages_noise_and_adds_the_cohorts_change():
    """Of two scans with noise of equal size, each has half the weight."""
    found, patients = choose_weighting([noisy(i, 0.02) for i in range(4)])
    ahead, between = found["extrapolation"], found["interpolation"]
    assert patients == 4
    assert ahead.others == pytest.approx(0.5, abs=0.05) and between.others == pytest.approx(0.5, abs=0.05)
    # the targets lie 1 and 2 years ahead: half a year's change that the mean lacks is spread over these years
    assert ahead.per_year == pytest.approx(0.02 + 0.5 * 0.02 * 3 / 5, abs=0.003)
    assert choose_weighting([]) == (dict.fromkeys(found, Weighting(0.0, 0.0)), 0)
    clean, _ = choose_weighting([linear_patient(seed=i) for i in range(4)])
    assert clean["extrapolation"].others == 0 and clean["extrapolation"].per_year > 0.01


def test_the_weighted_mean_of_one_scan_or_of_three():
    visits = noisy(1, 0.02)
    one, three = visits.take((0,)), visits.take((0, 1, 2))
    alone = BASELINES["weighted mean"](known(one), 2.0)
    assert np.allclose(alone, one.unit[0] + region() * 0.01 * 2.0, atol=1e-6)
    made = BASELINES["weighted mean"](known(three), 3.0)
    mean = 0.75 * three.unit[2] + 0.25 * three.unit[:2].mean(0)
    assert np.allclose(made[region()], (mean + 0.01)[region()], atol=1e-6)
    assert np.array_equal(made[~region()], three.unit[2][~region()])


@pytest.mark.parametrize("method", ["linear_image_shrunk", "linear_latent_shrunk"])
def test_a_trend_that_is_not_believed_changes_nothing(method):
    still = Chosen(dict.fromkeys(("extrapolation", "interpolation"), Trend(1.0, 0.0)), "", 0)
    fitted = dataclasses.replace(FITTED, sigma=Chosen(0.01, "", 0), image_trend=still, latent_trend=still)
    given = linear_patient().take((0, 1))
    assert np.allclose(BASELINES[method](known(given, fitted), 4.0), given.unit[1], atol=1e-6)


def test_boosting_learns_from_the_images_what_a_patient_does_next():
    train = [drifting(i, 0.03) for i in range(6)]
    fitted = dataclasses.replace(FITTED, boosting=boosting.learn_boosting(train, len(train), [drifting(9, 0.03)], 1))
    new = drifting(20, 0.03)
    truth_at = new.unit[2][region()].mean()
    given = known(new.take((0, 1)), fitted)
    errors = {
        name: np.mean((BASELINES[name](given, 2.0)[region()] - truth_at) ** 2)
        for name in ("boosting", "locf_blurred", "linear_image")
    }
    assert errors["boosting"] < 0.3 * min(errors["locf_blurred"], errors["linear_image"])
    assert np.array_equal(BASELINES["boosting"](given, 2.0)[~region()], new.unit[0][~region()])
    assert boosting.learn_boosting([], 0, [], 1) is None
    assert np.array_equal(BASELINES["boosting"](known(new.take((0, 1))), 2.0), known(new.take((0, 1))).blurred(1))


def test_pairs_to_learn_from_never_give_the_target():
    found = list(boosting.pairs(4))
    assert ((0, 1), 3) in found
    assert ((1,), 2) in found
    assert ((0, 3), 2) in found
    assert all(target not in given for given, target in found)
    assert list(boosting.pairs(1)) == []


# ---- no withheld visit is seen ---------------------------------------------------------------------------------------


def test_altered_withheld_visits_change_no_forecast_but_the_oracle():
    patient = linear_patient(noise=0.02)
    for task in forecast_tasks(len(patient)):
        unit = patient.unit.copy()
        unit[list(task.targets)] = np.random.default_rng(9).uniform(-0.5, 0.5, (len(task.targets), *SHAPE))
        altered = make_visits(unit, patient.years)
        years = patient.years[list(task.targets)]
        made = [
            list(forecasting.forecasts(known(whole.take(task.given)), years, carry_forward))
            for whole in (patient, altered)
        ]
        assert len(made[0]) == len(years) * (len(BASELINES) + 3)
        for (index, name, before), (_, _, after) in zip(*made, strict=True):
            assert np.array_equal(before, after), (index, name)
    floors = [
        table.loc[table["method"] == forecasting.ORACLES[0], "mse"].to_numpy()
        for table in (scored({"001": patient}), scored({"001": altered}))
    ]
    assert not np.allclose(*floors)


def test_given_visits_hold_nothing_of_the_others():
    patient = linear_patient()
    given = patient.take((0, 1))
    assert given.sessions == ("01", "02")
    assert given.unit.shape[0] == len(given.latents) == len(given.years) == 2
    assert not np.shares_memory(given.unit, patient.unit)


# ---- scores ----------------------------------------------------------------------------------------------------------


def test_a_shift_of_the_lung_has_known_scores():
    base = np.full(SHAPE, -0.2)
    patient = make_visits([base, base, base + 0.04 * region()], [0, 1, 3])
    table = scored({"001": patient})
    row = table.query("task == 'extrapolation' and method == 'locf'").set_index("region")
    assert row.loc["lung", "mse"] == pytest.approx(0.0016, rel=1e-3)
    assert row.loc["lung", "mse_lowpass"] == pytest.approx(0.0016, rel=1e-3)
    assert row.loc["whole", "mse"] == pytest.approx(0.0016 * region().mean(), rel=1e-3)
    assert row.loc["lung", "density_error_hu"] == pytest.approx(-60, abs=0.1)
    assert np.isnan(row.loc["whole", "density_error_hu"])
    assert row["horizon"].tolist() == [2, 2]
    assert row["given"].tolist() == ["01+02"] * 2
    # -550 HU before, -490 after: the whole lung is of high attenuation in both
    assert row.loc["lung", "high_attenuation_error"] == 0


def test_the_low_pass_is_in_mm_and_at_least_takes_noise_away():
    ruler = scoring.Scorer(WINDOW, low_pass=6.0)
    assert ruler.sigma((3.0, 1.0, 2.0)) == (2.0, 6.0, 3.0)
    assert ruler.sigma((9.0, 5.0, 2.0)) == (1.5, 1.5, 3.0)


def test_skill_is_zero_for_locf_and_one_for_a_perfect_forecast():
    table = scored({"001": linear_patient()}).query("region == 'lung'").set_index("method")
    assert np.allclose(table.loc["locf", "skill"], 0)
    assert np.allclose(table.loc["linear_image", "skill"], 1, atol=1e-3)
    assert np.isnan(table["skill_noisefree"]).all()


def test_a_blur_gains_error_but_hardly_skill():
    random, lung = np.random.default_rng(4), region()
    base = ndimage.gaussian_filter(random.standard_normal(SHAPE), 3) * 0.3 - 0.2
    noisy = [base + 0.08 * random.standard_normal(SHAPE) * lung for _ in range(2)]
    later = base + 0.06 * lung * np.linspace(0, 1, SHAPE[0])[:, None, None]
    patient = make_visits([*noisy, later + 0.08 * random.standard_normal(SHAPE) * lung], [0, 1, 2])
    table = scored({"001": patient}).query("region == 'lung' and task == 'extrapolation'").set_index("method")
    assert table.loc["locf_blurred", "mse"] < 0.75 * table.loc["locf", "mse"]
    assert abs(table.loc["locf_blurred", "skill"]) < 0.15


def test_the_noise_free_truth_is_scored_where_it_is_given():
    clean, noisy = linear_patient(), linear_patient(noise=0.05)
    truths = {"001": dict(zip(clean.sessions, clean.unit, strict=True))}
    table = scored({"001": noisy}, truths).query("region == 'lung' and method == 'locf'")
    assert (table["mse_noisefree"] < table["mse"]).all()
    assert table["skill_noisefree"].notna().all()


def locf_score(patient, truths, prediction):
    """Scores in the lung of one prediction of the third visit from the first two."""
    target = scoring.Target(patient.take([2]), known(patient.take([0, 1])), RULER, truths)
    return scoring.score(prediction, target)["lung"]


def test_true_change_correlates_fully_and_no_change_not_at_all():
    patient = linear_patient()
    truths = dict(zip(patient.sessions, patient.unit, strict=True))
    for measure in ("change_correlation", "change_correlation_noisefree"):
        assert locf_score(patient, truths, patient.unit[2])[measure] == pytest.approx(1, abs=1e-5)
        for knowing_nothing in (
            patient.unit[1],
            known(patient.take([0, 1])).blurred(1),
            patient.unit[1] + 0.03 * region(),
        ):
            assert locf_score(patient, truths, knowing_nothing)[measure] == 0
    still = make_visits([patient.unit[0]] * 3, [0, 1, 2])
    assert np.isnan(locf_score(still, {}, patient.unit[2])["change_correlation"])


def unforetold(seed, noise):
    """Two visits without change, and a third whose change has nothing to do with them: nobody can foretell it."""
    random = np.random.default_rng(seed)
    base, change = (np.kron(random.uniform(*of, (6, 8, 8)), np.ones((2, 2, 2))) for of in ((-0.3, 0.0), (0.0, 0.1)))
    clean = make_visits([base, base, base + change * region()], [0, 1, 2])
    unit = clean.unit + (noise * random.standard_normal(clean.unit.shape) * region()).astype(np.float32)
    return make_visits(unit, clean.years), dict(zip(clean.sessions, clean.unit, strict=True))


def test_denoising_is_no_knowledge_of_change():
    found = {}
    for seed in range(40):
        noisy, truths = unforetold(seed, 0.05)
        denoised = {
            "blur": smooth_inside(noisy.unit[1], region(), 1.5),
            "median": np.where(region(), ndimage.median_filter(noisy.unit[1], 3), noisy.unit[0]),
            "mean": noisy.unit[:2].mean(axis=0),
        }
        for name, made in denoised.items():
            scores = locf_score(noisy, truths, made)
            for measure in ("change_correlation", "change_correlation_noisefree"):
                found.setdefault((name, measure), []).append(scores[measure])
    intervals = {key: metrics.paired_bootstrap(np.array(values), 500, 1) for key, values in found.items()}
    for name in denoised:
        assert not intervals[name, "change_correlation_noisefree"].excludes_zero(), (name, intervals)
    # the observed one is not free of it where several visits are averaged, as its docstring says
    assert 0.2 < intervals["mean", "change_correlation"].mean < 0.4


def test_extent_counts_the_dense_share_of_the_lung():
    base = np.full(SHAPE, -0.4)  # -850 HU
    dense = base.copy()
    dense[2:6] = -0.22  # -580 HU in the lower half of the lung
    patient = make_visits([base, base, dense], [0, 1, 2])
    scores = locf_score(patient, {}, base)
    assert scores["extent_error"] == pytest.approx(-50)
    assert scoring.Scorer(WINDOW, 4.0).extent(np.array([-0.4, 0.0, 0.0, -0.4])) == 50
    assert scoring.extent_per_year(patient, RULER, {}) == pytest.approx(25)
    assert scoring.extent_per_year(patient, RULER, {("001", "01"): 3.0, ("001", "03"): 7.0}) == 2


# ---- change ----------------------------------------------------------------------------------------------------------


def truths_of(patient):
    """The patient's own volumes as the noise-free truth, by session."""
    return {session: patient.unit[number] for number, session in enumerate(patient.sessions)}


def knowing(patients):
    """A stand-in for a model that knows the noise-free truth of every year, by the patients' straight lines."""

    def forecast(given, years, mix):
        truth = patients[given.subject]
        line = (truth.unit[-1] - truth.unit[0]) / (truth.years[-1] - truth.years[0])
        return {"pure": np.stack([truth.unit[0] + line * year for year in years])}

    return forecast


def changes_of(forecast, patients, noise=0.05):
    """change.tsv of extrapolation over all patients, who are seen with noise and of whom the truth is known."""
    rows = []
    for number, (subject, true) in enumerate(patients.items()):
        random = np.random.default_rng(100 + number)
        seen = [unit + noise * random.standard_normal(SHAPE) * region() for unit in true.unit]
        visits = make_visits(seen, true.years, subject)
        scored_as = forecasting.ScoredPatient(subject, "test", "", 1.0)
        rows += forecasting.score_patient(scored_as, visits, FITTED, decode, forecast, RULER, truths_of(true))
    table = forecasting.forecast_table(rows)
    found = change.change_table(summary.groups(table), 200, 1)
    return table, found.query("task == 'extrapolation' and horizon == 'all' and pace == 'all'").set_index(
        ["method", "measure"]
    )


@pytest.fixture(scope="module")
def progressive():
    return {f"{i:03d}": linear_patient(seed=i, subject=f"{i:03d}") for i in range(8)}


def test_whoever_knows_the_truth_foretells_all_of_the_change(progressive):
    table, found = changes_of(knowing(progressive), progressive)
    rows = found.loc["model (pure)"]
    assert set(rows["source"]) == {"truth"} and set(rows["patients"]) == {8}
    for column in ("slope", "correlation", "drawn"):
        assert np.allclose(rows.loc[["density", "high_attenuation"], column], 1, atol=0.02)
    own = table.query("method == 'model (pure)' and region == 'lung'")
    assert own["delta_ssim"].min() > 0.999 and own["delta_error"].max() < 1e-3 * own["delta_size"].max()
    assert table.query("region == 'whole'")["delta_ssim"].isna().all()


def test_whoever_only_removes_noise_foretells_nothing(progressive):
    """The last scan, its blur and the plain mean of the given, at any time ahead: no change at all, so no claim."""
    table, found = changes_of(carry_forward, progressive)
    for method in ("locf", "locf_blurred", "mean_of_given", "mean_of_given_blurred"):
        assert found.loc[method, ["slope", "correlation"]].isna().all(axis=None)
        assert (found.loc[method].loc[["density", "high_attenuation"], "drawn"] == 0).all()
        rows = table.query("method == @method and region == 'lung' and task == 'extrapolation'")
        assert np.allclose(rows["delta_error"], rows["delta_size"])
    # The mean change is no patient's own. That it carries tissue over a threshold where there is much below it is why a
    # claim does not rest on the high-attenuation area alone.
    assert np.isnan(found.loc[("cohort_mean_change", "density"), "correlation"])


def test_a_claim_to_forecast_change_names_what_it_lacks(progressive):
    def model_of(table, unchanged=()):
        found = summary.summarise(table, 40, 1), change.change_table(summary.groups(table), 40, 1)
        tasks = findings.find_tasks(*found, {"test": 8}, unchanged)
        return next(one for one in tasks[0].models if one.method == "model (pure)")

    table, _ = changes_of(knowing(progressive), progressive)
    model = model_of(table)
    assert (model.claim, model.lacking) == ("shown", ())
    denoising, _ = changes_of(carry_forward, progressive)
    model = model_of(denoising)
    assert model.claim == "not shown" and {"skill", "change"} <= set(model.lacking)
    assert "are not shown to go with those foretold" in wording.claim_words(model)

    # Where nobody changes, the same skill is seen: what looks like forecasting there is taking noise away.
    also = pd.concat([table, table.assign(set="still")])
    model = model_of(also, ["still"])
    assert model.lacking == ("still",) and model.beyond[0].skill == 0
    worse = table.assign(set="still", mse_lowpass=table["mse_lowpass"] + 0.01 * (table["method"] == "model (pure)"))
    assert model_of(pd.concat([table, forecasting.forecast_table(worse)]), ["still"]).lacking == ()


def test_without_a_truth_change_is_told_from_the_scans(progressive):
    rows = []
    for subject, visits in progressive.items():
        scored_as = forecasting.ScoredPatient(subject, "test", "fast", 1.0)
        rows += forecasting.score_patient(scored_as, visits, FITTED, decode, knowing(progressive), RULER, {})
    found = change.change_table(summary.groups(forecasting.forecast_table(rows)), 50, 1)
    rows = found.query("method == 'model (pure)' and measure == 'density' and task == 'extrapolation'")
    assert set(rows["source"]) == {"seen"} and "fast" in set(rows["course"])
    assert np.allclose(rows["slope"].dropna(), 1, atol=0.02)


def test_estimates_of_change_are_those_of_textbooks():
    random = np.random.default_rng(0)
    years, true = random.uniform(1, 3, 40), random.normal(2, 1, 40)
    foretold = 0.5 * true + random.normal(0, 0.2, 40)
    found = change._estimates(foretold, true, years, 500, 0)
    assert found["slope"] == pytest.approx(np.polyfit(foretold, true, 1)[0])
    rest = [values - values.mean() / years.mean() * years for values in (foretold, true)]
    assert found["correlation"] == pytest.approx(np.corrcoef(*rest)[0, 1])
    assert found["drawn"] == pytest.approx(foretold.sum() / true.sum())
    for name in change.ESTIMATES:
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_an_interval_of_correlation_holds_zero_as_often_as_it_says():
    random, held = np.random.default_rng(1), 0
    for _ in range(200):
        found = change._estimates(*random.normal(1, 1, (2, 30)), random.uniform(1, 3, 30), 300, 0)
        held += found["correlation_low"] <= 0 <= found["correlation_high"]
    assert 0.88 <= held / 200 <= 0.99


# ---- tuning ----------------------------------------------------------------------------------------------------------


def test_sigma_follows_the_noise():
    random, lung = np.random.default_rng(5), region()
    smooth = ndimage.gaussian_filter(random.standard_normal(SHAPE), 2.5) * 0.5
    sigmas = [0.3, 1.0, 2.0]

    def patient(noise):
        return make_visits([smooth + noise * random.standard_normal(SHAPE) * lung for _ in range(3)], [0, 1, 2])

    assert tuning.choose_sigma([patient(0.001)], sigmas) == (0.3, 1)
    assert tuning.choose_sigma([patient(0.3), patient(0.3)], sigmas) == (2.0, 2)
    assert tuning.choose_sigma([], sigmas) == (1.0, 0)


def test_mix_is_the_least_squares_share():
    patient = linear_patient(noise=0.05)
    truth_of = {year: volume for year, volume in zip(patient.years, patient.unit, strict=True)}

    def forecast(given, years, mix):
        """Pure and residual lie on a line through the target, which is at a share of 0.3."""
        random = np.random.default_rng(1)
        detail = random.standard_normal((len(years), *SHAPE)) * 0.1
        target = np.stack([truth_of[year] for year in years])
        return {"pure": target - 0.3 * detail, "residual": target + 0.7 * detail}

    share, patients = tuning.choose_mix([patient, patient], forecast)
    assert share == pytest.approx(0.3, abs=1e-5)
    assert patients == 2
    assert tuning.choose_mix([], forecast) == (tuning.DEFAULT_MIX, 0)


def test_choices_are_made_on_val_then_train_and_say_so(monkeypatch):
    loaded = []

    def fresh(patient):
        loaded.append(patient.subject)
        return linear_patient(patient.years, noise=0.02)

    monkeypatch.setattr(PatientVisits, "fresh", fresh)
    sets = (("a", "train", 3), ("b", "val", 3), ("c", "test", 4))
    everyone = [patient_of(subject, split, range(count), WINDOW) for subject, split, count in sets]
    fitted = tuning.fit_baselines(everyone, carry_forward, [0.5, 1.0], [1.0, 2.0], 1)
    assert (fitted.sigma.split, fitted.mix.split) == ("val", "val")
    assert fitted.change.patients == 1
    assert "c" not in loaded
    fitted = tuning.fit_baselines([everyone[0], everyone[2]], carry_forward, [0.5, 1.0], [1.0, 2.0], 1)
    assert (fitted.sigma.split, fitted.mix.split) == ("train", "train")
    assert "chosen on 1 train patient." in wording.learned_words(tuning.learned(fitted, WINDOW))[0]
    fitted = tuning.fit_baselines([everyone[2]], carry_forward, [0.5, 1.0], [1.0, 2.0], 1)
    assert (fitted.sigma.split, fitted.sigma.patients, fitted.change.patients) == ("", 0, 0)
    assert "default" in wording.learned_words(tuning.learned(fitted, WINDOW))[0]
    assert "c" not in loaded


def tasks_of(table, found, patients):
    """What is found of a forecast table and of its summary."""
    return findings.find_tasks(found, change.change_table(summary.groups(table), 10, 1), patients, ())


# ---- summary ---------------------------------------------------------------------------------------------------------


def test_summary_has_means_and_paired_intervals():
    patients = {f"{i:03d}": linear_patient(seed=i, noise=0.005) for i in range(8)}
    table = scored(patients)
    found = summary.summarise(table, 200, 1)
    assert list(found.columns) == summary.COLUMNS
    rows = found.query(
        "task == 'extrapolation' and horizon == 'all' and pace == 'all' and region == 'lung' and measure == 'mse'"
    )
    rows = rows.set_index("method")
    assert rows.loc["locf", ["locf_difference", "locf_low", "locf_high"]].tolist() == [0, 0, 0]
    assert (rows["patients"] == 8).all()
    assert (rows["targets"] == 16).all()
    line = rows.loc["model (residual)"]  # carries the last scan forward, as LOCF does
    assert line["locf_difference"] == 0
    scores = table.query("task == 'extrapolation' and region == 'lung'").groupby(["method", "subject"])["mse"].mean()
    assert rows.loc["linear_image", "mean"] == pytest.approx(scores["linear_image"].mean())
    expected = (scores["linear_image"] - scores["locf_blurred"]).mean()
    assert rows.loc["linear_image", "blurred_difference"] == pytest.approx(expected)
    assert rows.loc["linear_image", "locf_high"] < 0
    skill = found.query(
        "task == 'extrapolation' and horizon == 'all' and pace == 'all' and measure == 'skill'"
    ).set_index("method")
    errors = table.query("task == 'extrapolation' and region == 'lung'")
    errors = errors.groupby(["method", "subject"])["mse_lowpass"].mean().groupby("method").sum()
    assert skill.loc["linear_image", "mean"] == pytest.approx(1 - errors["linear_image"] / errors["locf"])
    assert skill.loc["linear_image", "mean"] > 0.5


def test_differences_to_every_baseline_agree_with_the_summary():
    table = scored({f"{i:03d}": linear_patient(seed=i, noise=0.005) for i in range(6)})
    found, wide = summary.compare(table, 200, 1), summary.summarise(table, 200, 1)
    assert list(found.columns) == summary.DIFFERENCE_COLUMNS
    assert set(found["reference"]) == set(BASELINES)
    assert not (found["method"] == found["reference"]).any()
    keys = [*summary.GROUP, "method", "measure"]
    both = found[found["reference"] == "locf_blurred"].merge(wide, on=keys)
    for name in ("difference", "low", "high"):
        assert np.allclose(both[name], both[f"blurred_{name}"], equal_nan=True)
    one = metrics.paired_bootstrap(np.arange(5.0), 100, 3)
    assert np.allclose(metrics.paired_bootstraps(np.arange(5.0)[:, None], 100, 3)[0], one)


def test_sets_and_paces_are_summarised_apart():
    patients = {f"{i:03d}": linear_patient(seed=i, noise=0.005) for i in range(7)}
    table = pd.concat([scored(patients), scored({"9": linear_patient(seed=9)}, name="north")])
    found = summary.summarise(table, 20, 1)
    rows = found.query("task == 'extrapolation' and region == 'lung' and measure == 'mse' and method == 'locf'")
    rows = rows[rows["horizon"] == "all"].set_index(["set", "pace"])["patients"]
    assert rows.to_dict() == {
        **{("test", "all"): 7, ("test", "slow"): 3, ("test", "middle"): 2, ("test", "fast"): 2},
        ("north", "all"): 1,
    }
    assert summary.pace_of(table)["006"] == "fast"
    said = wording.forecast_words(tasks_of(table, found, {"north": 2, "test": 7}))
    assert "Extrapolation, set north: 1 of 2 patients" in said[-2]
    assert not any("north" in sentence for sentence in said[:-2])


def test_how_hard_a_cohort_is():
    clean, noisy = linear_patient((0.0, 1.0, 2.0)), linear_patient((0.0, 1.0, 2.0), noise=0.05)
    table = scored({"001": noisy}, {"001": dict(zip(clean.sessions, clean.unit, strict=True))})
    found = change_signal.change_signal(table, WINDOW)["test"]
    change = np.mean((clean.unit[1] - clean.unit[0])[region()] ** 2)
    assert found["disease_share"] == pytest.approx(change / (change + 2 * 0.05**2), rel=0.05)
    assert found["rms_hu"] == pytest.approx(1500 * (change + 2 * 0.05**2) ** 0.5, rel=0.05)
    assert (found["patients"], found["targets"]) == (1, 2)
    assert "is disease" in wording.hardness_words(*findings.find_hardness({"test": found}))
    assert change_signal.change_signal(scored({"001": noisy}), WINDOW)["test"]["disease_share"] is None
    assert change_signal.change_signal(scored({}), WINDOW) == {}


def test_a_set_without_change_names_what_beats_a_blur():
    still = {f"{i:03d}": drifting(i, 0.04, rate=0) for i in range(8)}
    clean = drifting(0, 0, rate=0)
    table = scored(still, {subject: dict(zip(clean.sessions, clean.unit, strict=True)) for subject in still})
    table["extent_per_year"] = 0.0
    assert change_signal.unchanged_sets(table) == ["test"]
    differences = summary.compare(table, 200, 1)
    better = change_signal.better_than("locf_blurred", differences, "test")
    assert "linear_image" not in better
    assert "locf" not in better
    assert "mean_of_given_blurred" in better  # averages noise
    assert change_signal.better_than("mean_of_given_blurred", differences, "test") == []
    assert "has foretold nothing" in wording.better_words(*findings.find_better(differences, ["test"]))
    assert change_signal.unchanged_sets(table.assign(extent_per_year=1.0)) == []


def test_summary_splits_by_horizon():
    patient = linear_patient(years=(0.0, 1.0, 1.5, 2.5, 4.0))
    found = summary.summarise(scored({"001": patient}), 10, 1)
    rows = found.query("task == 'extrapolation' and region == 'lung' and measure == 'mse' and method == 'locf'")
    assert dict(zip(rows["horizon"], rows["targets"], strict=True)) == {"all": 3, "<1": 1, "1-2": 1, ">2": 1}
    assert rows["locf_low"].isna().all()  # one patient has no interval


def test_without_withheld_visits_the_tables_are_empty_and_the_words_say_why(tmp_path):
    table = scored({"001": linear_patient(years=(0.0, 1.0))})
    found = summary.summarise(table, 10, 1)
    assert (len(table), len(found)) == (0, 0)
    assert list(table.columns) == forecasting.COLUMNS
    for frame, name in ((table, "forecast.tsv"), (found, "summary.tsv")):
        write_table(frame, tmp_path / name)
        for suffix in (".tsv", ".parquet"):
            assert list(read_table(tmp_path / name).columns) == list(read_table((tmp_path / name).with_suffix(suffix)))
    said = wording.forecast_words(tasks_of(table, found, {"test": 1}))
    assert len(said) == 2
    assert all("none of 1 test patient has three usable visits" in sentence for sentence in said)


def test_words_state_counts_differences_and_verdicts():
    table = scored({"001": linear_patient()})
    few = wording.forecast_words(tasks_of(table, summary.summarise(table, 10, 1), {"test": 3}))
    assert "1 of 3 test patients have the three usable visits that this takes, 2 visits withheld" in few[0]
    assert "[no interval]" in few[1]
    assert "too few patients to tell" in few[1]
    assert "Too few patients to say" in few[1]
    many = {f"{i:03d}": linear_patient(seed=i, noise=0.005) for i in range(8)}
    table = scored(many)
    found = tasks_of(table, summary.summarise(table, 100, 1), {"test": 9})
    said = " ".join(wording.forecast_words(found))
    assert "8 of 9 test patients have the three usable visits that this takes, 16 visits withheld" in said
    assert "+0.00 [+0.00, +0.00] against the last scan carried forward (not distinguishable)" in said
    assert "That it forecasts change is not shown" in said


def test_a_better_method_is_called_better():
    assert findings.verdict(-1.0, -2.0, -0.5, 9) == "better"
    assert findings.verdict(1.0, 0.5, 2.0, 9) == "worse"
    assert findings.verdict(-1.0, -2.0, 0.5, 9) == "not distinguishable"
    assert findings.verdict(-1.0, np.nan, np.nan, 9) == "not distinguishable"
    assert findings.verdict(-1.0, -2.0, -0.5, 3) == "too few patients to tell"


# ---- reconstruction and codes ----------------------------------------------------------------------------------------


def test_reconstructions_and_codes():
    exact, rough = linear_patient(), linear_patient(noise=0.1, subject="002", split="val")
    rows = reconstruction.score_reconstructions(exact, decode)
    rows += reconstruction.score_reconstructions(rough, decode)
    table = reconstruction.reconstruction_table(rows)
    assert len(table) == 2 * 4 * 2
    assert table.query("subject == '001'")["mse"].max() < 1e-10
    assert table.query("subject == '002' and region == 'lung'")["mse"].min() > 1e-3
    counts = {"test": np.array([5, 5, 0, 0]), "val": np.array([99999, 1, 0, 0])}
    codes = reconstruction.code_table(counts)
    by_split = codes.groupby("split")[["used", "frequency", "perplexity"]].agg({"used": "sum", "perplexity": "first"})
    assert by_split.loc["test", "used"] == 2
    assert by_split.loc["test", "perplexity"] == pytest.approx(2)
    assert by_split.loc["val", "used"] == 1  # 1e-5 is less than 1e-4
    found = EvaluateFindings(findings.find_reconstructed(table), findings.find_codes(codes))
    assert any("2 of 4" in sentence for sentence in wording.sentences(found))


def test_code_counts_are_those_of_the_lung():
    patient = linear_patient()
    counts = reconstruction.count_codes(patient, 8)
    assert counts.sum() == sum(latents.mask.sum() for latents in patient.latents)


def test_no_held_out_scan_leaves_empty_tables():
    table, codes = reconstruction.reconstruction_table([]), reconstruction.code_table({})
    assert (len(table), len(codes)) == (0, 0)
    assert list(table.columns) == reconstruction.COLUMNS
    assert list(codes.columns) == reconstruction.CODE_COLUMNS
    found = EvaluateFindings(findings.find_reconstructed(table), findings.find_codes(codes))
    assert wording.sentences(found) == ["Reconstruction: there is no held-out scan."]


# ---- simulated truth -------------------------------------------------------------------------------------------------


def image(array, spacing=(2.0, 2.0, 2.0), origin=(5.0, -7.0, 11.0), vector=False):
    made = sitk.GetImageFromArray(array, isVector=vector)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    return made


def test_dice_against_true_masks_on_another_grid(tmp_path):
    lung = region().astype(np.uint8)
    labels = lung.copy()
    labels[:, :, 8:] *= 2  # left and right lung
    (tmp_path / "truth").mkdir()
    flipped = sitk.Flip(image(lung), [True, False, True])  # the same lungs, other array order
    sitk.WriteImage(flipped, str(tmp_path / "truth/sub-001_ses-02_desc-truth_mask.nii.gz"))
    mask, empty = (tmp_path / f"sub-001_ses-{s}_desc-lung_mask.nii.gz" for s in ("02", "03"))
    sitk.WriteImage(image(labels), str(mask))
    empty.write_bytes(b"")
    known = truth.truth_files([tmp_path / "truth"], "truth_mask")
    table = truth.segmentation_table([empty, mask], {**known, ("001", "03"): mask})
    assert table.to_dict("records") == [{"subject": "001", "session": "02", "dice": 1.0}]


def test_registration_errors_of_a_known_displacement(tmp_path):
    points = np.random.default_rng(1).uniform(8, 20, (50, 3)) + (5, -7, 11)
    moved = points + (3.0, 4.0, 0.0)
    columns = [f"{kind}_{axis}" for kind in ("baseline", "visit") for axis in "xyz"]
    landmarks = pd.DataFrame(np.hstack([points, moved]), columns=columns)
    path = tmp_path / "sub-001_ses-02_desc-truth_landmarks.tsv"
    write_table(landmarks, path)  # and its parquet twin beside it
    files = truth.truth_files([tmp_path], "truth_landmarks")
    assert files == {("001", "02"): path}
    field = np.zeros((16, 16, 16, 3), np.float32)
    field[..., 0], field[..., 1] = 3.0, 2.0  # one component is 2 mm short
    paths = [tmp_path / f"sub-001_ses-{s}_from-baseline_to-native_xfm.nii.gz" for s in ("01", "02")]
    for target in paths:
        sitk.WriteImage(image(field, vector=True), str(target))
    table = truth.registration_table(paths, {**files, ("001", "01"): path}, [("001", "01")])
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["session"], row["landmarks"]) == ("02", 50)
    for name in ("mean", "median", "p95"):
        assert row[f"before_{name}"] == pytest.approx(5, abs=1e-4)
        assert row[f"after_{name}"] == pytest.approx(2, abs=1e-4)
    assert "5.00 mm before, 2.00 mm after" in wording.fields_words(findings.find_fields(table))
    assert findings.find_masks(pd.DataFrame(columns=["dice"])) is None


def test_noise_free_scan_on_its_own_grid_is_itself(tmp_path):
    hu = np.random.default_rng(2).integers(-1000, 400, SHAPE).astype(np.int16)
    path = tmp_path / "sub-001_ses-02_desc-noisefree_ct.nii.gz"
    sitk.WriteImage(image(hu), str(path))
    found = truth.noisefree_on_grid(path, path, WINDOW)
    assert np.allclose(found, (hu + 1000) / 1500 - 0.5, atol=1e-6)


# ---- files -----------------------------------------------------------------------------------------------------------


def test_patients_are_matched_with_their_files_in_the_order_of_time(tmp_path):
    split = pd.DataFrame(
        [("001", "b", 2.0, "test"), ("001", "a", 0.0, "test"), ("002", "a", 0.0, "train")],
        columns=["subject", "session", "years", "split"],
    )
    resampled, latents = tmp_path / "resample", tmp_path / "extract_latents"
    for folder, ending in ((resampled, VOLUME), (resampled, LUNG_MASK), (latents, LATENTS)):
        for path in scan_files(folder, split, ending):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    first, second = find_patients(split, resampled, latents, WINDOW)
    assert (first.subject, first.sessions, first.years.tolist(), first.split) == ("001", ("a", "b"), [0.0, 2.0], "test")
    assert first.baseline.mask == resampled / "sub-001/sub-001_ses-a_desc-lung_mask.nii.gz"
    assert of_split([first, second], "test", 2) == [first]
    assert of_split([first, second], "train", 2) == []
    assert (first.set, first.baseline.site) == ("test", "")
    sites = split.assign(split="external", site=["north", "north", ""])
    assert [patient.set for patient in find_patients(sites, resampled, latents, WINDOW)] == ["north", "external"]
    scan_file(resampled, "002", "a", VOLUME).unlink()
    with pytest.raises(FileNotFoundError, match=r"sub-002_ses-a_desc-preproc_ct\.nii is not there"):
        find_patients(split, resampled, latents, WINDOW)


# ---- bands


def test_bands_hold_what_they_promise_and_their_scale_grows_with_the_gap():
    """Residuals that grow with the gap, and that one given scan triples; half of them for patients to calibrate on."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(400):
        for gap in (0.5, 3.0):
            for given, spread in ((1, 6 * gap), (2, 2 * gap)):
                seen = -800 + rng.normal(0, spread)
                rows.append((f"{patient:03d}", "train", given, gap, gap, "mean_density_hu", seen, -800.0, -800.0))
    table = pd.DataFrame(rows, columns=calibration.COLUMNS)
    first, second = table.iloc[:800], table.iloc[800:]
    found = calibration.Calibration.of(first, 1.7)
    carried = found.carried["mean_density_hu"]
    for given in (1, 2):
        band, part = found.band("mean_density_hu", given), second[second["given"] == given]
        known = [part[name].to_numpy() for name in ("forecast", "gap", "at_hand")]
        low, high = band.around(*known)
        inside = (low <= part["observed"]) & (part["observed"] <= high)
        assert 0.85 < inside.mean() < 0.95
        assert all(0.83 < inside[part["gap"] == gap].mean() < 0.97 for gap in (0.5, 3.0))
        short, long = (band.scale(np.array([gap]), np.zeros(1))[0] for gap in (0.5, 3.0))
        assert long / short == pytest.approx(6, rel=0.25)
        ends = carried.around(*known)
        assert (high - low).mean() < (0.6 if given == 2 else 1.4) * (ends[1] - ends[0]).mean()
    assert calibration.Calibration.from_record(found.record()) == found
    assert found.band("mean_density_hu", 5) == found.band("mean_density_hu", 2)


def test_bands_hold_for_the_slow_and_for_the_fast_and_count_who_stands_behind_them():
    """Of every patient in whom much change is forecast more is seen than that, of the others nothing but noise."""
    rng = np.random.default_rng(1)
    rows = []
    for patient in range(400):
        forecast = 20.0 * (patient % 2)
        seen = 1.6 * forecast + rng.normal(0, 3)
        rows.append((f"{patient:03d}", "train", 2, 1.0, 1.0, "mean_density_hu", seen, forecast, 0.0))
    table = pd.DataFrame(rows, columns=calibration.COLUMNS)
    band = calibration.fit_bands(table.iloc[:200])["mean_density_hu"][1]
    for forecast in (0.0, 20.0):
        part = table.iloc[200:].query("forecast == @forecast")
        low, high = band.around(part["forecast"].to_numpy(), part["gap"].to_numpy(), part["at_hand"].to_numpy())
        assert 0.85 < ((low <= part["observed"]) & (part["observed"] <= high)).mean() <= 1
        assert band.patients(forecast, 1.0, 0.0) == 100
        whole = calibration.Band(band.a, band.b, band.c, band.low, band.high, band.residuals)
        ends = whole.around(forecast, 1.0, 0.0)
        assert (high - low).mean() < 0.8 * (ends[1] - ends[0]), "the band of all is as wide as both together"
        assert whole.patients(forecast, 1.0, 0.0) is None


def test_the_quantiles_of_a_group_are_drawn_towards_those_of_all():
    """In the 8 patients without a forecast change none is seen: 8 of 28 parts are their own quantiles, 0."""
    rows = []
    for number in range(24):
        seen, forecast = float(number % 9 - 4) * (number % 3), float(number % 3)
        rows.append((f"{number:02d}", "train", 2, 1.0, 1.0, "mean_density_hu", forecast + seen, forecast, 0.0))
    band = calibration.fit_bands(pd.DataFrame(rows, columns=calibration.COLUMNS))["mean_density_hu"][1]
    assert [group.patients for group in band.groups] == [8, 8, 8]
    slow = band.groups[0]
    assert slow.low == pytest.approx(20 / 28 * band.low) and slow.high == pytest.approx(20 / 28 * band.high)


def test_bands_of_few_residuals_are_those_of_all_or_none():
    rows = [(f"{n}", "train", 1 + (n > 20), 1.0, 1.0, "mean_density_hu", float(n), 0.0, 0.0) for n in range(25)]
    table = pd.DataFrame(rows, columns=calibration.COLUMNS)
    one, more = calibration.fit_bands(table)["mean_density_hu"]
    assert one.residuals == 21 and more.residuals == 25
    assert calibration.fit_bands(table.iloc[:10]) == calibration.carried_bands(table.iloc[:10]) == {}
    assert calibration.Calibration({}, {}, 1.0).band("mean_density_hu", 1) is None


def test_a_band_of_few_patients_is_a_little_wider_than_their_quantiles():
    """Of 40 patients, these 39 and one to come, 2 may lie below and 2 above. The 5 % quantile of the 39 is at 1.45."""
    rows = [(f"{n}", "train", 1, 1.0, 1.0, "mean_density_hu", float(n), 0.0, 0.0) for n in range(39)]
    band = calibration.carried_bands(pd.DataFrame(rows, columns=calibration.COLUMNS))["mean_density_hu"]
    assert (band.low, band.high) == pytest.approx((0.5, 37.5))


def covered(patients, visits, inside, *, taken="", course="", gap=1.0, change=1.0, width=10.0, rate=1.0, start=0):
    """Rows of the bands of one kind of patients; `inside` says of a visit's number whether it lies in the band."""
    return [
        ("test", f"{start + one:03d}", course, rate, taken, gap, gap, "mean_density_hu",
         float(inside(one * visits + visit)), width, 1.0, 20.0, change)
        for one in range(patients) for visit in range(visits)
    ]  # fmt: skip


def told_of(rows):
    return coverage.coverage_table(rows, 200, 1).set_index(["group", "value"])


def test_coverage_counts_visits_and_draws_patients():
    rows = covered(5, 2, lambda visit: visit < 8)
    table = coverage.coverage_table(rows, 200, 1)
    row = next(table.itertuples())
    assert (row.coverage, row.width, row.carried_coverage, row.carried_width) == (0.8, 10.0, 1.0, 20.0)
    assert (row.group, row.patients, row.visits) == ("all", 5, 10) and row.coverage_low < 0.8 < row.coverage_high <= 1
    assert coverage.coverage_table([], 200, 1).empty
    (said, *_) = (wording.band_words(band) for band in findings.find_bands(table))
    assert said.startswith("Set test: 10 visits of 5 patients: too few patients to say what the 90 % band of mean lung")
    many = coverage.coverage_table(covered(50, 2, lambda visit: visit < 80), 200, 1)
    (said, *_) = (wording.band_words(band) for band in findings.find_bands(many))
    assert said.startswith("Set test: 80 % [")


def test_bands_have_verdicts_by_group_and_too_few_patients_have_none():
    rows = covered(40, 1, lambda visit: visit % 10 > 0, gap=0.5, rate=0.0, course="stable")  # nine in ten
    rows += covered(40, 1, lambda visit: visit % 2, gap=3.0, rate=9.0, course="fast", taken="kernel", start=40)
    rows += covered(5, 1, lambda visit: True, gap=1.0, rate=4.0, course="acute", taken="breath; kernel", start=80)
    held = told_of(rows)["held"].to_dict()
    assert held[("course", "stable")] == held[("taken", "as the baseline")] == "as promised"
    assert held[("course", "fast")] == held[("taken", "kernel")] == held[("horizon", "long")] == "too narrow"
    assert held[("course", "acute")] == held[("taken", "breath")] == "too few patients"
    assert told_of(rows).loc[("taken", "kernel"), "patients"] == 45
    assert {value for group, value in held if group == "pace"} == {"slow", "middle", "fast"}
    thirds = told_of(rows).loc["horizon"]
    assert thirds["visits"].tolist() == [29, 28, 28] and thirds.loc["short", "gap_high"] == 0.5
    assert held[("all", "all")] == "too narrow"


def test_a_band_that_holds_everything_is_too_wide_only_where_patients_are_many():
    def verdict(patients):
        return told_of(covered(patients, 1, lambda visit: True)).loc[("all", "all")]

    assert verdict(20)["held"] == "as promised" and verdict(20)["coverage_low"] == pytest.approx(0.8389, abs=1e-4)
    assert verdict(60)["held"] == "too wide"


def test_intervals_of_coverage_hold_the_truth_as_often_as_they_say():
    """Sixty patients of one to three visits, nine in ten of which lie inside: one patient's visits go together."""
    random, held = np.random.default_rng(5), []
    for _ in range(50):
        rows = []
        for one in range(60):
            lucky, visits = random.random() < 0.9, int(random.integers(1, 4))
            rows += covered(1, visits, lambda visit, lucky=lucky: lucky, start=one)
        row = coverage.coverage_table(rows, 200, 1).iloc[0]
        held.append(row["coverage_low"] <= 0.9 <= row["coverage_high"])
    assert 0.86 <= np.mean(held) <= 1


def test_what_is_below_what_repeat_scans_differ_by_is_said():
    assert below_floor("mean_density_hu", -4.9, 10.0) == "change"  # half of the band is at the floor, not below
    assert below_floor("mean_density_hu", 8.0, 9.9) == "half of the band"
    assert below_floor("mean_density_hu", 0.0, 1.0) == "change and half of the band"
    assert below_floor("high_attenuation_percent", 0.0, 0.1) == "" and np.isnan(floor_of("high_attenuation_percent"))
    table = coverage.coverage_table(covered(12, 1, lambda visit: True, change=-3.0, width=8.0), 200, 1)
    (said, *_) = (wording.band_words(band) for band in findings.find_bands(table))
    assert "The change foretold is 3 in the mean, two scans a week apart differ by 5: change and half of the" in said
    assert said.endswith("band below what a repeat scan differs by.")
