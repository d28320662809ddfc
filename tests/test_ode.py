"""The latent disease ODE against known answers: times, solver, decoder, decoding."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from helpers.defaults import settings_of
from helpers.ode_cases import given_of, model, save_model, visits
from lung4d.ode import dynamics
from lung4d.ode.convgru import ConvGRU, ConvGRUCell
from lung4d.ode.convolution import Conv3d
from lung4d.ode.decoding import decode_forecast
from lung4d.ode.dynamics import ADAPTIVE, FIXED, Dynamics, Solver, TooFar, integrate, named
from lung4d.ode.ensemble import Ensemble, fold_of, load_ode
from lung4d.ode.features import STEP, change_per_year, latent_features, trend_per_year
from lung4d.ode.losses import image_losses, latent_losses, rising_weights
from lung4d.ode.model import Forecast, ODESettings
from lung4d.ode.observed import ObservedVisits, densities_of, depth_of, height_of, merge_ties, pooled
from lung4d.visits.times import as_years, blend_weights

SOLVERS = {name: Solver(name, rtol=1e-6, atol=1e-8, step=0.01) for name in (*ADAPTIVE, *FIXED)}
SOLVERS["adaptive_heun"] = Solver("adaptive_heun", rtol=1e-4, atol=1e-6, step=0.01)
TOLERANCE = dict.fromkeys(SOLVERS, 1e-4) | {"euler": 2e-2, "adaptive_heun": 1e-3, "bosh3": 1e-3}


class Exponential(nn.Module):
    """dh/dt = rate h, whose solution is h(anchor) exp(rate (t - anchor)); t is ignored."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate))

    def forward(self, _t, h):
        return self.rate * h


# ---- times


def test_ties_are_averaged_and_visits_sorted():
    z = torch.tensor([[5.0], [1.0], [3.0], [7.0]])
    years, merged = merge_ties([2.0, 0.0, 2.0, 1.0], z)
    assert years.tolist() == [0.0, 1.0, 2.0]
    assert merged[:, 0].tolist() == [1.0, 7.0, 4.0]


def test_years_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        as_years([0.0, math.nan])
    with pytest.raises(ValueError, match="at least one"):
        merge_ties([], torch.zeros(0, 1))


def test_blend_weights_are_nearest_outside_and_linear_between():
    weights = blend_weights(np.array([0.0, 1.0, 3.0]), np.array([-1.0, 0.0, 0.25, 1.0, 2.0, 3.0, 9.0]))
    expected = [[1, 0, 0], [1, 0, 0], [0.75, 0.25, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1], [0, 0, 1]]
    assert weights.tolist() == expected


# ---- networks


@pytest.mark.parametrize("shape", [(2, 3, 3), (5, 4, 6), (1, 4, 4), (8, 16, 16)])
def test_convolution_in_slabs_is_the_plain_one(shape):
    torch.manual_seed(0)
    layer = Conv3d(3, 4)
    x = torch.randn(1, 3, *shape, requires_grad=True)
    plain = F.conv3d(x, layer.weight, layer.bias, padding=1)
    assert torch.allclose(layer(x), plain, atol=1e-5)
    a, b = (torch.autograd.grad(y.square().sum(), [x, layer.weight]) for y in (layer(x), plain))
    assert all(torch.allclose(*pair, rtol=1e-4, atol=1e-4) for pair in zip(a, b, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_convolution_keeps_type_and_memory_format(dtype, layout):
    torch.manual_seed(0)
    layer = Conv3d(3, 4)
    x = torch.randn(1, 3, 5, 4, 6).to(dtype, memory_format=layout)
    y = layer(x)
    assert y.dtype == dtype and y.is_contiguous(memory_format=layout)
    assert torch.allclose(y.float(), F.conv3d(x.float(), layer.weight, layer.bias, padding=1), atol=0.05)


def test_gru_cell_follows_its_equations():
    torch.manual_seed(0)
    cell = ConvGRUCell(2, 3)
    state, visit = torch.rand(1, 3, 2, 3, 3), torch.rand(1, 2, 2, 3, 3)
    gates = torch.sigmoid(F.conv3d(torch.cat([visit, state], 1), cell.gates.weight, cell.gates.bias, padding=1))
    update, reset = gates[:, :3], gates[:, 3:]
    both = torch.cat([visit, reset * state], 1)
    candidate = torch.tanh(F.conv3d(both, cell.candidate.weight, cell.candidate.bias, padding=1))
    assert torch.allclose(cell(state, visit), (1 - update) * state + update * candidate, atol=1e-6)


def test_time_gap_is_seen_only_when_asked_for():
    z, _ = visits(2)
    for seen in (True, False):
        torch.manual_seed(0)
        gru = ConvGRU(3, 4, time_gap=seen, between=None)
        near, far = gru(z, torch.tensor([0.0, 0.05])), gru(z, torch.tensor([0.0, 0.6]))
        assert torch.equal(near, far) is not seen


def test_dynamics_are_three_convolutions_and_bounded():
    f = Dynamics(4, time=False)
    assert [type(layer).__name__ for layer in f.layers] == ["Conv3d", "Tanh", "Conv3d", "Tanh", "Conv3d"]
    wild = f(torch.tensor(0.0), torch.full((1, 4, 3, 4, 4), 1e30))
    assert wild.abs().max() <= 27 * 4 * f.layers[-1].weight.abs().max() + 1


def test_time_in_dynamics_makes_f_depend_on_time():
    state = torch.rand(1, 4, 3, 4, 4)
    for time in (True, False):
        torch.manual_seed(0)
        f = Dynamics(4, time)
        assert torch.equal(f(torch.tensor(0.0), state), f(torch.tensor(1.0), state)) is not time


# ---- solver


@pytest.mark.parametrize("name", SOLVERS)
def test_exponential_before_at_and_after_the_anchor(name):
    times, state = np.array([-0.7, 0.1, 0.2, 0.5, 1.3]), torch.tensor([[2.0, -1.0]])
    solved = integrate(Exponential(-0.8), state, 0.2, times, SOLVERS[name])
    expected = state * torch.exp(-0.8 * (torch.tensor(times) - 0.2))[:, None]
    assert torch.allclose(solved.double(), expected, rtol=TOLERANCE[name])
    assert torch.equal(solved[2], state[0])


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("loose", [False, True])
def test_a_state_does_not_depend_on_the_other_times(name, loose):
    solver = Solver(name, rtol=1e-2, atol=1e-2, step=0.17) if loose else SOLVERS[name]
    state, every = torch.tensor([[2.0, -1.0]]), np.array([-1.0, -0.33, 0.04, 0.2, 0.51, 0.9, 2.0])
    together = integrate(Exponential(-1.5), state, 0.1, every, solver)
    alone = torch.cat([integrate(Exponential(-1.5), state, 0.1, np.array([t]), solver) for t in every])
    assert torch.allclose(together, alone, rtol=1e-6, atol=0)


def test_gradient_through_the_solver():
    f = Exponential(-0.8)
    integrate(f, torch.tensor([[1.0]]), 0.0, np.array([-0.5, 1.0]), SOLVERS["dopri5"]).sum().backward()
    assert f.rate.grad.item() == pytest.approx(-0.5 * math.exp(0.4) + math.exp(-0.8), rel=1e-4)


def test_a_solver_that_gives_up_falls_back_and_says_so(caplog, monkeypatch):
    monkeypatch.setattr(dynamics, "MAX_STEPS", 2)
    stiff = Solver("dopri5", rtol=1e-9, atol=1e-9, step=0.01)
    solved = integrate(Exponential(-20.0), torch.tensor([[1.0]]), 0.0, np.array([0.5]), stiff)
    assert solved.item() == pytest.approx(math.exp(-10), rel=1e-3)
    assert "rk4 with a fixed step instead" in caplog.text


def test_hard_weights_give_finite_answers(monkeypatch):
    monkeypatch.setattr(dynamics, "MAX_STEPS", 40)
    ode, (z, mask) = model(solver_step=1.0), visits(2)
    with torch.no_grad():
        for parameter in ode.dynamics.parameters():
            parameter.mul_(60)
    answer = ode.forecast(given_of(1e3 * z, [0.0, 1e-5], mask), [-10.0, 0.0, 50.0])
    assert all(torch.isfinite(part).all() for part in answer if part is not None)


@pytest.mark.parametrize(
    ("name", "step", "years"),
    [
        ("rk4", 0.02, 1597.0),  # 7,985 years, of a date 9999-12-31
        ("rk4", 1e-4, 0.6),
        ("midpoint", 1e-5, 1.0),
        ("euler", 0.02, 1e6),
        ("dopri5", 0.02, 1597.0),
        ("dopri8", 0.02, -1597.0),
        ("bosh3", 0.02, 1e9),
        ("adaptive_heun", 0.02, 1e9),
    ],
)
def test_years_that_no_patient_has_are_refused_before_they_are_solved(name, step, years):
    f = Dynamics(4, time=False)
    solver = Solver(name, rtol=1e-3, atol=1e-4, step=step)
    with (
        pytest.raises(TooFar, match=r"patient 012: the years asked for lie so far .* correct the patient's years"),
        named("012"),
    ):
        integrate(f, torch.rand(1, 4, 3, 4, 4), 0.0, np.array([years]), solver)
    assert f.evaluations == 0


def test_the_work_of_an_adaptive_solver_is_bounded(monkeypatch):
    monkeypatch.setattr(dynamics, "MOST_EVALUATIONS", 30)
    tight = Solver("dopri5", rtol=1e-9, atol=1e-9, step=0.01)
    with pytest.raises(TooFar, match="dopri5 would take more than 30 evaluations"):
        integrate(Exponential(-3.0), torch.tensor([[1.0]]), 0.0, np.array([5.0]), tight)


def test_sixty_years_are_solved_by_every_solver():
    """The longest that scans.tsv may have, with the settings of config.yaml."""
    for name in (*ADAPTIVE, *FIXED):
        solver = Solver(name, rtol=1e-3, atol=1e-4, step=0.02)
        solved = integrate(Exponential(-0.2), torch.tensor([[1.0]]), 0.0, np.array([12.0]), solver)
        assert solved.item() == pytest.approx(math.exp(-2.4), rel=0.02)


def test_unknown_solver_is_named():
    with pytest.raises(ValueError, match="dopri6"):
        Solver("dopri6", 1e-3, 1e-3, 0.1)


# ---- forecasts

VARIANTS = [
    {},
    {"direction": "backward"},
    {"time_in_dynamics": True},
    {"solver": "rk4"},
    {"solver": "euler", "solver_step": 0.4},
    {"time_gap": False},
    {"encoder": "ode_convgru"},
    {"dynamics": "linear"},
    {"features": True, "maps": 2},
    {"features": True, "maps": 2, "direction": "backward", "dynamics": "linear"},
]
YEARS = st.floats(-3, 9).map(lambda year: round(year, 2))


@given(
    query=st.lists(YEARS, min_size=1, max_size=5),
    others=st.lists(YEARS, max_size=4),
    years=st.lists(YEARS, min_size=1, max_size=4),
    variant=st.sampled_from(VARIANTS),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_an_answer_does_not_depend_on_what_else_is_asked(query, others, years, variant):
    """Telescoping, any given visits (unsorted, tied, one alone), any query times, in any order."""
    ode, (z, mask) = model(**variant), visits(len(years))
    few = ode.forecast(given_of(z, years, mask), query)
    many = ode.forecast(given_of(z, years, mask), others + query + others[::-1])
    for part, whole in zip(few, many, strict=True):
        assert part is None or torch.allclose(part, whole[len(others) :][: len(query)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_query_at_a_given_visit_returns_it(variant):
    ode, (z, mask) = model(**variant), visits(3)
    years = [2.0, 0.0, 0.7]
    visits_given = given_of(z, years, mask)
    answer = ode.forecast(visits_given, [0.7, 2.0, 5.0, 0.0])
    inside = visits_given.region
    for row, visit in ((0, 2), (1, 0), (3, 1)):
        assert torch.equal(answer.latents[row][:, mask], z[visit][:, mask])
        if ode.drawing:
            assert torch.equal(answer.drawn[row][inside], visits_given.scans[visit][inside])
    assert not torch.allclose(answer.latents[2][:, mask], z[0][:, mask])
    if ode.drawing:
        assert not torch.allclose(answer.drawn[2][inside], visits_given.scans[0][inside])
        assert not torch.allclose(answer.expected[1][inside], visits_given.scans[0][inside])
        assert (answer.variance[:, inside] > 0).all() and not answer.variance[:, ~inside].any()


def test_the_order_of_visits_does_not_matter_and_ties_are_their_mean():
    ode, (z, mask) = model(), visits(4)
    years, query = [0.0, 1.0, 1.0, 2.5], [-0.5, 0.4, 1.0, 3.0]
    answer = ode.forecast(given_of(z, years, mask), query).latents
    order = [2, 3, 0, 1]
    shuffled = ode.forecast(given_of(z[order], [years[i] for i in order], mask), query).latents
    assert torch.allclose(answer, shuffled, atol=1e-5)
    assert torch.allclose(answer[2][:, mask], z[1:3].mean(0)[:, mask])


def test_between_visits_the_forecast_is_the_blend_of_both_sides():
    ode, (z, mask) = model(), visits(2)
    years, query = np.array([0.0, 2.0]), np.array([0.5])
    with torch.no_grad():
        change, at_given = (ode(given_of(z, years, mask), asked).changes for asked in (query, years))
    sides = [z[i] + change[0] - at_given[i] for i in (0, 1)]
    blend = 0.75 * sides[0] + 0.25 * sides[1]
    assert torch.allclose(ode.forecast(given_of(z, years, mask), query).latents[0][:, mask], blend[:, mask], atol=1e-5)


@pytest.mark.parametrize("decoder", ["telescoping", "pairwise"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_an_untrained_model_carries_the_visits_forward(decoder, count):
    ode, (z, mask) = model(drawn=0.0, decoder=decoder), visits(count)
    years = list(range(count))
    answer = ode.forecast(given_of(z, years, mask), [-2.0, 0.0, count + 3.0]).latents
    last = z[-1] if decoder == "telescoping" else z[0]
    for row, expected in zip(answer, (z[0], z[0], last), strict=True):
        assert torch.equal(row[:, mask], expected[:, mask])


@pytest.mark.parametrize("decoder", ["telescoping", "pairwise"])
def test_outside_the_mask_the_baselines_embedding_is_returned(decoder):
    ode, (z, mask) = model(decoder=decoder), visits(3)
    answer = ode.forecast(given_of(z, [1.0, 0.0, 2.0], mask), [-1.0, 0.5, 1.0, 4.0]).latents
    assert all(torch.equal(row[:, ~mask], z[1][:, ~mask]) for row in answer)


def test_outside_the_lung_the_baselines_scan_is_drawn():
    ode, (z, mask) = model(features=True, maps=2), visits(3)
    visits_given = given_of(z, [1.0, 0.0, 2.0], mask)
    answer, outside = ode.forecast(visits_given, [-1.0, 0.5, 1.0, 4.0]), ~visits_given.region
    for drawn in (answer.drawn, answer.expected):
        assert all(torch.equal(scan[outside], visits_given.scans[1][outside]) for scan in drawn)


def test_what_lies_outside_the_mask_does_not_matter_inside():
    ode, (z, mask) = model(), visits(2)
    other = torch.where(mask, z, torch.tensor(9.0))
    a, b = (ode.forecast(given_of(latents, [0.0, 1.0], mask), [3.0]).latents for latents in (z, other))
    assert torch.equal(a[0][:, mask], b[0][:, mask])


def test_scale_and_shift_of_the_latents_are_a_matter_of_units():
    ode, (z, mask) = model(), visits(2)
    answer = ode.forecast(given_of(z, [0.0, 1.0], mask), [3.0]).latents
    ode.shift += 2.0
    ode.scale *= 5.0
    scaled = ode.forecast(given_of(5 * z + 2, [0.0, 1.0], mask), [3.0]).latents
    assert torch.allclose(scaled, 5 * answer + 2, rtol=1e-4, atol=1e-4)


def test_pairwise_is_the_sum_over_its_grid_from_the_baseline():
    """Equation 7 with s_i = 0, 0.5, 1: z_i = z_{i-1} + conv(h_i, h_{i-1})."""
    ode, (z, mask) = model(decoder="pairwise", direction="backward", time_gap=False), visits(2)
    years = np.array([0.0, 1.2])
    with torch.no_grad():
        states = ode._states(ode.encode(given_of(z, years, mask)), 0.0, np.array([0.0, 0.5, 1.0]))
        steps = [ode.decoder(torch.cat([states[i], states[i - 1]])[None])[0] for i in (1, 2)]
    answer = ode.forecast(given_of(z, years, mask), [0.0, 0.5, 0.75, 1.0]).latents
    expected = [z[0], z[0] + steps[0], z[0] + steps[0] + steps[1] / 2, z[0] + steps[0] + steps[1]]
    for row, latent in zip(answer, expected, strict=True):
        assert torch.allclose(row[:, mask], latent[:, mask], atol=1e-5)


def test_pairwise_depends_on_its_grid_but_not_on_the_other_queries():
    (z, mask), answers = visits(2), []
    for interval in (0.5, 0.25):
        ode = model(decoder="pairwise", pairwise_interval=interval)
        answers.append(ode.forecast(given_of(z, [0.0, 1.0], mask), [2.0]).latents[0])
        many = ode.forecast(given_of(z, [0.0, 1.0], mask), [-3.1, 0.3, 2.0, 7.0]).latents[2]
        assert torch.allclose(answers[-1], many, rtol=1e-4, atol=1e-5)
    assert (answers[0] - answers[1])[:, mask].abs().mean() > 0.1 * answers[0][:, mask].std()


def test_a_forecast_of_nothing_and_from_nothing():
    ode, (z, mask) = model(), visits(2)
    assert ode.forecast(given_of(z, [0.0, 1.0], mask), []).latents.shape == (0, *z.shape[1:])
    with pytest.raises(ValueError, match="one at least"):
        given_of(z[:0], [], mask)
    with pytest.raises(ValueError, match="not finite"):
        given_of(z * math.nan, [0.0, 1.0], mask)
    with pytest.raises(ValueError, match="do not fit each other"):
        given_of(z[..., 1:], [0.0, 1.0], mask)
    with pytest.raises(ValueError, match="2 channels, this model wants 3"):
        ode.forecast(given_of(z[:, :2], [0.0, 1.0], mask), [1.0])


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"decoder": "pairwise"},
        {"decoder": "direct"},
        {"encoder": "ode_convgru"},
        {"dynamics": "linear", "features": True},
        {"features": True, "maps": 2},
        {"decoder": "pairwise", "maps": 2},
    ],
)
def test_gradients_reach_every_weight(variant):
    ode, (z, mask) = model(**variant), visits(3)
    seen = given_of(z, [0.0, 1.0, 2.5], mask)
    answer = ode(seen.take([0, 1]), seen.years, draw=[2])
    terms = latent_losses(answer, z, mask, ode.scale)
    if ode.drawing:
        terms |= image_losses(answer, seen.scans[2:], seen.region)
    sum(terms.values()).backward()
    still = [name for name, weight in ode.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not still


def test_settings_are_checked():
    with pytest.raises(ValueError, match="sideways"):
        settings_of(ODESettings, channels=3, factor=4, direction="sideways")
    assert ODESettings.of({**vars(model().settings), "hidden": 7, "epochs": 1}).hidden == 7
    with pytest.raises(ValueError, match="train_ode has no factor, hidden, "):
        ODESettings.of({"channels": 3, "epochs": 1})


def test_a_stored_model_comes_back_and_only_for_its_stage_1(tmp_path):
    ode, (z, mask) = model(decoder="pairwise"), visits(2)
    save_model(ode, tmp_path / "model.pt", "abc")
    again, seen = load_ode(tmp_path / "model.pt", "cpu", "abc"), given_of(z, [0, 1], mask)
    assert torch.equal(ode.forecast(seen, [2]).latents, again.forecast(seen, [2]).latents)
    assert not any(weight.requires_grad for weight in again.parameters())
    with pytest.raises(ValueError, match="another 3D-VQ-GAN"):
        load_ode(tmp_path / "model.pt", "cpu", "abd")


# ---- losses


def test_later_visits_weigh_more():
    assert rising_weights(torch.zeros(3)).tolist() == [0.5, 1.0, 1.5]


def test_losses_of_a_known_forecast():
    """Errors 0, 1, 2 in the mask and D off by 1 then 1: weighted means of their squares."""
    mask = torch.zeros(2, 2, 2, dtype=torch.bool)
    mask[0] = True
    z = torch.zeros(3, 1, 2, 2, 2)
    off = torch.tensor([0.0, 1.0, 2.0])[:, None, None, None, None]
    result = latent_losses(Forecast(z + off + 99 * ~mask, z + off), z, mask, torch.tensor(1.0))
    assert result["reconstruction"].item() == pytest.approx((0.5 * 0 + 1.0 * 1 + 1.5 * 4) / 3)
    assert result["difference"].item() == pytest.approx((2 / 3 * 1 + 4 / 3 * 1) / 2)


def test_losses_of_a_known_drawing():
    """An even error of half a STEP; an alternating one, of which means over blocks see nothing; the best variance."""
    region = torch.ones(8, 8, 8, dtype=torch.bool)
    scans = torch.zeros(1, 8, 8, 8)
    even = torch.full_like(scans, STEP / 2)
    odd = even * (1 - 2 * (torch.arange(8) % 2))
    for error, low_pass in ((even, 0.25), (odd, 0.0)):
        result = image_losses(Forecast(None, None, None, error, torch.full_like(scans, STEP**2 / 4)), scans, region)
        assert result["image"].item() == pytest.approx(0.25)
        assert result["low_pass"].item() == pytest.approx(low_pass, abs=1e-6)
        for other in (0.2, 0.3):
            worse = Forecast(None, None, None, error, torch.full_like(scans, other * STEP**2))
            assert image_losses(worse, scans, region)["variance"] > result["variance"]


# ---- what the model is told of the scans


def test_depth_height_and_means_over_blocks():
    region = np.zeros((6, 9, 9), bool)
    region[1:5, 2:7, 2:7] = True
    assert depth_of(region, (10.0, 2.0, 2.0)).max() == pytest.approx(6.0)  # three voxels of 2 mm from the middle
    assert height_of(region).tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1])
    volumes, weight = torch.arange(8.0).reshape(1, 1, 2, 2, 2), torch.tensor([0.0, 1.0]).expand(1, 1, 2, 2, 2)
    assert pooled(volumes, weight, 2).item() == pytest.approx((1 + 3 + 5 + 7) / 4)


def test_densities_tell_a_breath_from_disease():
    """A breath changes all tissue alike, disease a part of it: only disease moves the quantiles from the mean."""
    region = torch.zeros(8, 8, 8, dtype=torch.bool)
    region[:, :, 2:] = True
    healthy = torch.full((8, 8, 8), -0.4)
    breath, disease = healthy + 0.05, healthy.clone()
    disease[:, :, 6:] += 0.3  # a third of the lung
    noise = 0.05 * torch.randn(8, 8, 8, generator=torch.Generator().manual_seed(0))
    mean, low, high = densities_of(torch.stack([healthy, breath, disease, healthy + noise]), region).T
    assert mean.tolist() == pytest.approx([-0.4, -0.35, -0.3, -0.4], abs=0.01)
    assert low.tolist() == pytest.approx([0, 0, -0.1, -0.012], abs=0.01)  # noise is averaged over eight voxels
    assert high.tolist() == pytest.approx([0, 0, 0.2, 0.012], abs=0.01)
    assert not densities_of(breath[None], torch.zeros_like(region)).any()


def test_changes_per_year_are_shrunk_where_visits_are_close():
    years = np.array([0.0, 2.0, 2.1])
    values = torch.tensor([0.0, 4.0, 5.0])
    change = change_per_year(values, years)
    assert change[0] == 0 and change[1].item() == pytest.approx(2 * 4 / 4.25) and change[2] < 1
    line = torch.from_numpy(3.0 + 0.5 * np.array([0.0, 5.0, 10.0]))
    assert trend_per_year(line, np.array([0.0, 5.0, 10.0])).item() == pytest.approx(0.5, rel=0.01)
    assert trend_per_year(line[:1], years[:1]) == 0


def test_features_know_nothing_of_what_lies_outside_the_lung():
    z, mask = visits(2)
    seen = given_of(z, [0.0, 1.0], mask)
    features = latent_features(seen, breath=True)
    seen.scans[:, ~seen.region] = 7.0
    assert torch.equal(features, latent_features(seen, breath=True)) and not features[:, :, ~mask].any()


# ---- ensembles


def test_an_ensemble_is_the_mean_of_its_members_and_their_disagreement_is_variance():
    (z, mask), members = visits(2), [model(seed, features=True, maps=2) for seed in (0, 1)]
    seen = given_of(z, [0.0, 1.0], mask)
    one, other = (member.forecast(seen, [2.5]) for member in members)
    both = Ensemble(members).forecast(seen, [2.5])
    assert torch.allclose(both.latents, (one.latents + other.latents) / 2, atol=1e-5)
    assert torch.allclose(both.expected, (one.expected + other.expected) / 2, atol=1e-6)
    between = ((one.expected - other.expected) / 2).square()
    assert torch.allclose(both.variance, (one.variance + other.variance) / 2 + between, atol=1e-6)


def test_folds_are_even_and_do_not_depend_on_the_order():
    subjects = [f"{number:03d}" for number in range(10)]
    folds = fold_of(subjects, 3, seed=1)
    assert sorted(list(folds.values()).count(fold) for fold in range(3)) == [3, 3, 4]
    assert folds == fold_of(subjects[::-1], 3, seed=1) != fold_of(subjects, 3, seed=2)


# ---- decoding


def upsampler() -> SimpleNamespace:
    """A stand-in for the 3D-VQ-GAN whose decoder repeats a latent of one channel 2 x 2 x 2 times."""
    weight = nn.Parameter(torch.zeros(1))
    decode = lambda z: F.interpolate(z, scale_factor=2, mode="nearest")  # noqa: E731
    return SimpleNamespace(decode=decode, parameters=lambda: iter([weight]))


def case():
    region = np.zeros((4, 4, 4), bool)
    region[:, :2] = True
    rng = np.random.default_rng(0)
    volumes = rng.uniform(-0.2, 0.2, (2, 4, 4, 4)).astype(np.float32)
    given_z = torch.from_numpy(rng.uniform(-0.1, 0.1, (2, 1, 2, 2, 2)).astype(np.float32))
    mask = torch.tensor([[[True, True], [False, False]]] * 2)
    return ObservedVisits.of([0.0, 2.0], given_z, mask, volumes, region, (1.0, 1.0, 1.0))


def latents_only(z: torch.Tensor) -> Forecast:
    return Forecast(z, z)


@pytest.mark.parametrize(("mode", "mix", "share"), [("pure", 0.3, 0.0), ("residual", 0.3, 1.0), ("mix", 0.3, 0.3)])
def test_decoding_formulas(mode, mix, share):
    seen = case()
    region, volumes = seen.region.numpy(), seen.scans.numpy()
    z = torch.full((3, 1, 2, 2, 2), 0.1)
    answer = decode_forecast(upsampler(), latents_only(z), seen, [-1.0, 0.5, 4.0], mode, mix).numpy()
    lost = volumes - seen.z[:, 0].numpy().repeat(2, 1).repeat(2, 2).repeat(2, 3)
    for row, weights in zip(answer, ([1, 0], [0.75, 0.25], [0, 1]), strict=True):
        expected = 0.1 + share * (weights[0] * lost[0] + weights[1] * lost[1])
        assert np.allclose(row[region], expected[region], atol=1e-6)
        assert np.array_equal(row[~region], volumes[0][~region])


@pytest.mark.parametrize("mode", ["residual", "drawn"])
def test_a_given_scan_comes_back(mode):
    seen = case()
    ode = model(channels=1, maps=2)
    answer = decode_forecast(upsampler(), ode.forecast(seen, [2.0]), seen, [2.0], mode).numpy()[0]
    region = seen.region.numpy()
    assert np.allclose(answer[region], seen.scans[1].numpy()[region], atol=1e-6)
    assert np.array_equal(answer[~region], seen.scans[0].numpy()[~region])


def test_decoding_is_clipped_and_checked():
    seen = case()
    answer = decode_forecast(upsampler(), latents_only(seen.z + 9), seen, seen.years, "pure")
    assert answer.max() == 0.5
    with pytest.raises(ValueError, match="decoding is 'best'"):
        decode_forecast(upsampler(), latents_only(seen.z), seen, seen.years, "best")
    with pytest.raises(ValueError, match="draws nothing"):
        decode_forecast(upsampler(), latents_only(seen.z), seen, seen.years, "drawn")
