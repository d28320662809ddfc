"""The neural ODE dh/dt = f(h) or f(h, t) (equation 6) and its solution on both sides of an anchor, by torchdiffeq.

Why the state at one time does not depend on the other times asked for: torchdiffeq's adaptive solvers choose their
steps without looking at the output times and read each output from the interpolant of the step that holds it; the
fixed-step solvers walk one grid that starts at the anchor and always ends on a whole step. Only where an adaptive
solver gives up on the farthest time, the whole side is solved with fixed steps, nearer times included; the log says so.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torchdiffeq import odeint

from lung4d.ode.convolution import Conv3d

ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun")
FIXED = ("euler", "midpoint", "rk4")
FALLBACK = "rk4"
FIRST_STEP = 0.4  # tried first, in the solver's time; the error control takes it back where it is too long
LONGEST_STEP = 1.0  # in the solver's time: outputs are interpolated within a step, which long ones do less well
MAX_STEPS = 1000  # of an adaptive solver between two outputs; more is taken as stiff
STAGES = {"euler": 1, "midpoint": 2, "rk4": 4}  # evaluations of f in a step of a fixed-step solver
MOST_EVALUATIONS = 20_000  # of f on one side of an anchor; years of a lifetime need a tenth of it

logger = logging.getLogger("lung4d")


class TooFar(ValueError):
    """Years so far from the visits that the solver would not come to an end within MOST_EVALUATIONS."""

    def __init__(self, method: str):
        super().__init__(
            f"the years asked for lie so far from the visits that {method} would take more than {MOST_EVALUATIONS:,} "
            "evaluations; correct the patient's years or dates, or give a longer train_ode.solver_step"
        )


@contextmanager
def named(subject: str) -> Iterator[None]:
    """Let a TooFar of the block say which patient's years they are."""
    try:
        yield
    except TooFar as error:
        error.args = (f"patient {subject}: {error}",)
        raise


@dataclass(frozen=True)
class Solver:
    """method: one of ADAPTIVE (with rtol, atol) or FIXED (with step). step in the solver's time."""

    method: str
    rtol: float
    atol: float
    step: float

    def __post_init__(self):
        if self.method not in ADAPTIVE + FIXED:
            raise ValueError(f"solver is {self.method!r}; allowed: {', '.join(ADAPTIVE + FIXED)}")
        if not (self.step > 0 and self.rtol > 0 and self.atol > 0):
            raise ValueError("the solver's step, rtol and atol must be above 0")


class Dynamics(nn.Module):
    """f of equation 6: three stacked 3D convolutions with tanh between.

    The last layer reads values within (-1, 1), so f is bounded and the state cannot grow without bound in finite
    time. With `time` the solver's time is one more input channel. `evaluations` counts the calls.
    """

    def __init__(self, hidden: int, time: bool):
        super().__init__()
        self.time = time
        self.evaluations = 0
        self.layers = nn.Sequential(
            Conv3d(hidden + int(time), hidden),
            nn.Tanh(),
            Conv3d(hidden, hidden),
            nn.Tanh(),
            Conv3d(hidden, hidden),
        )

    def forward(self, t: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """t scalar (solver's time), state (1, hidden, d, h, w); returns dstate/dt of the same shape."""
        self.evaluations += 1
        if self.time:
            state = torch.cat([state, t.to(state).expand_as(state[:, :1])], 1)
        return self.layers(state)


def integrate(
    dynamics: nn.Module, state: torch.Tensor, anchor: float, times: np.ndarray, solver: Solver
) -> torch.Tensor:
    """States at `times`, given the state at `anchor`; backwards in time for times before it.

    state (1, ...); times (T,) float64, distinct and ascending, in the solver's unit like `anchor`. Returns (T, ...).
    At the anchor the state itself comes back.
    """
    ahead, behind = times[times > anchor], times[times < anchor][::-1]
    parts = [
        _solve(dynamics, state, anchor, behind, solver).flip(0),
        state if anchor in times else state[:0],
        _solve(dynamics, state, anchor, ahead, solver),
    ]
    return torch.cat(parts)


def _solve(dynamics: nn.Module, state: torch.Tensor, anchor: float, times: np.ndarray, solver: Solver) -> torch.Tensor:
    """One side of the anchor, `times` in the order of integration. Returns (T, ...)."""
    if len(times) == 0:
        return state[:0]
    if solver.method in FIXED:
        return _solve_fixed(dynamics, state, anchor, times, solver.method, solver.step)
    if np.abs(np.diff(times, prepend=anchor)).max() > MAX_STEPS * LONGEST_STEP:
        raise TooFar(solver.method)
    outputs = torch.tensor([anchor, *times], dtype=torch.float64, device=state.device)
    options = {"first_step": FIRST_STEP, "max_step": LONGEST_STEP, "max_num_steps": MAX_STEPS}
    try:
        states = odeint(
            _Bounded(dynamics, solver.method),
            state,
            outputs,
            rtol=solver.rtol,
            atol=solver.atol,
            method=solver.method,
            options=options,
        )
        trouble = "" if torch.isfinite(states).all() else "values that are not finite"
    except AssertionError as error:  # torchdiffeq's word for a step underflow or too many steps
        trouble = str(error).split("\n", 1)[0][:80]
    if not trouble:
        return states[1:, 0]
    logger.warning("%s gave up (%s); %s with a fixed step instead", solver.method, trouble, FALLBACK)
    return _solve_fixed(dynamics, state, anchor, times, FALLBACK, solver.step)


class _Bounded(nn.Module):
    """f, which may be evaluated MOST_EVALUATIONS times."""

    def __init__(self, dynamics: nn.Module, method: str):
        super().__init__()
        self.dynamics, self.method, self.evaluations = dynamics, method, 0

    def forward(self, t: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        self.evaluations += 1
        if self.evaluations > MOST_EVALUATIONS:
            raise TooFar(self.method)
        return self.dynamics(t, state)


def _solve_fixed(
    dynamics: nn.Module, state: torch.Tensor, anchor: float, times: np.ndarray, method: str, step: float
) -> torch.Tensor:
    """A fixed-step solver on the grid anchor, anchor +- step, ...; outputs between grid points by cubic Hermite."""
    count = math.ceil(abs(times[-1] - anchor) / step - 1e-9)
    if count * STAGES[method] > MOST_EVALUATIONS:
        raise TooFar(method)
    nodes = anchor + np.sign(times[-1] - anchor) * step * np.arange(max(count, 1) + 1)
    if abs(nodes[-1] - times[-1]) < 1e-9 * step:
        nodes[-1] = times[-1]  # the same time but for rounding; strictly monotone times need one of the two
    grid = torch.tensor(nodes, dtype=torch.float64, device=state.device)
    beyond = [nodes[-1]] if nodes[-1] != times[-1] else []
    outputs = torch.tensor([anchor, *times, *beyond], dtype=torch.float64, device=state.device)
    options = {"grid_constructor": lambda function, start, asked: grid, "interp": "cubic"}
    states = odeint(dynamics, state, outputs, method=method, options=options)
    return states[1 : len(times) + 1, 0]
