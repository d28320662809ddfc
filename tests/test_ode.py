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

from lung4d.ode import dynamics
from lung4d.ode.convgru import ConvGRU, ConvGRUCell
from lung4d.ode.convolution import Conv3d
from lung4d.ode.decoding import decode_forecast
from lung4d.ode.dynamics import ADAPTIVE, FIXED, Dynamics, Solver, integrate
from lung4d.ode.losses import losses, rising_weights
from lung4d.ode.model import Forecast, ODESettings, load_ode, save_ode
from lung4d.ode.times import as_years, blend_weights, merge_ties
from ode_cases import model, visits

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
        gru = ConvGRU(3, 4, time_gap=seen)
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
    assert torch.isfinite(ode.forecast(1e3 * z, [0.0, 1e-5], mask, [-10.0, 0.0, 50.0])).all()


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
    few = ode.forecast(z, years, mask, query)
    many = ode.forecast(z, years, mask, others + query + others[::-1])
    again = many[len(others) : len(others) + len(query)]
    assert torch.allclose(few, again, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_query_at_a_given_visit_returns_it(variant):
    ode, (z, mask) = model(**variant), visits(3)
    years = [2.0, 0.0, 0.7]
    answer = ode.forecast(z, years, mask, [0.7, 2.0, 5.0, 0.0])
    for row, visit in ((0, 2), (1, 0), (3, 1)):
        assert torch.equal(answer[row][:, mask], z[visit][:, mask])
    assert not torch.allclose(answer[2][:, mask], z[0][:, mask])


def test_the_order_of_visits_does_not_matter_and_ties_are_their_mean():
    ode, (z, mask) = model(), visits(4)
    years, query = [0.0, 1.0, 1.0, 2.5], [-0.5, 0.4, 1.0, 3.0]
    answer = ode.forecast(z, years, mask, query)
    order = [2, 3, 0, 1]
    shuffled = ode.forecast(z[order], [years[i] for i in order], mask, query)
    assert torch.allclose(answer, shuffled, atol=1e-5)
    assert torch.allclose(answer[2][:, mask], z[1:3].mean(0)[:, mask])


def test_between_visits_the_forecast_is_the_blend_of_both_sides():
    ode, (z, mask) = model(), visits(2)
    years, query = np.array([0.0, 2.0]), np.array([0.5])
    with torch.no_grad():
        change, at_given = ode.changes(z * mask, years, query)
    sides = [z[i] + change[0] - at_given[i] for i in (0, 1)]
    blend = 0.75 * sides[0] + 0.25 * sides[1]
    assert torch.allclose(ode.forecast(z, years, mask, query)[0][:, mask], blend[:, mask], atol=1e-5)


@pytest.mark.parametrize("decoder", ["telescoping", "pairwise"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_an_untrained_model_carries_the_visits_forward(decoder, count):
    ode, (z, mask) = model(drawn=0.0, decoder=decoder), visits(count)
    years = list(range(count))
    answer = ode.forecast(z, years, mask, [-2.0, 0.0, count + 3.0])
    last = z[-1] if decoder == "telescoping" else z[0]
    for row, expected in zip(answer, (z[0], z[0], last), strict=True):
        assert torch.equal(row[:, mask], expected[:, mask])


@pytest.mark.parametrize("decoder", ["telescoping", "pairwise"])
def test_outside_the_mask_the_baselines_embedding_is_returned(decoder):
    ode, (z, mask) = model(decoder=decoder), visits(3)
    answer = ode.forecast(z, [1.0, 0.0, 2.0], mask, [-1.0, 0.5, 1.0, 4.0])
    assert all(torch.equal(row[:, ~mask], z[1][:, ~mask]) for row in answer)


def test_what_lies_outside_the_mask_does_not_matter_inside():
    ode, (z, mask) = model(), visits(2)
    other = torch.where(mask, z, torch.tensor(9.0))
    a, b = (ode.forecast(latents, [0.0, 1.0], mask, [3.0]) for latents in (z, other))
    assert torch.equal(a[0][:, mask], b[0][:, mask])


def test_scale_and_shift_of_the_latents_are_a_matter_of_units():
    ode, (z, mask) = model(), visits(2)
    answer = ode.forecast(z, [0.0, 1.0], mask, [3.0])
    ode.shift += 2.0
    ode.scale *= 5.0
    scaled = ode.forecast(5 * z + 2, [0.0, 1.0], mask, [3.0])
    assert torch.allclose(scaled, 5 * answer + 2, rtol=1e-4, atol=1e-4)


def test_pairwise_is_the_sum_over_its_grid_from_the_baseline():
    """Equation 7 with s_i = 0, 0.5, 1: z_i = z_{i-1} + conv(h_i, h_{i-1})."""
    ode, (z, mask) = model(decoder="pairwise", direction="backward", time_gap=False), visits(2)
    years = np.array([0.0, 1.2])
    with torch.no_grad():
        states = ode._states(ode.encode(z * mask, years), 0.0, np.array([0.0, 0.5, 1.0]))
        steps = [ode.decoder(torch.cat([states[i], states[i - 1]])[None])[0] for i in (1, 2)]
    answer = ode.forecast(z, years, mask, [0.0, 0.5, 0.75, 1.0])
    expected = [z[0], z[0] + steps[0], z[0] + steps[0] + steps[1] / 2, z[0] + steps[0] + steps[1]]
    for row, latent in zip(answer, expected, strict=True):
        assert torch.allclose(row[:, mask], latent[:, mask], atol=1e-5)


def test_pairwise_depends_on_its_grid_but_not_on_the_other_queries():
    (z, mask), answers = visits(2), []
    for interval in (0.5, 0.25):
        ode = model(decoder="pairwise", pairwise_interval=interval)
        answers.append(ode.forecast(z, [0.0, 1.0], mask, [2.0])[0])
        many = ode.forecast(z, [0.0, 1.0], mask, [-3.1, 0.3, 2.0, 7.0])[2]
        assert torch.allclose(answers[-1], many, rtol=1e-4, atol=1e-5)
    assert (answers[0] - answers[1])[:, mask].abs().mean() > 0.1 * answers[0][:, mask].std()


def test_a_forecast_of_nothing_and_from_nothing():
    ode, (z, mask) = model(), visits(2)
    assert ode.forecast(z, [0.0, 1.0], mask, []).shape == (0, *z.shape[1:])
    with pytest.raises(ValueError, match="at least one"):
        ode.forecast(z[:0], [], mask, [1.0])
    with pytest.raises(ValueError, match="not finite"):
        ode.forecast(z * math.nan, [0.0, 1.0], mask, [1.0])
    with pytest.raises(ValueError, match="do not fit"):
        ode.forecast(z[:, :2], [0.0, 1.0], mask, [1.0])


@pytest.mark.parametrize("decoder", ["telescoping", "pairwise"])
def test_gradients_reach_every_weight(decoder):
    ode, (z, mask) = model(decoder=decoder), visits(3)
    years = np.array([0.0, 1.0, 2.5])
    losses(ode(z[:2], years[:2], mask, years), z, mask, ode.scale).total.backward()
    still = [name for name, weight in ode.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not still


def test_settings_are_checked():
    with pytest.raises(ValueError, match="sideways"):
        ODESettings(channels=3, direction="sideways")
    assert ODESettings.of({"channels": 3, "hidden": 7, "epochs": 1}).hidden == 7


def test_a_stored_model_comes_back_and_only_for_its_stage_1(tmp_path):
    ode, (z, mask) = model(decoder="pairwise"), visits(2)
    save_ode(ode, tmp_path / "model.pt", "abc", best_step=3)
    again = load_ode(tmp_path / "model.pt", "cpu", "abc")
    assert torch.equal(ode.forecast(z, [0, 1], mask, [2]), again.forecast(z, [0, 1], mask, [2]))
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
    result = losses(Forecast(z + off + 99 * ~mask, z + off), z, mask, torch.tensor(1.0))
    assert result.reconstruction.item() == pytest.approx((0.5 * 0 + 1.0 * 1 + 1.5 * 4) / 3)
    assert result.difference.item() == pytest.approx((2 / 3 * 1 + 4 / 3 * 1) / 2)


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
    return region, volumes, given_z, [0.0, 2.0]


@pytest.mark.parametrize(("mode", "mix", "share"), [("pure", 0.3, 0.0), ("residual", 0.3, 1.0), ("mix", 0.3, 0.3)])
def test_decoding_formulas(mode, mix, share):
    region, volumes, given_z, years = case()
    z = torch.full((3, 1, 2, 2, 2), 0.1)
    answer = decode_forecast(upsampler(), z, [-1.0, 0.5, 4.0], volumes, given_z, years, region, mode, mix).numpy()
    lost = volumes - given_z[:, 0].numpy().repeat(2, 1).repeat(2, 2).repeat(2, 3)
    for row, weights in zip(answer, ([1, 0], [0.75, 0.25], [0, 1]), strict=True):
        expected = 0.1 + share * (weights[0] * lost[0] + weights[1] * lost[1])
        assert np.allclose(row[region], expected[region], atol=1e-6)
        assert np.array_equal(row[~region], volumes[0][~region])


def test_residual_decoding_returns_a_given_scan():
    region, volumes, given_z, years = case()
    ode = model(channels=1)
    mask = torch.tensor([[[True, True], [False, False]]] * 2)
    z = ode.forecast(given_z, years, mask, [2.0])
    answer = decode_forecast(upsampler(), z, [2.0], volumes, given_z, years, region, "residual").numpy()[0]
    assert np.allclose(answer[region], volumes[1][region], atol=1e-6)
    assert np.array_equal(answer[~region], volumes[0][~region])


def test_decoding_is_clipped_and_checked():
    region, volumes, given_z, years = case()
    answer = decode_forecast(upsampler(), given_z + 9, years, volumes, given_z, years, region, "pure")
    assert answer.max() == 0.5
    with pytest.raises(ValueError, match="decoding is 'best'"):
        decode_forecast(upsampler(), given_z, years, volumes, given_z, years, region, "best")
