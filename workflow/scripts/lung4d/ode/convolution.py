"""A 3D convolution that stays fast for one small latent on the CPU."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

SMALL = 20480  # torch hands one float32 volume of no more than this many channels x depth x height to its slow kernel


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` of odd kernel, stride 1, zero padding that keeps the size; the same weights, the same result.

    For a batch of one small float32 volume torch's CPU build takes a kernel that is 3 to 5 times slower than for a
    batch of two. So such a volume is computed as two slabs that overlap by the kernel's reach. The weights are float32;
    a volume of another type is convolved with their values in its own type.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, bias: bool = True):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.bias: torch.Tensor | Any

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, inputs, d, h, w) to (B, outputs, d, h, w), in the type and memory format of x."""
        weight, bias = self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        if x.device.type != "cpu":
            return self._conv_forward(x, weight, bias)
        last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last_3d)
        layout = torch.channels_last_3d if last else torch.contiguous_format
        if not self._is_slow(x):  # torch keeps the format of bfloat16 on some processors only
            return self._conv_forward(x, weight, bias).contiguous(memory_format=layout)
        depth, reach = x.shape[2], self.kernel_size[0] // 2
        half = -(-depth // 2)
        padded = F.pad(x, (0, 0, 0, 0, reach, reach + depth % 2))
        slabs = torch.cat([padded[:, :, : half + 2 * reach], padded[:, :, half:]])
        top, bottom = F.conv3d(slabs, weight, bias, padding=(0, reach, reach))
        return torch.cat([top, bottom], 1)[None, :, :depth].contiguous(memory_format=layout)

    @staticmethod
    def _is_slow(x: torch.Tensor) -> bool:
        batch, channels, depth, height, _ = x.shape
        return x.dtype == torch.float32 and batch == 1 and depth > 1 and channels * depth * height <= SMALL
