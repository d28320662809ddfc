"""What each code looks like: a latent filled with that one code, decoded (4D-VQ-GAN, appendix D.5, Fig. 9).

With norms over the whole volume this shows nothing: a group norm takes away whatever is the same everywhere, and all
codes decode to one grey. There the decoder's norms keep the statistics of a real scan while they decode a filled
latent, so that the code looks as it would in a large even region of that scan [O]. Norms over a voxel's channels have
no such statistics, and the latent is simply decoded.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lung4d.io.volumes import from_unit
from lung4d.vqgan.layers import NormSiLU
from lung4d.vqgan.model import VQGAN

FILLED = 7  # latent positions along the side of a filled latent: its faces reach as far as the middle, faintly
AT_ONCE = 8  # codes decoded in one pass

Statistics = dict[nn.Module, tuple[torch.Tensor, torch.Tensor]]


@torch.no_grad()
def decode_codes(model: VQGAN, codes: np.ndarray, context: np.ndarray) -> np.ndarray:
    """What each of the codes (n,) decodes to, float32 HU (n, r, r, r): one block of a pattern that repeats itself.

    `context` float32 (c, d, h, w) is the quantised latent of the scan whose statistics the norms keep. The block is
    the middle one of a latent of `FILLED`^3 positions; beyond 9 nothing changes, from 7 to 9 less than 1 HU in
    a trained network.
    """
    r, device = model.settings.compression, next(model.parameters()).device
    middle = slice(FILLED // 2 * r, (FILLED // 2 + 1) * r)
    blocks = []
    with frozen_norms(norm_statistics(model, torch.as_tensor(context, device=device)[None])):
        for some in torch.as_tensor(codes, device=device).split(AT_ONCE):
            filled = some[:, None, None, None].expand(-1, FILLED, FILLED, FILLED)
            volumes = model.decode(model.embed(filled))[:, 0, middle, middle, middle]
            blocks.append(from_unit(volumes.float().cpu().numpy(), model.settings.window))
    return np.concatenate(blocks)


@torch.no_grad()
def norm_statistics(model: VQGAN, z: torch.Tensor) -> Statistics:
    """Mean and inverse spread of every group, (1, groups) each, that the decoder's norms find when they decode z."""
    found: Statistics = {}

    def note(norm: NormSiLU, inputs: tuple[torch.Tensor]) -> None:
        grouped = inputs[0].float().reshape(1, norm.num_groups, -1)
        variance, mean = torch.var_mean(grouped, dim=2, correction=0)
        found[norm] = mean, torch.rsqrt(variance + norm.eps)

    norms = [module for module in model.decoder.modules() if isinstance(module, NormSiLU)]
    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    model.decode(z)
    for hook in hooks:
        hook.remove()
    return found


@contextmanager
def frozen_norms(statistics: Statistics) -> Iterator[None]:
    """While the block runs, the norms use these statistics and not those of what they are given."""

    def replaced(norm: NormSiLU, inputs: tuple[torch.Tensor], _output: torch.Tensor) -> torch.Tensor:
        mean, rstd = (value.repeat_interleave(norm.num_channels // norm.num_groups) for value in statistics[norm])
        scale = norm.weight * rstd
        shift = norm.bias - mean * scale
        return F.silu(inputs[0] * scale[:, None, None, None] + shift[:, None, None, None])

    hooks = [norm.register_forward_hook(replaced) for norm in statistics]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
