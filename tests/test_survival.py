"""Survival: known C-indices, no leakage from held-out patients, the clock, and cohorts too poor for a model."""

import json

import numpy as np
import pandas as pd
import pytest
from sksurv.metrics import concordance_index_censored

from helpers.scripts import run_script
from lung4d.biomarkers.table import DENSITIES, KEYS, code_columns
from lung4d.io.tables import read_table, write_table
from lung4d.survival import concordance, covariates, cox, fast_cox, kaplan_meier, selection
from lung4d.survival.analysis import CINDEX, RISK, analyse
from lung4d.survival.findings import summary
from lung4d.survival.fitting import SurvivalSettings
from lung4d.survival.landmark import landmark, landmark_samples, outcome_table, taken_otherwise

SETTINGS = SurvivalSettings(
    seed=1, top_codes=5, covariates=["age", "sex", "smoking"], ridge=0.1, min_events=5, bootstrap=200, resamples=6
)


def cohort(patients: int, codes: int, effect: float, seed: int, test_share: float = 0.5, visits: int = 3):
    """Biomarkers, split and participants in which code 3 multiplies the hazard by exp(effect) per standard deviation.

    Frequencies grow a little from visit to visit; the generated third scan is the real one with noise.
    """
    generator = np.random.default_rng(seed)
    state = generator.normal(size=(patients, codes))
    hazard = 0.25 * np.exp(effect * state[:, 3])
    death, censored = generator.exponential(1 / hazard), generator.uniform(1.0, 8.0, patients)
    rows, split, participants = [], [], []
    for index in range(patients):
        subject = f"{index:04d}"
        years = [0.0, *(np.cumsum(generator.uniform(0.2, 0.5, visits - 1)).round(3) if visits > 1 else [])]
        named = "test" if index < patients * test_share else ("val" if index % 5 == 0 else "train")
        for visit, year in enumerate(years):
            rows.append((subject, "real", f"{visit + 1:02d}", "", year, _frequencies(state[index], 0, generator)))
            split.append((subject, f"{visit + 1:02d}", year, named))
        if visits > 2:
            rows.append((subject, "generated", "", "01+02", years[2], _frequencies(state[index], 0.3, generator)))
        participants.append(
            {
                "subject": subject,
                "followup_years": float(min(death[index], censored[index])),
                "event": int(death[index] <= censored[index]),
                "age": float(generator.normal(68, 8)),
                "sex": str(generator.choice(["M", "F"])),
                "smoking": str(generator.choice(["never", "ex", "current"])),
            }
        )
    frequencies = pd.DataFrame([row[-1] for row in rows], columns=[f"code_{code:03d}" for code in range(codes)])
    keys = pd.DataFrame([(*row[:2], *row[2:5]) for row in rows], columns=KEYS)
    densities = pd.DataFrame(generator.normal(-750, 40, (len(rows), 2)), columns=DENSITIES)
    split = pd.DataFrame(split, columns=["subject", "session", "years", "split"])
    return pd.concat([keys, densities, frequencies], axis=1), split, participants


def _frequencies(state: np.ndarray, noise: float, generator: np.random.Generator) -> np.ndarray:
    logits = 0.5 * (state + (noise + 0.05) * generator.normal(size=len(state)))
    return np.exp(logits) / np.exp(logits).sum()


def c_of(results, analysis: str, model: str, scan: str) -> pd.Series:
    table = results.cindex.set_index(["analysis", "model", "scan", "set"])
    return table.loc[(analysis, model, scan, "test")]


# C-index


@pytest.mark.parametrize("seed", range(5))
def test_c_index_agrees_with_scikit_survival(seed):
    generator = np.random.default_rng(seed)
    time = generator.integers(1, 15, 30).astype(float) if seed % 2 else generator.exponential(size=30)
    risk, event = generator.integers(0, 6, 30).astype(float), generator.random(30) < 0.6
    expected, concordant, discordant, tied, _ = concordance_index_censored(event, time, risk)
    assert concordance.c_index(risk, time, event) == pytest.approx(expected)
    ordered, comparable = concordance.pair_matrices(risk, time, event)
    assert comparable.sum() == concordant + discordant + tied
    assert ordered.sum() / comparable.sum() == pytest.approx(expected)


def test_c_index_by_hand_and_its_orientation():
    time, event = np.array([1.0, 2.0, 3.0]), np.array([True, True, False])
    assert concordance.c_index([3, 2, 1], time, event) == 1.0  # who dies first has the highest risk
    assert concordance.c_index([1, 2, 3], time, event) == 0.0
    assert concordance.c_index([3, 1, 2], time, event) == pytest.approx(2 / 3)
    assert np.isnan(concordance.c_index([1, 2, 3], time, np.zeros(3, bool)))


def test_interval_of_a_perfect_score_is_one_and_of_no_pairs_missing():
    time = np.arange(1.0, 21.0)
    perfect = concordance.score_patients(-time, time, np.ones(20, bool), 100, 1)
    assert (perfect.c, perfect.low, perfect.high, perfect.pairs) == (1.0, 1.0, 1.0, 190)
    assert np.isnan(concordance.score_patients(-time, time, np.zeros(20, bool), 100, 1).low)
    assert concordance.score_patients(np.array([]), np.array([]), np.array([], bool), 10, 1).pairs == 0


def test_interval_covers_as_often_as_it_says():
    truth, generator = truth_of_gumbel(), np.random.default_rng(0)
    inside = 0
    for repeat in range(100):
        risk = generator.gumbel(size=60)
        time = generator.exponential(np.exp(-risk))
        found = concordance.score_patients(risk, time, np.ones(60, bool), 200, repeat)
        inside += found.low <= truth <= found.high
    assert 88 <= inside <= 100


def truth_of_gumbel() -> float:
    """P(higher risk dies first) = E[1 / (1 + exp(-|d|))] for the difference d of two Gumbel variables (logistic)."""
    d = np.linspace(0, 40, 400_001)
    density = 2 * np.exp(-d) / (1 + np.exp(-d)) ** 2
    return float(np.trapezoid(density / (1 + np.exp(-d)), d))


def test_difference_of_a_score_with_itself_is_zero():
    generator = np.random.default_rng(3)
    one = concordance.score_patients(
        generator.normal(size=20), generator.exponential(size=20), np.ones(20, bool), 50, 7
    )
    assert concordance.difference(one, one) == (0.0, 0.0, 0.0)


# Cox model


def test_fit_finds_a_known_hazard_ratio_and_ignores_constants():
    generator = np.random.default_rng(0)
    x = pd.DataFrame({"strong": generator.normal(5, 2, 2000), "noise": generator.normal(size=2000), "same": 1.0})
    time = pd.Series(generator.exponential(np.exp(-0.4 * (x["strong"] - 5))))
    model = cox.fit_cox(x, time, pd.Series(True, index=x.index), ridge=0.0)
    assert model.coef["strong"] / model.sd["strong"] == pytest.approx(0.4, abs=0.05)
    assert abs(model.coef["noise"]) < 0.08
    assert model.dropped == ("same",)
    assert concordance.c_index(model.risk(x), time, np.ones(2000, bool)) > 0.65


def test_separation_and_constant_variables_are_said_in_words():
    time = pd.Series(np.arange(1.0, 11.0))
    with pytest.raises(cox.CannotFit, match="no variable differs"):
        cox.fit_cox(pd.DataFrame({"a": np.ones(10)}), time, time > 3, 0.1)
    with pytest.raises(cox.CannotFit, match=r"no finite maximum|does not converge"):
        cox.fit_cox(pd.DataFrame({"a": -time}), time, time > 0, 0.0)
    assert np.isfinite(cox.fit_cox(pd.DataFrame({"a": -time}), time, time > 0, 0.1).coef["a"])


def test_proportional_hazards_test_sees_a_crossing_effect():
    generator = np.random.default_rng(2)
    x = pd.DataFrame({"crossing": np.repeat([0.0, 1.0], 300), "fine": generator.normal(size=600)})
    # half of the group dies at once, the others late: an effect that turns around
    late = generator.exponential(1.0, 600)
    early = (x["crossing"] == 1) & (generator.random(600) < 0.5)
    time, died = pd.Series(np.where(early, 0.05 * late, late * (1 + x["crossing"]))), pd.Series(True, index=x.index)
    p = cox.proportional_hazards(cox.fit_cox(x, time, died, 0.0), x, time, died, 0.0)
    assert p["crossing"] < 0.001
    assert p["fine"] > 0.01


def test_quick_fit_equals_lifelines_with_and_without_ridge():
    generator = np.random.default_rng(1)
    x = pd.DataFrame(generator.normal(size=(80, 3)), columns=["a", "b", "c"])
    scaled = (x - x.mean()) / x.std()
    time = pd.Series(generator.exponential(np.exp(-0.7 * x["a"])))
    event = pd.Series(generator.random(80) < 0.7)
    for ridge in (0.0, 0.1, 1.0):
        beta = fast_cox.fit_fast(scaled.to_numpy(), time.to_numpy(), event.to_numpy(), ridge)
        np.testing.assert_allclose(beta, cox.fit_cox(x, time, event, ridge).coef, atol=2e-4)


def test_quick_score_test_agrees_with_the_wald_test():
    biomarkers, _, participants = cohort(300, 12, 0.4, seed=5)
    first = biomarkers[biomarkers["session"] == "01"].reset_index(drop=True)
    codes, outcomes = first[code_columns(first)], pd.DataFrame(participants)
    age = outcomes[["age"]]
    time, event = outcomes["followup_years"], outcomes["event"].astype(bool)
    arrays = (codes.to_numpy(), ((age - age.mean()) / age.std()).to_numpy(), time.to_numpy(), event.to_numpy())
    wald = [cox.fit_cox(age.assign(code=codes[code]), time, event, 0.0).p["code"] for code in codes]
    np.testing.assert_allclose(np.log(fast_cox.score_test(*arrays, 0.0)), np.log(wald), atol=0.35, rtol=0.1)
    assert selection.quick_top(*arrays, 0.0, 1) == [3]


# covariates


def test_covariates_are_imputed_and_encoded_in_words():
    table = pd.DataFrame(
        {"age": [60.0, None, 80.0], "sex": ["M", "F", ""], "smoking": ["ex", "current", "never"], "bmi": [None] * 3}
    )
    encoder = covariates.learn_encoder(table, ["age", "sex", "smoking", "bmi", "absent"], table.iloc[:1])
    coded = covariates.encode(encoder, table)
    assert coded.columns.tolist() == ["age", "sex_M", "smoking_current", "smoking_ex"]
    assert coded["age"].tolist() == [60.0, 70.0, 80.0]
    assert coded["smoking_ex"].tolist() == [1.0, 0.0, 0.0]
    words = " ".join(encoder.words)
    assert "age is missing in 1 of 3 training and 0 of 1 other patients; the median" in words
    assert "bmi is not known" in words
    assert "absent is not known" in words
    # of a level that training never saw nothing is known
    assert (
        covariates.encode(encoder, table.assign(smoking="pipe"))[["smoking_ex", "smoking_current"]]
        .isna()
        .all(axis=None)
    )


def test_gap_index_by_hand():
    table = pd.DataFrame(
        {"sex": ["F", "M", "M"], "age": [60, 66, 63], "fvc_pct": [80, 49, 60], "dlco_pct": [60.0, 30.0, None]}
    )
    points = covariates.gap_points(table)
    assert points.tolist()[:2] == [0.0, 7.0]
    assert np.isnan(points[2])


# clock


def test_clock_starts_at_the_landmark_and_leaves_out_who_is_gone():
    outcomes = outcome_table(
        [
            {"subject": "01", "followup_years": 3.0, "event": 1},
            {"subject": "02", "followup_years": 1.0, "event": 1},  # dead before
            {"subject": "03", "followup_years": 1.5, "event": 0},  # censored before
            {"subject": "04", "followup_years": None, "event": 1},
            {"subject": "05", "followup_years": 2.0, "event": 0},  # censored at the landmark itself
        ]
    )
    start = pd.Series({name: 2.0 for name in ("01", "02", "03", "04", "05")})
    clock, excluded = landmark(outcomes, pd.Series({"01": "test"}), start)
    assert clock.index.tolist() == ["01"]
    assert clock.loc["01", "time"] == 1.0
    assert clock.loc["01", "event"]
    assert excluded == {
        "no outcome": 1,
        "died on the day the clock starts or before": 1,
        "last seen on the day the clock starts or before": 2,
    }


def test_real_and_generated_third_scans_share_patients_and_clock():
    biomarkers, split, participants = cohort(40, 4, 0.0, seed=1)
    absent = biomarkers[(biomarkers["kind"] == "generated")].index[:3]
    biomarkers = biomarkers.drop(absent)
    outcomes = outcome_table(participants)
    _, third, change = landmark_samples(biomarkers, split, outcomes, DENSITIES + code_columns(biomarkers))
    held_out = third.clock.index[third.clock["set"] == "test"]
    years = biomarkers[(biomarkers["kind"] == "real") & (biomarkers["session"] == "03")].set_index("subject")["years"]
    for scan in ("real", "generated", "carried_forward"):
        assert set(held_out) <= set(third.features[scan].index)
        assert set(held_out) <= set(change.features[scan].index)
    assert third.excluded["no generated third scan"] >= 1
    np.testing.assert_allclose(third.clock["start"], years[third.clock.index])
    expected = outcomes.loc[third.clock.index, "followup_years"] - years[third.clock.index]
    np.testing.assert_allclose(third.clock["time"], expected)
    assert (third.clock["time"] > 0).all()


def test_one_year_change_is_per_year():
    biomarkers, split, participants = cohort(10, 4, 0.0, seed=2)
    *_, change = landmark_samples(biomarkers, split, outcome_table(participants), ["code_001"])
    subject = change.clock.index[0]
    real = biomarkers[(biomarkers["subject"] == subject)].set_index("session")
    later, earlier, fake = real.loc["03"], real.loc["02"], real.loc[""]
    gap = later["years"] - earlier["years"]
    expected = (later["code_001"] - earlier["code_001"]) / gap
    assert change.features["real"].loc[subject, "code_001"] == pytest.approx(expected)
    expected = (fake["code_001"] - earlier["code_001"]) / gap
    assert change.features["generated"].loc[subject, "code_001"] == pytest.approx(expected)


# the analysis


@pytest.mark.slow
def test_noise_is_worth_nothing_on_held_out_patients_though_it_looks_good_in_sample():
    biomarkers, split, participants = cohort(260, 60, 0.0, seed=11, test_share=0.7)
    results = analyse(biomarkers, split, participants, SETTINGS)
    row = c_of(results, "first scan", "codes", "real")
    assert row["c_low"] < 0.5 < row["c_high"]
    assert abs(row["c_index"] - 0.5) < 0.08
    assert row["apparent_c_in_sample"] > 0.64
    assert row["optimism_corrected_c"] < row["apparent_c_in_sample"] - 0.05
    assert abs(row["cross_validated_c"] - 0.5) < 0.1


@pytest.mark.slow
def test_a_strong_hazard_is_found_on_real_and_generated_scans():
    biomarkers, split, participants = cohort(200, 20, 1.8, seed=4)
    results = analyse(biomarkers, split, participants, SETTINGS)
    best = results.selection.iloc[0]
    assert best["code"] == "code_003"
    assert best["selected"]
    assert best["q"] < 1e-3
    assert best["stability"] == 1.0
    assert best["hazard_ratio"] > 1.5
    assert results.selection["selected"].sum() == 5
    for analysis, scan in (("first scan", "real"), ("third scan", "real"), ("third scan", "generated")):
        row = c_of(results, analysis, "codes", scan)
        assert row["c_index"] > 0.7
        assert row["c_low"] > 0.5
    assert c_of(results, "first scan", "codes", "real")["cross_validated_c"] > 0.7
    assert c_of(results, "first scan", "covariates only", "none")["c_index"] < 0.65
    real, generated = (c_of(results, "third scan", "codes", scan) for scan in ("real", "generated"))
    assert (real["patients"], real["events"], real["pairs"]) == (
        generated["patients"],
        generated["events"],
        generated["pairs"],
    )
    assert generated["difference_to_real"] == pytest.approx(generated["c_index"] - real["c_index"])
    assert generated["difference_low"] <= generated["difference_to_real"] <= generated["difference_high"]
    curves = results.kaplan_meier
    assert (curves.loc[curves["time"] == 0, "survival"] == 1).all()
    words = summary(results, SETTINGS)
    assert "code_003" in " ".join(words["sentences"])
    json.dumps(words, allow_nan=False)


@pytest.mark.slow
def test_held_out_outcomes_change_neither_selection_nor_coefficients():
    biomarkers, split, participants = cohort(80, 10, 0.8, seed=6)
    before = analyse(biomarkers, split, participants, SETTINGS)
    held_out = set(split.loc[split["split"] == "test", "subject"])
    generator = np.random.default_rng(0)
    for row in participants:
        if row["subject"] in held_out:
            row |= {"followup_years": float(generator.uniform(2, 9)), "event": int(generator.integers(2)), "age": 20.0}
    biomarkers.loc[biomarkers["subject"].isin(held_out), code_columns(biomarkers)] *= 1.7
    after = analyse(biomarkers, split, participants, SETTINGS)
    pd.testing.assert_frame_equal(before.selection, after.selection)
    fitted = [
        table.risk[table.risk["split"].isin(["train", "val"])].reset_index(drop=True) for table in (before, after)
    ]
    pd.testing.assert_frame_equal(fitted[0], fitted[1])
    columns = ["apparent_c_in_sample", "optimism_corrected_c", "cross_validated_c", "training_patients", "variables"]
    pd.testing.assert_frame_equal(before.cindex[columns], after.cindex[columns])
    assert not before.cindex["c_index"].equals(after.cindex["c_index"])


@pytest.mark.slow
def test_external_patients_and_lung_function_have_rows_of_their_own():
    biomarkers, split, participants = cohort(90, 6, 1.0, seed=9)
    subjects = split["subject"].unique()
    split.loc[split["subject"].isin(subjects[:20]), "split"] = "external"
    for row in participants:
        row |= {"fvc_pct": 70.0 - row["event"] * 20, "dlco_pct": 50.0}
    participants[-1]["fvc_pct"] = None
    results = analyse(biomarkers, split, participants, SETTINGS)
    models = set(results.cindex["model"])
    assert {"FVC", "DLCO", "GAP index", "mean lung density", "high-attenuation area"} <= models
    assert set(results.cindex["set"]) == {"test", "external"}
    gap = c_of(results, "first scan", "GAP index", "none")
    assert (gap["variables"], gap["fitted_on"]) == (0, "nothing")
    assert gap["c_index"] > 0.5
    assert "fvc_pct is missing in 1" in " ".join(summary(results, SETTINGS)["sentences"]).lower()


def test_kaplan_meier_by_hand():
    table = kaplan_meier.survival_curves([True, True, False, False], [1.0, 2.0, 3.0, 4.0], [True, False, True, True])
    high = table[table["group"] == "high"].set_index("time")
    assert high.loc[1.0, ["at_risk", "died", "censored", "survival"]].tolist() == [2, 1, 0, 0.5]
    assert high.loc[2.0, ["at_risk", "died", "censored", "survival"]].tolist() == [1, 0, 1, 0.5]
    assert table[table["group"] == "low"]["survival"].tolist() == [1.0, 0.5, 0.0]


# cohorts too poor for a model: words, not errors


def poor(change) -> tuple[object, dict]:
    data = change(*cohort(40, 6, 0.8, seed=12))
    results = analyse(*data, SETTINGS)
    words = summary(results, SETTINGS)
    json.dumps(words, allow_nan=False)
    missing = results.cindex["c_index"].isna()
    assert not results.cindex.empty
    assert (results.cindex.loc[missing, "reason"] != "").all()
    assert results.cindex.columns.tolist() == CINDEX
    assert results.risk.columns.tolist() == RISK
    return results, words


@pytest.mark.parametrize(
    "participants", [[], [{"subject": "0001", "age": 70}], [{"subject": "0001", "followup_years": None, "event": None}]]
)
def test_no_outcome_table(participants):
    results, words = poor(lambda biomarkers, split, _: (biomarkers, split, participants))
    assert results.cindex["c_index"].isna().all()
    assert "No patient has both" in words["sentences"][0]


def test_no_events_at_all():
    results, words = poor(lambda b, s, p: (b, s, [row | {"event": 0} for row in p]))
    assert results.cindex["reason"].str.contains("too few events: 0 among").all()
    assert any("too few events" in sentence for sentence in words["sentences"])


def test_one_patient():
    results, _ = poor(
        lambda b, s, p: (b[b["subject"] == "0039"].reset_index(drop=True), s[s["subject"] == "0039"], p[39:])
    )
    assert results.cindex["c_index"].isna().all()


def test_no_scan_at_all():
    results, _ = poor(lambda b, s, p: (b.iloc[:0], s.iloc[:0], p))
    assert results.cindex["c_index"].isna().all()


def test_no_third_visits_leaves_the_first_scan_analysis():
    biomarkers, split, participants = cohort(60, 6, 0.8, seed=12, visits=2)
    results = analyse(biomarkers, split, participants, SETTINGS)
    assert c_of(results, "first scan", "codes", "real")["c_index"] > 0.5
    assert c_of(results, "third scan", "codes", "real")["reason"] != ""
    assert results.samples[1].excluded["fewer than three usable scans"] == 60
    assert "with the real first scan." in summary(results, SETTINGS)["sentences"][0]


def test_no_held_out_events_keeps_the_fit_and_says_why_there_is_no_c_index():
    held_out = {f"{index:04d}" for index in range(20)}
    results, _ = poor(lambda b, s, p: (b, s, [r | ({"event": 0} if r["subject"] in held_out else {}) for r in p]))
    row = c_of(results, "first scan", "codes", "real")
    assert "can be compared (0 events)" in row["reason"]
    assert np.isfinite(row["apparent_c_in_sample"])


def test_nothing_generated_still_scores_the_real_third_scan():
    results, _ = poor(lambda b, s, p: (b[b["kind"] == "real"].reset_index(drop=True), s, p))
    assert np.isfinite(c_of(results, "third scan", "codes", "real")["c_index"])
    assert "no volume was generated" in c_of(results, "third scan", "codes", "generated")["reason"]


def test_too_few_third_scans_fall_back_on_the_first_scans_model_and_say_so():
    def thin_out(biomarkers, split, participants):
        kept = set(split.loc[split["split"] == "test", "subject"]) | {"0038", "0039"}
        drop = ~biomarkers["subject"].isin(kept) & ~biomarkers["session"].isin(["01", "02"])
        return biomarkers[~drop].reset_index(drop=True), split, participants

    results, _ = poor(thin_out)
    row = c_of(results, "third scan", "codes", "generated")
    assert row["fitted_on"] == "first scan"
    assert "first scan's model is used" in row["note"]
    assert np.isfinite(row["c_index"])
    assert "too few events" in c_of(results, "one-year change", "codes", "real")["reason"]


def test_degenerate_codes_are_reported_and_not_fatal():
    biomarkers, split, participants = cohort(60, 6, 0.8, seed=12)
    biomarkers["code_006"], biomarkers["code_007"] = 0.0, 0.25
    biomarkers["code_008"] = (biomarkers["subject"] == "0059").astype(float)
    results = analyse(biomarkers, split, participants, SETTINGS)
    reasons = results.selection.set_index("code")["reason"]
    assert "occurs in 0 of" in reasons["code_006"]
    assert "same frequency" in reasons["code_007"]
    assert "occurs in 1 of" in reasons["code_008"]
    assert results.selection.tail(3)["p"].isna().all()
    assert (reasons[:5] == "").all()


def test_missing_covariates_do_not_stop():
    _, words = poor(lambda b, s, p: (b, s, [{k: r[k] for k in ("subject", "followup_years", "event")} for r in p]))
    assert any("Age is not known of any training patient" in sentence for sentence in words["sentences"])


def test_scans_taken_otherwise_are_counted():
    keys = [("1", "real", ""), ("1", "real", "kernel"), ("1", "real", "pose; kernel"), ("1", "generated", None)]
    table = pd.DataFrame(keys, columns=["subject", "kind", "differs_in"])
    assert taken_otherwise(table).startswith(
        "2 of 2 real scans after the first are taken otherwise than the baseline (pose 1, kernel 2)"
    )
    assert taken_otherwise(table[:1]) == taken_otherwise(table.drop(columns="differs_in")) == ""


def test_held_out_patients_with_a_level_of_their_own_are_left_out_and_said():
    own = {f"{index:04d}" for index in range(5)}
    results, words = poor(lambda b, s, p: (b, s, [r | ({"smoking": "pipe"} if r["subject"] in own else {}) for r in p]))
    clock = results.samples[0].clock
    held_out = set(clock.index[clock["set"] == "test"])
    assert c_of(results, "first scan", "codes", "real")["patients"] == len(held_out - own) < len(held_out)
    assert not own & set(results.risk["subject"])
    assert any(sentence.startswith("Smoking is pipe in 5 of") for sentence in words["sentences"])


def test_a_lung_function_of_held_out_patients_alone_makes_no_model_of_its_name():
    results, _ = poor(lambda b, s, p: (b, s, [r | ({"fvc_pct": 70.0} if r["subject"] < "0010" else {}) for r in p]))
    row = c_of(results, "first scan", "FVC", "none")
    assert row["reason"] == "fvc_pct is not known of any training patient with an outcome"
    assert np.isfinite(c_of(results, "first scan", "covariates only", "none")["c_index"])


@pytest.mark.parametrize("empty", [False, True])
def test_script(tmp_path, empty):
    biomarkers, split, participants = cohort(50, 6, 0.8, seed=13)
    biomarkers["differs_in"] = np.where(biomarkers["session"] == "03", "breath", "")
    write_table(biomarkers, tmp_path / "biomarkers.tsv")
    write_table(split, tmp_path / "split.tsv")
    output = {name: tmp_path / f"{name}.tsv" for name in ("cindex", "selection", "risk", "kaplan_meier")}
    output["summary"] = tmp_path / "summary.json"
    inputs = {"biomarkers": tmp_path / "biomarkers.tsv", "split": tmp_path / "split.tsv"}
    params = {"participants": [] if empty else participants, "code": "digest", **vars(SETTINGS)}
    run_script("survival", inputs, output, params, tmp_path / "log.txt")
    table = read_table(output["cindex"])
    assert table["c_index"].isna().all() == empty
    if not empty:  # the same input gives the same output, and files carry it
        again = analyse(biomarkers, split, participants, SETTINGS).cindex
        written = read_table(output["cindex"].with_suffix(".parquet"))
        pd.testing.assert_frame_equal(again, written, check_dtype=False, rtol=1e-3)
    assert set(read_table(output["risk"])["split"]) == (set() if empty else {"train", "val", "test"})
    for name in ("cindex", "selection", "risk", "kaplan_meier"):
        assert len(read_table(output[name].with_suffix(".parquet"))) == len(read_table(output[name]))
    said = json.loads(output["summary"].read_text())["sentences"]
    assert any("50 of 100 real scans after the first" in sentence for sentence in said)
