"""Numbers that are told of each visit, and breath: what is unknown adds nothing, what comes later is not seen."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.ode_cases import LATENT, given_of, model, visits
from lung4d.ode import features, told

NAMES = ("fvc_l", "age")


def observed(years=(0.0, 1.0, 2.5), numbers=None, expansion=None):
    z, mask = visits(len(years), shape=LATENT)
    seen = given_of(z, years, mask)
    numbers = torch.zeros(len(years), 0) if numbers is None else torch.tensor(numbers)
    expansion = seen.expansion if expansion is None else expansion
    return replace(seen, told=numbers, expansion=expansion, expanded=expansion.mean((1, 2, 3)))


def test_what_is_unknown_adds_exactly_nothing():
    """Empty cells and no rows at all give the same bits, and those of a network that is told nothing there."""
    ode = model(told=NAMES, maps=2, features=True, breath=True)
    nothing = observed(numbers=[[math.nan] * 2] * 3)
    made = ode.forecast(nothing, [3.0])
    with torch.no_grad():
        assert not ode.told(nothing.told, nothing.years).any()
        ode.told.mix.weight.zero_()
    other = ode.forecast(observed(numbers=[[3.1, 60.0]] * 3), [3.0])
    for a, b in zip(made, other, strict=True):
        assert torch.equal(a, b)


def test_a_model_that_is_told_nothing_is_the_one_without_the_module():
    plain, same = model(seed=3, maps=2, features=True), model(seed=3, maps=2, features=True, told=())
    assert plain.state_dict().keys() == same.state_dict().keys()
    made = [ode.forecast(observed(), [3.0]).drawn for ode in (plain, same)]
    assert torch.equal(*made) and not any("told" in name for name in plain.state_dict())


def test_a_value_of_a_later_visit_is_not_seen():
    ode = model(told=NAMES, maps=2)
    before = observed(numbers=[[3.1, 60.0], [2.9, 61.0], [2.0, 62.5]])
    after = observed(numbers=[[3.1, 60.0], [2.9, 61.0], [9.9, math.nan]])
    made = [ode.forecast(one.take([0, 1]), [2.5]) for one in (before, after)]
    assert torch.equal(made[0].drawn, made[1].drawn) and torch.equal(made[0].latents, made[1].latents)
    assert not torch.equal(*(ode.forecast(one, [3.0]).drawn for one in (before, after)))


def test_numbers_that_do_not_fit_the_model_are_refused():
    with pytest.raises(ValueError, match="1 numbers are told of each visit, this model wants 2: fvc_l, age"):
        model(told=NAMES).forecast(observed(numbers=[[1.0]] * 3), [1.0])


def test_change_so_far_is_the_slope_of_what_is_known():
    years = np.array([0.0, 10.0, 20.0])  # so far apart that the shrinkage is small
    values = torch.tensor([[0.0, 1.0], [5.0, 77.0], [10.0, 3.0]])
    known = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    slopes = told.changes_so_far(values * known, known, years)
    assert not slopes[0].any()
    assert slopes[1].tolist() == pytest.approx([0.5, 0.0], rel=0.01)
    assert slopes[2].tolist() == pytest.approx([0.5, 0.1], rel=0.01)


def test_spread_is_learnt_of_what_is_known():
    module = told.ToldNumbers(2)
    module.learn_spread([torch.tensor([[1.0, math.nan], [3.0, math.nan]]), torch.tensor([[5.0, math.nan]])])
    assert module.shift.tolist() == [3.0, 0.0]
    assert module.scale.tolist() == pytest.approx([math.sqrt(8 / 3), 1.0])


def test_some_numbers_are_hidden_in_training():
    rng = np.random.default_rng(0)
    values = torch.ones(2, 4)
    made = torch.stack([told.hide_some(values, rng) for _ in range(2000)])
    hidden = made.isnan()
    assert torch.equal(hidden[:, 0], hidden[:, 1]), "a quantity is hidden at all visits"
    assert float(hidden[:, 0].all(1).float().mean()) == pytest.approx(told.HIDE_ALL, abs=0.03)
    share = told.HIDE_ALL + (1 - told.HIDE_ALL) * told.HIDE_ONE
    assert float(hidden.float().mean()) == pytest.approx(share, abs=0.03)
    nothing = torch.zeros(2, 0)
    assert told.hide_some(nothing, None) is nothing


def test_at_one_breath_the_same_lung_is_equally_dense():
    """A lung that takes a fifth more room has its mass spread over more of it."""
    scans = torch.tensor([-0.4, -0.4]) + 0
    scans[1] = features.AIR + (scans[0] - features.AIR) / 1.2
    expansion = torch.tensor([0.0, math.log(1.2)])
    assert features.at_breath(scans, expansion).tolist() == pytest.approx([-0.4, -0.4])


def test_breath_is_seen_by_encoder_and_drawing_where_the_model_is_told_of_it():
    deeper = torch.zeros(3, *LATENT)
    deeper[1] = 0.2
    for breath in (True, False):
        ode = model(maps=2, features=True, breath=breath)
        made = [ode.forecast(observed(expansion=one), [3.0]).expected for one in (torch.zeros_like(deeper), deeper)]
        assert torch.equal(*made) == (not breath)
