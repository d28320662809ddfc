"""Patch discriminators in 2D (random slices) and 3D (the volume), and the slices they and the perceptual term see.

Layers as in TATS: convolutions of kernel 4 and stride 2 to 64, 128, 256 channels, then of stride 1 to 512 and 1,
LeakyReLU 0.2. Group norm instead of batch norm, because a batch is one volume.
"""

from collections.abc import Sequence

import torch
from monai.networks.nets import PatchDiscriminator
from torch import nn

from lung4d.vqgan.layers import lay_out

PLANES = {"axial": 2, "coronal": 3, "sagittal": 4}  # the axis of (B, 1, D, H, W) that a slice leaves out


def patch_discriminator(dimensions: int, channels: int, norm: str, smallest: int) -> PatchDiscriminator:
    """A discriminator whose output list holds every layer's features and, last, the patch scores.

    `channels` is the width of the first layer (64 in TATS), `norm` is "group" or "instance". Inputs with a side
    of `smallest` voxels that is below 24 get fewer layers, so that something is left to judge.
    """
    kinds = {
        "group": ("GROUP", {"num_groups": min(32, 2 * channels)}),
        "instance": ("INSTANCE", {"affine": True}),
    }
    if norm not in kinds:
        raise ValueError(f"train_vqgan.discriminator_norm is '{norm}'; give 'group' or 'instance'")
    layers = 3 if smallest >= 24 else 2 if smallest >= 12 else 1
    return PatchDiscriminator(dimensions, channels, in_channels=1, num_layers_d=layers, norm=kinds[norm])


class Discriminators(nn.Module):
    """D_2d, which judges slices, and D_3d, which judges the volume they come from."""

    def __init__(self, channels: int, norm: str, smallest: int = 24):
        super().__init__()
        self.of_slices = patch_discriminator(2, channels, norm, smallest)
        self.of_volume = patch_discriminator(3, channels, norm, smallest)
        lay_out(self)

    def forward(self, volume: torch.Tensor, slices: list[torch.Tensor]) -> list[list[torch.Tensor]]:
        """Feature lists (scores last) of volume (B, 1, D, H, W), then of each plane's slices (n, 1, rows, columns)."""
        return [self.of_volume(volume)] + [self.of_slices(batch) for batch in slices]


def draw_positions(shape: torch.Size, planes: Sequence[str], count: int) -> dict[str, torch.Tensor]:
    """`count` random slice positions per plane for volumes of shape (B, 1, D, H, W), from torch's CPU generator."""
    return {plane: torch.randint(shape[PLANES[plane]], (count,)) for plane in planes}


def take_slices(volume: torch.Tensor, positions: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Slices (B * count, 1, rows, columns) of a volume (B, 1, D, H, W), one batch a plane, at given positions."""
    batches = []
    for plane, where in positions.items():
        axis = PLANES[plane]
        chosen = volume.index_select(axis, where.to(volume.device)).movedim(axis, 1)  # B, count, 1, rows, columns
        batches.append(chosen.flatten(0, 1))
    return batches
