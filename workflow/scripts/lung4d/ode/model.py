"""The latent disease ODE: given visits at any times, the latent and the scan at any other times.

Encoder (3D-ConvGRU) -> hidden state at the anchor visit -> neural ODE on both sides of it -> difference decoder, and
beside it the drawing of scans (lung4d.ode.image_decoder). Appendix D.3 of the 4D-VQ-GAN paper; where we differ, the
setting that does so is said to.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from lung4d.ode.convgru import ConvGRU
from lung4d.ode.convolution import Conv3d
from lung4d.ode.dynamics import Dynamics, Solver, integrate
from lung4d.ode.features import BREATH_LATENT, LATENT_FEATURES, latent_features
from lung4d.ode.image_decoder import ImageDecoder
from lung4d.ode.observed import ObservedVisits
from lung4d.ode.told import WIDTH, ToldNumbers
from lung4d.training.settings import SettingsSection
from lung4d.visits.times import DECIMALS, Years, as_years, blend_weights


@dataclass(frozen=True)
class ODESettings(SettingsSection):
    """What makes a model; `channels` and `factor` (voxels per latent voxel along each axis) are stage 1's, the rest are
    keys of the config section `train_ode`.

    features: the encoder sees plain numbers of the scans beside the latents. breath: it and the drawing see how far
    the lung is expanded. told: names of the numbers more that they are told of each visit. maps: of the drawing, 0 for
    none.
    direction: forward (to the last given visit) or backward (to the baseline, as in the paper).
    encoder: convgru, or ode_convgru, whose state moves on between visits. dynamics: ode, or linear: dh/dt stays what it
    is at the anchor.
    decoder: telescoping, or pairwise as in D.3.3 on a grid of `pairwise_interval` years from the baseline, or direct:
    the latent itself instead of its change (Table 1's row without skip connections).
    years_scale: years per unit of the solver's time. solver_step: years, for fixed-step solvers and the fallback.
    latents: continuous or quantised, which of a scan's two latents the model was trained on.
    """

    SECTION: ClassVar[str] = "train_ode"
    CHOICES: ClassVar = {
        "direction": ("forward", "backward"),
        "encoder": ("convgru", "ode_convgru"),
        "dynamics": ("ode", "linear"),
        "decoder": ("telescoping", "pairwise", "direct"),
        "latents": ("continuous", "quantised"),
    }

    channels: int
    factor: int
    hidden: int
    features: bool
    breath: bool
    told: tuple[str, ...]
    maps: int
    direction: str
    time_gap: bool
    time_in_dynamics: bool
    encoder: str
    dynamics: str
    decoder: str
    pairwise_interval: float
    solver: str
    rtol: float
    atol: float
    solver_step: float
    years_scale: float
    latents: str

    def __post_init__(self):
        super().__post_init__()
        if not (self.years_scale > 0 and self.pairwise_interval > 0):
            raise ValueError("train_ode: years_scale and pairwise_interval must be above 0")


class Forecast(NamedTuple):
    """At q times: latents (q, c, d, h, w), and changes (q, c, d, h, w), whose differences between two times are D of
    equation 7. On the unit scale, None of a model that does not draw, (q, D, H, W) each: drawn, the scan at hand with
    its own detail and the change; expected, the most probable scan, which has no noise; variance of the scan that will
    be seen around the latter."""

    latents: Any
    changes: Any
    drawn: Any = None
    expected: Any = None
    variance: Any = None


class LatentODE(nn.Module):
    """See the module's docstring. `shift` (c,) and `scale` bring latents to zero mean and unit spread inside."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, settings: ODESettings):
        super().__init__()
        self.settings = settings
        self.solver = Solver(settings.solver, settings.rtol, settings.atol, settings.solver_step / settings.years_scale)
        inputs = settings.channels + (LATENT_FEATURES + BREATH_LATENT * settings.breath if settings.features else 0)
        inputs += WIDTH if settings.told else 0
        self.between: Any = Dynamics(settings.hidden, False) if settings.encoder == "ode_convgru" else None
        self.encoder = ConvGRU(inputs, settings.hidden, settings.time_gap, self._move if self.between else None)
        self.dynamics = Dynamics(settings.hidden, settings.time_in_dynamics)
        self.decoder = _projector(settings)
        self.drawing: Any = None
        if settings.maps:
            told = WIDTH if settings.told else 0
            self.drawing = ImageDecoder(settings.hidden, settings.maps, settings.factor, settings.breath, told)
        self.told: Any = ToldNumbers(len(settings.told)) if settings.told else None
        self.register_buffer("shift", torch.zeros(settings.channels))
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def forecast(self, given: ObservedVisits, query: Years) -> Forecast:
        """The forecast at the `query` years (q,): any real years, before, between, at or after the given visits.

        The visits of `given` may be unsorted and have ties; those at the same time are averaged. With the telescoping
        decoder a query at a given visit returns that visit's latent in the lung and draws that scan, and the answer
        for a year does not depend on the rest of `query`; the pairwise decoder's depends on `pairwise_interval`.
        Outside the lung the first given visit is returned, in latents and scans. Raises ValueError where the latents
        do not fit the model and for years that are not finite.
        """
        query = as_years(query)
        if given.z.shape[1] != self.settings.channels:
            raise ValueError(f"latents have {given.z.shape[1]} channels, this model wants {self.settings.channels}")
        if given.told.shape[1] != len(self.settings.told):
            told = f"{given.told.shape[1]} numbers are told of each visit"
            raise ValueError(f"{told}, this model wants {len(self.settings.told)}: {', '.join(self.settings.told)}")
        given = given.merged().to(self.shift.device)
        place: Any
        times, place = np.unique(query, return_inverse=True)
        if len(times) == 0:
            times, place = given.years[:1], []  # of nothing, the right shapes
        asked = torch.as_tensor(np.asarray(place, dtype=np.int64), device=self.shift.device)
        return Forecast(*(None if part is None else part[asked] for part in self(given, times)))

    def forward(
        self, given: ObservedVisits, query: np.ndarray, draw: Sequence[int] | np.ndarray | None = None
    ) -> Forecast:
        """As `forecast`, with gradients, for years of `given` that are distinct, and both they and `query` ascending.

        `draw`: which of the queries to draw, all by default.
        """
        z, years = given.z, given.years
        state = self.encode(given)
        anchor = years[-1] if self.settings.direction == "forward" else years[0]
        asked = np.unique(np.concatenate([years, query]))
        at_query, at_given = (torch.as_tensor(np.searchsorted(asked, t), device=z.device) for t in (query, years))
        pairwise = self.settings.decoder == "pairwise"
        states: Any = None if pairwise and not self.drawing else self._states(state, anchor, asked)
        changes = self._pairwise(state, anchor, asked, origin=years[0]) if pairwise else self.decoder(states)
        if self.settings.decoder == "direct":
            latents = self.shift[:, None, None, None] + self.scale * changes[at_query]
        else:  # the paper's form carries on from the baseline alone
            weights = np.eye(1, len(years)).repeat(len(query), 0) if pairwise else blend_weights(years, query)
            rows = zip(weights, changes[at_query], strict=True)
            latents = torch.stack([_anchored(row, z, change, changes[at_given], self.scale) for row, change in rows])
        forecast = Forecast(torch.where(given.mask, latents, z[0]), changes[at_query] * self.scale)
        if not self.drawing:
            return forecast
        draw = np.arange(len(query)) if draw is None else np.asarray(draw, dtype=np.int64)
        drawn = self._draw(given, query[draw], state, states[at_query][draw], states[at_given])
        return forecast._replace(**drawn)

    def _draw(
        self, given: ObservedVisits, query: np.ndarray, state: torch.Tensor, asked: torch.Tensor, at_given: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The drawn fields of `Forecast` at `query` years, whose states are `asked`; blended between two visits."""
        weights = blend_weights(given.years, query)
        drawn, expected, variance = given.scans.new_zeros(3, len(query), *given.region.shape).unbind(0)
        told = self.told(given.told, given.years) if self.told else given.told
        for i in np.flatnonzero(weights.any(0)):
            rows = np.flatnonzero(weights[:, i])
            place = torch.as_tensor(rows, device=asked.device)
            share, gap = (
                torch.as_tensor(values).to(drawn)[:, None, None, None]
                for values in (weights[rows, i], np.abs(query[rows] - given.years[i]))
            )
            of_visit = self.drawing(given, i, state, told)
            scans = given.scans[i] + self.drawing.change(of_visit.maps, asked[place], at_given[i : i + 1])
            drawn = drawn.index_add(0, place, share * scans)
            expected = expected.index_add(0, place, share * (scans + of_visit.noise))
            spread = of_visit.variance[0] + gap * of_visit.variance[1]
            variance = variance.index_add(0, place, share * spread)
        return {
            "drawn": torch.where(given.region, drawn, given.scans[0]),
            "expected": torch.where(given.region, expected, given.scans[0]),
            "variance": torch.where(given.region, variance, 0),
        }

    def draw_in(self, dtype: torch.dtype) -> None:
        """Draw scans in float32 or bfloat16; the ODE's solver wants float32."""
        if self.drawing:
            self.drawing.dtype = dtype

    def encode(self, given: ObservedVisits) -> torch.Tensor:
        """Hidden state (1, hidden, d, h, w) at the anchor: the last visit (forward) or the baseline (backward)."""
        visits = (given.z - self.shift[:, None, None, None]) / self.scale * given.mask
        if self.settings.features:
            visits = torch.cat([visits, latent_features(given, self.settings.breath)], 1)
        if self.told:
            told = self.told(given.told, given.years)[..., None, None, None]
            visits = torch.cat([visits, told * given.mask], 1)
        times = torch.as_tensor(given.years / self.settings.years_scale, device=visits.device)
        if self.settings.direction == "backward":
            visits, times = visits.flip(0), times.flip(0)
        return self.encoder(visits, times)

    def _move(self, state: torch.Tensor, gap: float) -> torch.Tensor:
        return integrate(self.between, state, 0.0, np.array([gap]), self.solver)

    def _states(self, state: torch.Tensor, anchor: float, years: np.ndarray) -> torch.Tensor:
        scale = self.settings.years_scale
        if self.settings.dynamics == "linear":
            gaps = torch.as_tensor((years - anchor) / scale).to(state)
            return state + gaps[:, None, None, None, None] * self.dynamics(state.new_tensor(anchor / scale), state)
        return integrate(self.dynamics, state, anchor / scale, years / scale, self.solver)

    def _pairwise(self, state: torch.Tensor, anchor: float, asked: np.ndarray, origin: float) -> torch.Tensor:
        """D_k = conv(h_k, h_{k-1}) summed over a fixed grid from the baseline, linear between grid points.

        The sum depends on the grid: half the interval is not the same change. One fixed interval for every query
        keeps at least the answers to two requests the same.
        """
        interval = self.settings.pairwise_interval
        first = min(0, math.floor((asked[0] - origin) / interval))
        last = max(first + 1, math.ceil((asked[-1] - origin) / interval))
        nodes = np.round(origin + interval * np.arange(first, last + 1), DECIMALS)
        states = self._states(state, anchor, nodes)
        steps = self.decoder(torch.cat([states[1:], states[:-1]], 1))
        total = torch.cat([torch.zeros_like(steps[:1]), steps.cumsum(0)])
        total = total - total[-first]
        place = np.clip((asked - nodes[0]) / interval, 0, last - first)
        left = np.minimum(place.astype(int), last - first - 1)
        share = torch.as_tensor(place - left, dtype=total.dtype, device=total.device)[:, None, None, None, None]
        left = torch.as_tensor(left, device=total.device)
        return total[left] * (1 - share) + total[left + 1] * share


def _projector(settings: ODESettings) -> nn.Module:
    """P, two 3D convolutions, or the one convolution of two states of the pairwise decoder.

    The last convolution starts at zero, so that training starts at "nothing changes", or at the mean latent.
    """
    hidden, channels = settings.hidden, settings.channels
    if settings.decoder == "pairwise":
        last = Conv3d(2 * hidden, channels)
        nn.init.zeros_(last.bias)
        layers = nn.Sequential(last)
    else:
        last = Conv3d(hidden, channels, bias=settings.decoder == "direct")  # it would cancel in every difference
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        layers = nn.Sequential(Conv3d(hidden, hidden), nn.Tanh(), last)
    nn.init.zeros_(last.weight)
    return layers


def _anchored(
    weights: np.ndarray, z: torch.Tensor, change: torch.Tensor, at_given: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """The sum over given visits i of weights[i] * (z_i + change - change_i): method's blend, exact at a visit."""
    anchors = np.flatnonzero(weights)
    blend: Any = sum(float(weights[i]) * (z[i] + scale * (change - at_given[i])) for i in anchors)
    return blend
