"""The latent disease ODE: given visits' latents at any times, the latent at any other times.

Encoder (3D-ConvGRU) -> hidden state at the anchor visit -> neural ODE on both sides of it -> difference decoder.
Appendix D.3 of the 4D-VQ-GAN paper; where we differ, the setting that does so is said to.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from lung4d.files import atomic
from lung4d.ode.convgru import ConvGRU
from lung4d.ode.convolution import Conv3d
from lung4d.ode.dynamics import Dynamics, Solver, integrate
from lung4d.ode.times import DECIMALS, Years, as_years, blend_weights, merge_ties


@dataclass(frozen=True)
class ODESettings:
    """What makes a model; `channels` are the latent's, the rest are keys of the config section `train_ode`.

    direction: forward (to the last given visit) or backward (to the baseline, as in the paper).
    decoder: telescoping, or pairwise as in D.3.3 on a grid of `pairwise_interval` years from the baseline.
    years_scale: years per unit of the solver's time. solver_step: years, for fixed-step solvers and the fallback.
    latents: continuous or quantised, which of a scan's two latents the model was trained on.
    """

    channels: int
    hidden: int = 32
    direction: str = "forward"
    time_gap: bool = True
    time_in_dynamics: bool = False
    decoder: str = "telescoping"
    pairwise_interval: float = 0.5
    solver: str = "dopri5"
    rtol: float = 1e-3
    atol: float = 1e-4
    solver_step: float = 0.1
    years_scale: float = 5.0
    latents: str = "continuous"

    def __post_init__(self):
        for key, allowed in ALLOWED.items():
            if getattr(self, key) not in allowed:
                raise ValueError(f"train_ode, {key}: {getattr(self, key)!r} is not one of {', '.join(allowed)}")
        if not (self.years_scale > 0 and self.pairwise_interval > 0):
            raise ValueError("train_ode: years_scale and pairwise_interval must be above 0")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ODESettings":
        """The settings among `values`, which may hold other keys too."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


ALLOWED = {
    "direction": ("forward", "backward"),
    "decoder": ("telescoping", "pairwise"),
    "latents": ("continuous", "quantised"),
}


class Forecast(NamedTuple):
    """latents (q, c, d, h, w); changes (q, c, d, h, w): their differences between two times are D of equation 7."""

    latents: torch.Tensor
    changes: torch.Tensor


class LatentODE(nn.Module):
    """See the module's docstring. `shift` (c,) and `scale` bring latents to zero mean and unit spread inside."""

    def __init__(self, settings: ODESettings):
        super().__init__()
        self.settings = settings
        self.solver = Solver(settings.solver, settings.rtol, settings.atol, settings.solver_step / settings.years_scale)
        self.encoder = ConvGRU(settings.channels, settings.hidden, settings.time_gap)
        self.dynamics = Dynamics(settings.hidden, settings.time_in_dynamics)
        self.decoder = _projector(settings)
        self.register_buffer("shift", torch.zeros(settings.channels))
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def forecast(self, z: torch.Tensor, years: Years, mask: torch.Tensor, query: Years) -> torch.Tensor:
        """Latents at the `query` years, from n >= 1 given visits.

        z (n, c, d, h, w), years (n,), mask (d, h, w) True in the lung, query (q,): any real years, before, between, at
        or after the given visits, unsorted and with ties. Given visits at the same time are averaged. Returns
        (q, c, d, h, w) float32 on the model's device. With the telescoping decoder a query at a given visit returns
        that visit in the lung, and the answer for a year does not depend on the rest of `query`; the pairwise
        decoder's depends on `pairwise_interval`. Outside the mask the baseline's embedding, that of the first given
        visit, is returned. Raises ValueError for no visit, and for values or years that are not finite.
        """
        query = as_years(query)
        z = torch.as_tensor(z, dtype=torch.float32, device=self.shift.device)
        mask = torch.as_tensor(mask, dtype=torch.bool, device=z.device)
        if z.ndim != 5 or z.shape[1] != self.settings.channels or z.shape[2:] != mask.shape:
            raise ValueError(f"latents {tuple(z.shape)} and mask {tuple(mask.shape)} do not fit this model")
        if not torch.isfinite(z).all():
            raise ValueError("a given latent holds values that are not finite")
        merged_years, merged = merge_ties(years, z)
        if len(query) == 0:
            return merged[:0]
        times = np.unique(query)
        latents = self(merged, merged_years, mask, times).latents
        return latents[torch.as_tensor(np.searchsorted(times, query), device=z.device)]

    def forward(self, z: torch.Tensor, years: np.ndarray, mask: torch.Tensor, query: np.ndarray) -> Forecast:
        """As `forecast`, with gradients, for `years` (n,) and `query` (q,) that are distinct and ascending."""
        unit = (z - self.shift[:, None, None, None]) / self.scale
        changes, at_given = self.changes(unit * mask, years, query)
        weights = blend_weights(years, query)
        if self.settings.decoder == "pairwise":  # the paper's form carries on from the baseline alone
            weights = np.eye(1, len(years)).repeat(len(query), 0)
        latents = torch.stack(
            [_anchored(row, z, change, at_given, self.scale) for row, change in zip(weights, changes, strict=True)]
        )
        return Forecast(torch.where(mask, latents, z[0]), changes * self.scale)

    def changes(self, visits: torch.Tensor, years: np.ndarray, query: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The decoder's change up to `query` and up to the given `years`: (q, c, ...) and (n, c, ...), unit spread.

        Each is counted from one origin, so only differences mean something. visits (n, c, d, h, w) unit spread.
        """
        anchor = years[-1] if self.settings.direction == "forward" else years[0]
        state = self.encode(visits, years)
        asked = np.unique(np.concatenate([years, query]))
        if self.settings.decoder == "pairwise":
            changes = self._pairwise(state, anchor, asked, origin=years[0])
        else:
            changes = self.decoder(self._states(state, anchor, asked))
        rows = [torch.as_tensor(np.searchsorted(asked, times), device=visits.device) for times in (query, years)]
        return changes[rows[0]], changes[rows[1]]

    def encode(self, visits: torch.Tensor, years: np.ndarray) -> torch.Tensor:
        """Hidden state (1, hidden, d, h, w) at the anchor: the last visit (forward) or the baseline (backward)."""
        times = torch.as_tensor(years / self.settings.years_scale, device=visits.device)
        if self.settings.direction == "backward":
            visits, times = visits.flip(0), times.flip(0)
        return self.encoder(visits, times)

    def _states(self, state: torch.Tensor, anchor: float, years: np.ndarray) -> torch.Tensor:
        scale = self.settings.years_scale
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
    """P (two 3D convolutions) of the telescoping decoder, or the one convolution of two states of the pairwise one.

    The last convolution starts at zero, so that training starts at "nothing changes".
    """
    hidden, channels = settings.hidden, settings.channels
    if settings.decoder == "pairwise":
        last = Conv3d(2 * hidden, channels)
        nn.init.zeros_(last.bias)
        layers = nn.Sequential(last)
    else:
        last = Conv3d(hidden, channels, bias=False)  # a bias would cancel in every difference
        layers = nn.Sequential(Conv3d(hidden, hidden), nn.Tanh(), last)
    nn.init.zeros_(last.weight)
    return layers


def _anchored(
    weights: np.ndarray, z: torch.Tensor, change: torch.Tensor, at_given: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """The sum over given visits i of weights[i] * (z_i + change - change_i): method's blend, exact at a visit."""
    anchors = np.flatnonzero(weights)
    return sum(float(weights[i]) * (z[i] + scale * (change - at_given[i])) for i in anchors)


def save_ode(model: LatentODE, path: str | Path, vqgan_hash: str, **records: Any) -> None:
    """Write settings, weights, the hash of the stage-1 parameters that the latents came from, and `records`."""
    state = {
        "settings": asdict(model.settings),
        "state_dict": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        "vqgan_hash": vqgan_hash,
        **records,
    }
    with atomic(path) as temporary:
        torch.save(state, temporary)


def load_ode(path: str | Path, device: torch.device | str = "cpu", vqgan_hash: str | None = None) -> LatentODE:
    """A trained model, in eval mode and frozen. Raises ValueError where it belongs to another stage 1."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if vqgan_hash is not None and state["vqgan_hash"] != vqgan_hash:
        raise ValueError(f"{Path(path).name} was trained on the latents of another 3D-VQ-GAN; train stage 2 again")
    model = LatentODE(ODESettings.of(state["settings"]))
    model.load_state_dict(state["state_dict"])
    return model.to(device).eval().requires_grad_(False)
