"""Who is called stable, slow or fast: patients whose rates are known, and cohorts in which nothing can be told."""

import numpy as np
import pandas as pd
import pytest

from helpers.visit_cases import patient_of
from lung4d.evaluate import findings
from lung4d.evaluate.calls.called import call_patients, call_table
from lung4d.evaluate.calls.cutoffs import best_cutoff, choose_cutoff, true_kind
from lung4d.evaluate.calls.findings import best_on_val, find_calls, gain
from lung4d.evaluate.calls.rates import FORETOLD, RATES, rate_table
from lung4d.evaluate.calls.wording import called_words
from lung4d.metrics import share_interval

OURS, RIVAL = "model (expected)", "linear_image"


def visits(subject="001", years=(0.0, 1.0, 2.0, 3.0, 4.0, 6.0)):
    return patient_of(subject, "test", list(years), (-1000.0, 500.0))


def foretold(extents, subject="001", given=2, method=OURS):
    """Rows of what a method says of the visits after the first `given`, in points since the last of these."""
    sessions = [f"{number:02d}" for number in range(given + 1, given + 1 + len(extents))]
    rows = [
        ("test", subject, "", given, session, method, extent) for session, extent in zip(sessions, extents, strict=True)
    ]
    return [dict(zip(FORETOLD, row, strict=True)) for row in rows]


def true_extents(rates, subject="001", years=(0.0, 1.0, 2.0, 3.0, 4.0, 6.0)):
    return {(subject, f"{number:02d}"): 10 + rates * year for number, year in enumerate(years, 1)}


def rates_of(numbers, true, name="test", method=OURS, given=2, after=2, start=0):
    rows = [
        (name, f"{name}{start + one}", "", given, after, method, number, rate, "truth")
        for one, (number, rate) in enumerate(zip(numbers, true, strict=True))
    ]
    return pd.DataFrame(rows, columns=RATES)


def test_a_rate_is_all_foretold_change_over_all_years_and_the_truth_the_same_of_true_extents():
    patient = visits()
    table = rate_table(foretold([3.0, 6.0, 9.0, 15.0]), [patient], true_extents(2.0), {})
    told = table.set_index(["visits_given", "after"])
    assert told.loc[(2, 2), "number"] == pytest.approx((3 + 6 + 9 + 15) / (1 + 2 + 3 + 5))
    assert told.loc[(2, 4), "number"] == pytest.approx(((9 - 6) + (15 - 6)) / (1 + 3))  # from the day of visit four
    assert told["true"].to_numpy() == pytest.approx([2.0, 2.0]) and set(told["source"]) == {"truth"}


def test_from_two_and_from_four_visits_the_same_is_asked():
    both = foretold([3.0, 6.0, 9.0, 15.0]) + foretold([4.0, 12.0], given=4)
    true = true_extents(0.0) | {("001", "03"): 30.0, ("001", "04"): 30.0, ("001", "05"): 30.0, ("001", "06"): 30.0}
    table = rate_table(both, [visits()], true, {}).set_index(["visits_given", "after"])
    assert table.loc[(4, 4), "number"] == pytest.approx(16 / 4)
    assert table.loc[(2, 4), "true"] == table.loc[(4, 4), "true"] == 0  # the step came before the fourth visit
    assert table.loc[(2, 2), "true"] == pytest.approx(4 * 20 / 11)


def test_without_a_truth_the_extents_seen_stand_for_it_and_gaps_in_forecasts_leave_no_row():
    known = true_extents(2.0)
    known.pop(("001", "06"))
    table = rate_table(foretold([3.0, 6.0, 9.0, 15.0]), [visits()], known, true_extents(1.0))
    assert set(table["source"]) == {"seen"} and table["true"].to_numpy() == pytest.approx([1.0, 1.0])
    assert rate_table(foretold([3.0, 6.0, 9.0]), [visits()], true_extents(2.0), {}).empty
    same_day = visits(years=(0.0, 1.0, 1.0))
    assert rate_table(foretold([3.0]), [same_day], true_extents(1.0, years=(0, 1, 1)), {}).empty


def test_kinds_of_patients():
    assert true_kind(np.array([0.0, -0.9, 0.9, 1.0, -2.0, 3.0, 3.1])).tolist() == [
        *["stable"] * 3, *["between"] * 3, "fast"
    ]  # fmt: skip


def test_the_cutoff_parts_val_patients_best_and_is_the_usual_one_where_that_does_as_well():
    assert best_cutoff(np.array([0.1, 0.3]), np.array([0.5, 0.7]), usual=2.0) == pytest.approx(0.4)
    assert best_cutoff(np.array([0.0, 1.0]), np.array([5.0, 9.0]), usual=2.0) == 2.0
    assert best_cutoff(np.zeros(4), np.zeros(3), usual=2.0) == 2.0  # the last scan foretells nothing
    # One of four stable lies above all fast: 3/4 of the stable and all fast are right at best.
    assert best_cutoff(np.array([0.1, 0.2, 0.3, 0.9]), np.array([0.6, 0.7]), usual=2.0) == pytest.approx(0.45)
    few = choose_cutoff(rates_of([0.1, 0.2], [0.0, 0.5]))
    assert (few.stable, few.fast, few.patients) == (2.0, 3.0, 0)
    made = choose_cutoff(rates_of([0.1, 0.5, 0.9], [0.0, 2.0, 5.0]))
    assert (made.stable, made.fast, made.patients) == pytest.approx((0.5, 0.7, 2))
    assert made.call(np.array([0.1, 0.6, 0.8])).tolist() == ["stable", "slow", "fast"]


def test_test_patients_never_choose_the_cutoff():
    val, test = rates_of([0.1, 0.9], [0.0, 5.0], "val"), rates_of([0.6, 0.7], [0.0, 5.0])
    called = call_patients(pd.concat([val, test]))
    assert called["stable_below"].tolist() == [0.5, 0.5] and called["call"].tolist() == ["fast", "fast"]


def test_shares_of_kinds_and_courses_with_wilsons_intervals():
    test = rates_of([0.1, 0.2, 0.7, 0.3, 0.8, 0.9, 0.2], [0, 0, 0, 2, 5, 5, 5])
    test["course"] = ["stable"] * 3 + ["slow"] + ["acute"] * 3
    table = call_table(call_patients(pd.concat([rates_of([0.1, 0.9], [0.0, 5.0], "val"), test])))
    rows = table.set_index(["by", "group"])
    assert rows["patients"].to_dict() == {
        ("truth", "stable"): 3, ("truth", "between"): 1, ("truth", "fast"): 3,
        ("course", "acute"): 3, ("course", "slow"): 1, ("course", "stable"): 3,
    }  # fmt: skip
    assert rows.loc[("truth", "stable"), "called_stable"] == pytest.approx(2 / 3)
    assert rows.loc[("truth", "fast"), "called_stable"] == pytest.approx(1 / 3)
    assert rows.loc[("course", "acute"), "called_fast"] == pytest.approx(2 / 3)
    # Wilson 1927 for 2 of 3, by hand: centre (2/3 + 0.6402) / 2.2805.
    assert rows.loc[("truth", "stable"), ["called_stable_low", "called_stable_high"]].tolist() == pytest.approx(
        [0.2077, 0.9385], abs=1e-4
    )
    assert share_interval(1.0, 10).low < 0.75 and share_interval(1.0, 10).high == pytest.approx(1)
    assert np.isnan(share_interval(0.0, 0).mean)


def test_the_rival_is_the_best_on_val_and_gains_are_paired():
    true = [0.0] * 8 + [5.0] * 8
    right, wrong = [0.1] * 8 + [0.9] * 8, [0.1] * 16
    tables = [
        rates_of(numbers, true, name, method)
        for name in ("val", "test")
        for method, numbers in ((OURS, right), ("locf", wrong), (RIVAL, [0.1] * 8 + [0.1] * 2 + [0.9] * 6))
    ]
    rates = pd.concat(tables)
    assert best_on_val(rates) == RIVAL
    called = call_patients(rates)
    gained = gain(called, called, OURS, RIVAL, 500, 1)
    assert gained.mean == pytest.approx(0.125) and -0.1 < gained.low < 0.125 < gained.high < 0.4
    assert gain(called, called, OURS, OURS, 500, 1) == (0, 0, 0)
    found, more = find_calls(call_table(called), called, rates, findings.verdict, 200, 1)
    (one,) = found
    assert (one.stable, one.between, one.fast, one.right, one.missed, one.rival) == (8, 0, 8, 1.0, 0.0, RIVAL)
    said = " ".join(called_words(found, more))
    stable, fast = "of 8 stable patients 100 % [68, 100] are called stable", "of 8 fast patients 0 % [0, 32] are called"
    assert f"{stable}; {fast} stable; 0 between." in said
    assert "+12 points [" in said and more == ()


def test_without_val_patients_of_both_kinds_there_is_no_rival():
    rates = pd.concat([rates_of([0.1], [0.0], "val", method) for method in (OURS, RIVAL)] + [rates_of([0.1], [0.0])])
    called = call_patients(rates)
    assert best_on_val(rates) == ""
    (one,), _ = find_calls(call_table(called), called, rates, findings.verdict, 200, 1)
    (_, said) = called_words([one], [])
    assert (one.rival, one.verdict) == ("", findings.TOO_FEW) and np.isnan(one.gained)
    assert "of 1 stable patient 100 % [21, 100] are called stable; nobody is fast; 0 between." in said
    assert said.endswith("the usual one, for want of val. Beside what needs no model: too few patients to tell.")


def test_where_nothing_can_be_told_correct_calls_are_a_half_and_no_gain_is_found():
    random, true = np.random.default_rng(3), [0.0] * 100 + [5.0] * 100
    tables = [
        rates_of(random.normal(size=200), true, name, method) for name in ("val", "test") for method in (OURS, RIVAL)
    ]
    rates = pd.concat(tables)
    called = call_patients(rates)
    gained = gain(called, called, OURS, RIVAL, 500, 1)
    assert gained.low < 0 < gained.high
    rows = call_table(called).query("method == @OURS").set_index("group")["called_stable"]
    assert (rows["stable"] + 1 - rows["fast"]) / 2 == pytest.approx(0.5, abs=0.08)


def test_what_four_visits_add_is_of_the_same_patients():
    true = [0.0] * 6 + [5.0] * 6
    two = rates_of([0.1] * 12, true, given=2, after=4)
    four = rates_of([0.1] * 6 + [4.0] * 6, true, given=4, after=4)
    val = [rates_of([0.1, 4.0], [0, 5.0], "val", given=given, after=4) for given in (2, 4)]
    rates = pd.concat([*val, two, four])
    called = call_patients(rates)
    _, (more,) = find_calls(call_table(called), called, rates, findings.verdict, 200, 1)
    assert (more.stable, more.fast, more.gained, more.verdict) == (6, 6, 0.5, findings.BETTER)


def test_nobody_to_call_is_an_empty_table_with_its_columns():
    called = call_patients(pd.DataFrame(columns=RATES))
    assert call_table(called).empty and "called_stable_low" in call_table(called)
    assert called_words(*find_calls(call_table(called), called, called, findings.verdict, 20, 1)) == []
