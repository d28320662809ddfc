"""Drawing forecasts at the scan's own resolution.

The latent tells how far the disease goes in each neighbourhood, the scan at hand where in it: with h the hidden state
at latent resolution, u(h) a few of its channels, and B a few maps that a small U-Net draws from the scan i at hand,

    X(t) = X_i + sum_k B_ik (u_k(h(t)) - u_k(h(t_i)))        (1)

The maps do not depend on t, so they are drawn once for all years, the answer for a year does not depend on the other
years asked for, and at the visit itself the change is exactly zero. For the most probable scan rather than one that
looks like the scan at hand, X_i is replaced by D_i, X_i without its noise: a mixture of X_i and its blurs, drawn voxel
by voxel by the same network, and a free term. It also tells how far the scan to be seen may lie from that: a variance
at every voxel, v_0 + v_1 |t - t_i|.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from lung4d.ode.convolution import Conv3d
from lung4d.ode.features import (
    BREATH_IMAGE,
    BREATH_WHOLE,
    IMAGE_FEATURES,
    SMOOTHED,
    STEP,
    WHOLE_FEATURES,
    image_features,
    smoothed,
    whole_features,
)
from lung4d.ode.observed import ObservedVisits
from lung4d.training.device import choose_precision

WIDTHS = (16, 24, 32)  # channels at full, half and quarter resolution; further levels keep the last


class ImageMaps(NamedTuple):
    """On the unit scale: maps B_k (maps, D, H, W), noise D_i - X_i (D, H, W), variances v_0 and v_1 (2, D, H, W), of
    which v_1 is per year."""

    maps: torch.Tensor
    noise: torch.Tensor
    variance: torch.Tensor


class ImageDecoder(nn.Module):
    """A U-Net from full to latent resolution and back; at the bottom it sees the hidden state of the visits.

    hidden: channels of the state; maps: number of B_k; factor: voxels per latent voxel along each axis, a power of 2;
    breath: it is told how far tissue is expanded; told: numbers more that it is told of a visit.
    It computes in `dtype`, float32 or bfloat16, with a voxel's channels side by side, which is twice as fast.
    """

    def __init__(self, hidden: int, maps: int, factor: int, breath: bool, told: int):
        super().__init__()
        self.dtype = torch.float32
        self.breath = breath
        levels = factor.bit_length() - 1
        widths = [WIDTHS[min(level, len(WIDTHS) - 1)] for level in range(levels + 1)]
        self.start = Conv3d(IMAGE_FEATURES + BREATH_IMAGE * breath, widths[0])
        self.whole = nn.Linear(WHOLE_FEATURES + BREATH_WHOLE * breath, widths[0], bias=False)  # same at every voxel
        self.down = nn.ModuleList(Conv3d(a, b) for a, b in pairwise(widths))
        self.bottom = Conv3d(widths[-1] + hidden, widths[-1])
        self.deeper = Conv3d(widths[-1], widths[-1])
        rising = list(pairwise(widths[::-1]))
        self.narrow = nn.ModuleList(Conv3d(a, b, kernel=1) for a, b in rising)  # before the costly resolution
        self.up = nn.ModuleList(Conv3d(b, b) for _, b in rising)
        self.maps = maps
        self.last = Conv3d(widths[0], maps + SMOOTHED + 1)  # maps, and shares of the noise
        with torch.no_grad():
            self.last.weight[maps:] = 0
            self.last.bias[maps:] = 0
        self.variance = Conv3d(widths[0], 2, kernel=1)
        self.signals = Conv3d(hidden, maps, kernel=1, bias=False)  # a bias would cancel in every difference
        self.told: Any = nn.Linear(told, widths[0], bias=False) if told else None

    def forward(self, given: ObservedVisits, anchor: int, state: torch.Tensor, told: torch.Tensor) -> ImageMaps:
        """What is drawn of the visit `anchor` of n merged visits, whose state is (1, hidden, d, h, w), and of which t
        numbers more are told (n, t)."""
        smooth = smoothed(given, anchor)
        features, state = (
            part.to(self.dtype, memory_format=torch.channels_last_3d)
            for part in (image_features(given, anchor, smooth, self.breath), state)
        )
        whole = self.whole(whole_features(given, anchor, self.breath))
        if self.told is not None:
            whole = whole + self.told(told[anchor : anchor + 1])
        levels = [F.silu(self.start(features) + whole.to(self.dtype)[..., None, None, None])]
        for layer in self.down:
            levels.append(F.silu(layer(_scaled(levels[-1], 0.5))))
        x = F.silu(self.bottom(torch.cat([levels.pop(), state], 1)))
        x = F.silu(self.deeper(x))
        for narrow, layer in zip(self.narrow, self.up, strict=True):
            x = F.silu(layer(_scaled(narrow(x), 2) + levels.pop()))
        variance = F.softplus(self.variance(x.detach()).float())  # learns beside the rest and does not pull at it
        maps, free, shares = self.last(x)[0].float().split((self.maps, 1, SMOOTHED))
        noise = (shares * (smooth - given.scans[anchor])).sum(0) + STEP * free[0]
        return ImageMaps(STEP * maps, noise, STEP**2 * variance[0])

    def change(self, maps: torch.Tensor, states: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Equation (1)'s change (q, D, H, W): maps (maps, D, H, W), states (q, hidden, ...) asked for, state of X_i."""
        signals = self.signals(states - state)
        signals = F.interpolate(signals, size=maps.shape[1:], mode="trilinear", align_corners=False)
        return (maps * signals).sum(1)


def dtype_for(device: torch.device | str, precision: str = "auto") -> torch.dtype:
    """What to compute in, of a precision fp32, bf16 or auto: bf16 where the device is faster with it."""
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[choose_precision(precision, torch.device(device))]


def _scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    """By trilinear interpolation; half the size is the mean of every 2^3 voxels."""
    return F.interpolate(x, scale_factor=factor, mode="trilinear", align_corners=False)
