"""Encoder and decoder of the 3D-VQ-GAN (4D-VQ-GAN, appendices C.3 and D.2; layer by layer after TATS).

All convolutions replicate the border, so that a constant volume stays constant up to its faces.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lung4d.vqgan.layers import NormSiLU, VoxelNormSiLU, replicate

CHECKPOINT: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}  # nothing in a block is random


def norm_groups(channels: int) -> int:
    """Groups of a GroupNorm: 32; where 32 does not divide the channels, the largest divisor below it."""
    return next(groups for groups in range(min(32, channels), 0, -1) if channels % groups == 0)


def norm_silu(norm: str, channels: int) -> nn.Module:
    """Norm and SiLU in one; norm: "voxel" over a voxel's channels, or "group" over the volume."""
    if norm == "voxel":
        return VoxelNormSiLU(channels, eps=1e-6)
    return NormSiLU(norm_groups(channels), channels, eps=1e-6)


class Conv(nn.Conv3d):
    """A convolution that keeps the size (kernel 1 or 3) or halves it (kernel 4, stride 2); the border is replicated."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1):
        super().__init__(in_channels, out_channels, kernel, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(replicate(x, (self.kernel_size[0] - 1) // 2))


class UpConv(nn.ConvTranspose3d):
    """A transposed convolution, kernel 4 and stride 2, that doubles the size exactly; the border is replicated."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # the size is always doubled
        return super().forward(replicate(x, 1))


class ResidualBlock(nn.Module):
    """x + conv(SiLU(norm(conv(SiLU(norm(x)))))).

    With `recompute`, what the convolutions see is made again for the gradient instead of kept; the convolutions
    themselves are not computed twice, because a checkpoint stops at the last tensor that the gradient asks for.
    """

    recompute = False

    def __init__(self, channels: int, norm: str):
        super().__init__()
        self.first = nn.Sequential(norm_silu(norm, channels), Conv(channels, channels))
        self.second = nn.Sequential(norm_silu(norm, channels), Conv(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.recompute and self.training:
            return x + checkpoint(self.second, checkpoint(self.first, x, **CHECKPOINT), **CHECKPOINT)
        return x + self.second(self.first(x))


class Encoder(nn.Module):
    """Volume (B, 1, D, H, W) to latent (B, c, D/r, H/r, W/r); the width doubles at each of log2(r) halvings."""

    def __init__(self, width: int, compression: int, embedding: int, norm: str):
        super().__init__()
        layers: list[nn.Module] = [Conv(1, width)]
        channels = width
        for _ in range(levels(compression)):
            layers += [Conv(channels, 2 * channels, kernel=4, stride=2), ResidualBlock(2 * channels, norm)]
            channels *= 2
        layers += [norm_silu(norm, channels), Conv(channels, embedding, kernel=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Decoder(nn.Module):
    """Latent (B, c, d, h, w) to volume (B, 1, r d, r h, r w); the first doubling keeps the width, the next halve it."""

    def __init__(self, width: int, compression: int, embedding: int, norm: str):
        super().__init__()
        channels = width * compression
        layers: list[nn.Module] = [Conv(embedding, channels, kernel=1), norm_silu(norm, channels)]
        for level in range(levels(compression)):
            after = channels if level == 0 else channels // 2
            layers += [UpConv(channels, after), ResidualBlock(after, norm), ResidualBlock(after, norm)]
            channels = after
        layers += [Conv(channels, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layers(z)


def levels(compression: int) -> int:
    """Number of halvings for a compression of 2, 4, 8, ... per axis. Raises ValueError for anything else."""
    count = int(math.log2(compression)) if compression > 0 else 0
    if count < 1 or 2**count != compression:
        raise ValueError(f"train_vqgan.compression is {compression}; give a power of two such as 4 or 8")
    return count
