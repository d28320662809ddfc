"""A 3D convolution that stays fast for one small latent on the CPU."""

import torch
from torch import nn
from torch.nn import functional as F

SMALL = 20480  # torch hands a batch of one with no more than this many channels x depth x height to its slow kernel


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` of odd kernel, stride 1, zero padding that keeps the size; the same weights, the same result.

    For a batch of one small volume torch's CPU build takes a kernel that is 3 to 5 times slower than for a batch of
    two. So such a volume is computed as two slabs that overlap by the kernel's reach.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, bias: bool = True):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, inputs, d, h, w) to (B, outputs, d, h, w)."""
        batch, channels, depth, height, _ = x.shape
        if x.device.type != "cpu" or batch > 1 or depth < 2 or channels * depth * height > SMALL:
            return super().forward(x)
        reach = self.kernel_size[0] // 2
        half = -(-depth // 2)
        padded = F.pad(x, (0, 0, 0, 0, reach, reach + depth % 2))
        slabs = torch.cat([padded[:, :, : half + 2 * reach], padded[:, :, half:]])
        top, bottom = F.conv3d(slabs, self.weight, self.bias, padding=(0, reach, reach))
        return torch.cat([top, bottom], 1)[None, :, :depth]
