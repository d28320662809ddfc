"""Layers of which a training step of the 3D-VQ-GAN mostly consists, written to touch memory as little as possible.

They do what `F.pad(mode="replicate")`, `F.silu(F.group_norm(x))` and `F.silu(F.layer_norm(x))` do. Volumes lie in
memory voxel by voxel (`torch.channels_last_3d`), as convolutions of low precision want them; there torch's own
gradients of the first two cost several times what a convolution does, and all keep a tensor more.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

CHUNK = 1024  # voxels in one product of `_products`: its rounding averages out over the chunks
AXES = (2, 3, 4)


def lay_out(module: nn.Module) -> None:
    """Lay the weights of 3D convolutions out in memory as the volumes are."""
    for parameter in module.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


def replicate(x: torch.Tensor, width: int) -> torch.Tensor:
    """x (B, C, D, H, W) with its border repeated `width` times on every side."""
    return _Replicate.apply(x, width) if width else x


class _Replicate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, width: int) -> torch.Tensor:
        ctx.width = width
        shape = [*x.shape[:2], *(size + 2 * width for size in x.shape[2:])]
        wide = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d)
        inner = wide[:, :, width:-width, width:-width, width:-width]
        inner.copy_(x)
        for axis in AXES:
            part = wide  # whole along the axes that are filled already, inner along those that are not
            for later in AXES[axis - 1 :]:
                part = part.narrow(later, width, x.shape[later])
            size = x.shape[axis]
            part.narrow(axis, 0, width).copy_(part.narrow(axis, width, 1))
            part.narrow(axis, width + size, width).copy_(part.narrow(axis, width + size - 1, 1))
        return wide

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _folded(gradient, AXES, ctx.width), None


def _folded(gradient: torch.Tensor, axes: tuple[int, ...], width: int) -> torch.Tensor:
    """The inside of `gradient`, to whose faces along `axes` what lies beyond them is added."""
    if not axes:
        return gradient.clone(memory_format=torch.channels_last_3d)
    axis, others = axes[0], axes[1:]
    size = gradient.shape[axis] - 2 * width
    inner = _folded(gradient.narrow(axis, width, size), others, width)
    for beyond, face in ((0, 0), (width + size, size - 1)):
        shell = gradient.narrow(axis, beyond, width).sum(axis, keepdim=True)
        inner.narrow(axis, face, 1).add_(_folded(shell, others, width))
    return inner


class NormSiLU(nn.GroupNorm):
    """SiLU(GroupNorm(x)) of x (B, C, D, H, W), which keeps nothing but x for its gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _NormSiLU.apply(x, self.weight, self.bias, self.num_groups, self.eps)


class _NormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, groups: int, eps: float):
        batch, channels, *size = x.shape
        voxels = size[0] * size[1] * size[2]
        affine = _affine_for(x, weight, bias)
        normed, mean, rstd = torch.native_group_norm(x, *affine, batch, channels, voxels, groups, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return F.silu(normed, inplace=True)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        """With x^ = (x - mean) rstd and g the gradient of the normed: rstd (w g - mean(w g) - x^ mean(w g x^))."""
        x, weight, bias, mean, rstd = ctx.saved_tensors
        groups, per_group = mean.shape[1], x.shape[1] // mean.shape[1]
        mean, rstd = (value.repeat_interleave(per_group, 1) for value in (mean, rstd))  # (B, C)
        rows, wanted = _rows(x), _rows(gradient)
        scale = weight * rstd
        g = torch.ops.aten.silu_backward(wanted, _affine(rows, scale, bias - mean * scale))
        of_g = _products(g, torch.ones_like(g[:, :, :1]))[..., 0]
        of_gx = (_products(g, rows).diagonal(dim1=1, dim2=2) - mean * of_g) * rstd

        def over_group(values: torch.Tensor) -> torch.Tensor:
            means = (weight * values).reshape(len(x), groups, per_group).mean(2) / rows.shape[1]
            return means.repeat_interleave(per_group, 1)

        slope = -rstd.square() * over_group(of_gx)
        result = _affine(rows, slope, -rstd * over_group(of_g) - slope * mean)
        result.addcmul_(g, scale.to(g.dtype).unsqueeze(1))
        back = result.reshape(len(x), *x.shape[2:], x.shape[1]).movedim(-1, 1)
        return back, of_gx.sum(0), of_g.sum(0), None, None


class VoxelNormSiLU(nn.Module):
    """SiLU(LayerNorm(x)) over the channels of each voxel of x (B, C, D, H, W), which keeps nothing but x.

    Unlike a group norm's, its statistics are of the voxel alone. So what is added to a whole scan is not taken away
    again, and a latent position knows nothing of what lies beyond the reach of the convolutions.
    """

    def __init__(self, channels: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _VoxelNormSiLU.apply(x, self.weight, self.bias, self.eps)


class _VoxelNormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
        ctx.eps, affine = eps, _affine_for(x, weight, bias)
        normed = torch.native_layer_norm(x.movedim(1, -1), weight.shape, *affine, eps)[0]
        ctx.save_for_backward(x, weight, bias)
        return F.silu(normed, inplace=True).movedim(-1, 1)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight, bias = ctx.saved_tensors
        voxels, affine = x.movedim(1, -1), _affine_for(x, weight, bias)
        normed, mean, rstd = torch.native_layer_norm(voxels, weight.shape, *affine, ctx.eps)
        plain = torch.native_layer_norm(voxels, weight.shape, None, None, ctx.eps)[0]
        wanted = torch.ops.aten.silu_backward(gradient.movedim(1, -1), normed).contiguous()
        back = torch.ops.aten.native_layer_norm_backward(
            wanted, voxels, weight.shape, mean, rstd, *affine, [True, False, False]
        )[0]
        wanted, plain = (rows.reshape(len(x), -1, len(weight)) for rows in (wanted, plain))
        of_bias = _products(wanted, torch.ones_like(wanted[:, :, :1]))[..., 0].sum(0)
        of_weight = _products(wanted, plain).diagonal(dim1=1, dim2=2).sum(0)
        return back.movedim(-1, 1), of_weight, of_bias, None


def _affine_for(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias as torch's norms want them beside x: a CPU takes float32 ones beside bf16 and then gives float32
    statistics; a GPU always does the latter and wants them in x's own type."""
    return (weight, bias) if x.device.type == "cpu" else (weight.to(x.dtype), bias.to(x.dtype))


def _rows(x: torch.Tensor) -> torch.Tensor:
    """(B, voxels, C) of (B, C, D, H, W), without a copy where it lies in memory voxel by voxel."""
    return x.movedim(1, -1).reshape(x.shape[0], -1, x.shape[1])


def _affine(rows: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """rows (B, voxels, C) times scale plus shift, both (B, C)."""
    return torch.addcmul(shift.to(rows.dtype).unsqueeze(1), rows, scale.to(rows.dtype).unsqueeze(1))


def _products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Sums over the voxels of a_i b_j, (B, I, J) in at least float32, of a (B, voxels, I) and b (B, voxels, J)."""
    batch, voxels, _ = a.shape
    total: Any = 0
    for start, stop, length in ((0, voxels - voxels % CHUNK, CHUNK), (voxels - voxels % CHUNK, voxels, voxels % CHUNK)):
        if stop > start:
            left, right = (t[:, start:stop].reshape(-1, length, t.shape[2]) for t in (a, b))
            product = torch.bmm(left.transpose(1, 2), right).reshape(batch, -1, a.shape[2], b.shape[2])
            total = total + product.to(torch.promote_types(product.dtype, torch.float32)).sum(1)
    return total
