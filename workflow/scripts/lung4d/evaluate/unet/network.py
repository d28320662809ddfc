"""A plain U-Net from the given scans and the years to the change since the scan at hand (Ronneberger et al. 2015).

It sees four channels, however many visits are given: the scan at hand (the latest that is not after the day asked for,
else the first), the mean of the given scans minus it, the straight line's change a year through all of them, and the
lung. Three numbers are told at every level: the years from the scan at hand to the day asked for, from it to the last
given scan, and between the first and the last. It has no normalisation: one that takes a channel's mean away, as most
U-Nets have it, would take away what is the same everywhere, and so the years.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lung4d.io.atomic import reading
from lung4d.ode.convolution import Conv3d
from lung4d.ode.features import LUNG, STEP
from lung4d.ode.image_decoder import WIDTHS
from lung4d.training.checkpoints import save_whole
from lung4d.visits.times import anchor

CHANNELS, TIMES = 4, 3


class UNet(nn.Module):
    """Widths and depth are those of the network with which the disease model draws."""

    def __init__(self):
        super().__init__()
        self.start = Conv3d(CHANNELS, WIDTHS[0])
        self.down = nn.ModuleList(Conv3d(a, b) for a, b in pairwise(WIDTHS))
        self.bottom = Conv3d(WIDTHS[-1], WIDTHS[-1])
        rising = list(pairwise(WIDTHS[::-1]))
        self.narrow = nn.ModuleList(Conv3d(a, b, kernel=1) for a, b in rising)
        self.up = nn.ModuleList(Conv3d(b, b) for _, b in rising)
        self.told = nn.ModuleList(_told(width) for width in (*WIDTHS, *WIDTHS[-2::-1]))
        self.last = Conv3d(WIDTHS[0], 1)
        nn.init.zeros_(self.last.weight)  # it starts at "nothing changes"
        nn.init.zeros_(self.last.bias)

    def forward(self, seen: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The change (D, H, W) on the unit scale, from what is `seen` (CHANNELS, D, H, W) and TIMES in years."""
        size, stride = seen.shape[1:], 2 ** len(self.down)
        padding = [side for length in reversed(size) for side in (0, -length % stride)]
        x, told = F.pad(seen[None], padding), iter(self.told)
        levels = [self._step(self.start, x, times, next(told))]
        for layer in self.down:
            levels.append(self._step(layer, F.avg_pool3d(levels[-1], 2), times, next(told)))
        x = F.silu(self.bottom(levels.pop()))
        for narrow, layer in zip(self.narrow, self.up, strict=True):
            larger = F.interpolate(narrow(x), scale_factor=2, mode="trilinear", align_corners=False)
            x = self._step(layer, larger + levels.pop(), times, next(told))
        depth, height, width = size
        return STEP * self.last(x)[0, 0, :depth, :height, :width]

    @staticmethod
    def _step(layer: nn.Module, x: torch.Tensor, times: torch.Tensor, told: nn.Module) -> torch.Tensor:
        """A convolution that the times scale and shift (FiLM, Perez et al. 2018)."""
        x = layer(x)
        scale, shift = told(times)[:, None, None, None].chunk(2)
        return F.silu(x * (1 + scale) + shift)


def _told(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(TIMES, width), nn.SiLU(), nn.Linear(width, 2 * width))


def seen_at(
    years: np.ndarray, scans: torch.Tensor, region: torch.Tensor, year: float
) -> tuple[int, torch.Tensor, torch.Tensor]:
    """The index of the scan at hand, what the network sees (CHANNELS, D, H, W), and what it is told (TIMES,).

    years (n,) ascending and distinct; scans (n, D, H, W) on the unit scale; region (D, H, W) bool.
    """
    hand = anchor(years, year)
    centred = torch.as_tensor(years - years.mean(), dtype=scans.dtype, device=scans.device)
    trend = torch.tensordot(centred / centred.square().sum().clamp(min=1e-6), scans, 1)
    seen = torch.stack(
        [(scans[hand] - LUNG) / STEP, (scans.mean(0) - scans[hand]) / STEP, trend / STEP, region.to(scans.dtype)]
    )
    told = (year - years[hand], years[-1] - years[hand], years[-1] - years[0])
    return hand, seen, torch.tensor(told, dtype=scans.dtype, device=scans.device)


def forecast_scan(
    network: UNet, years: np.ndarray, scans: torch.Tensor, region: torch.Tensor, year: float
) -> torch.Tensor:
    """The scan (D, H, W) at a year, on the unit scale; arguments as those of `seen_at`."""
    hand, seen, told = seen_at(years, scans, region, year)
    return scans[hand] + network(seen, told)


def save_unet(best: dict[str, Any], window: tuple[float, float], path: str | Path) -> None:
    """`best` of its training; `window` in HU is what its unit scale stands for."""
    save_whole({"weights": best["weights"], "step": best["step"], "window": [float(end) for end in window]}, path)


def load_unet(path: str | Path, window: tuple[float, float], device: torch.device) -> UNet:
    """The network, frozen. Raises ValueError where it was trained on another HU window."""
    with reading(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
    if tuple(state["window"]) != tuple(window):
        raise ValueError(f"{Path(path).name}: trained on HU {state['window']}, the scans are of {list(window)}")
    network = UNet()
    network.load_state_dict(state["weights"])
    return network.to(device).eval().requires_grad_(False)
