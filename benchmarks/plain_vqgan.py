"""The 3D-VQ-GAN as its ancestors write it (TATS and what was made of it), in float32: the yardstick of vqgan.py.

Same layers, widths and number of parameters as `lung4d.vqgan`, the same discriminators, perceptual network and losses;
what differs is how a training step is done:

- the border is replicated by a copy of its own before every convolution, and SiLU is x * sigmoid(x), in two operations;
- the quantiser holds all N x K distances and an N x K one-hot matrix, and moves the codebook in every forward pass;
- the generator runs twice a step, in its own turn and again in the discriminators';
- both discriminators are computed, forward and backward, before the GAN terms start: their loss is multiplied by 0.

As with the ancestors' trainer, the weights whose turn it is not take no gradient.
"""

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from lung4d.vqgan.discriminators import Discriminators, draw_positions, take_slices
from lung4d.vqgan.losses import discriminator_loss, generator_loss, reconstruction_loss
from lung4d.vqgan.memory import Plan
from lung4d.vqgan.model import VQGANSettings
from lung4d.vqgan.networks import levels, norm_groups
from lung4d.vqgan.options import VQGANTraining
from lung4d.vqgan.perceptual import Perceptual


@dataclass
class Parts:
    """What a micro-step works with, whoever's generator it is."""

    model: nn.Module
    discriminators: Discriminators
    perceptual: Perceptual
    options: VQGANTraining
    device: torch.device
    plan: Plan

    def to(self, device: torch.device) -> "Parts":
        networks = (part.to(device) for part in (self.model, self.discriminators, self.perceptual))
        return replace(
            self, **dict(zip(("model", "discriminators", "perceptual"), networks, strict=True)), device=device
        )


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(norm_groups(channels), channels, eps=1e-6)


class SiLU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)


class PaddedConv(nn.Module):
    """A convolution of kernel 1 or 3 (stride 1) or 4 (stride 2) on a copy with a replicated border."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.padding = ((kernel - 1) // 2,) * 6
        self.conv = nn.Conv3d(in_channels, out_channels, kernel, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, self.padding, mode="replicate"))


class PaddedUpConv(nn.Module):
    """A transposed convolution of kernel 4 and stride 2 on a copy with a replicated border."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.ConvTranspose3d(in_channels, out_channels, kernel_size=4, stride=2, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (1,) * 6, mode="replicate"))


class ResidualBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.first_norm, self.second_norm = group_norm(channels), group_norm(channels)
        self.first_conv, self.second_conv = PaddedConv(channels, channels), PaddedConv(channels, channels)
        self.silu = SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first_conv(self.silu(self.first_norm(x)))
        return x + self.second_conv(self.silu(self.second_norm(h)))


class Codebook(nn.Module):
    """A codebook of `codes` vectors of length `embedding` that every forward pass in training mode moves."""

    def __init__(self, codes: int, embedding: int, decay: float):
        super().__init__()
        self.decay = decay
        self.register_buffer("embeddings", torch.randn(codes, embedding))
        self.register_buffer("count", torch.zeros(codes))
        self.register_buffer("total", self.embeddings.clone())

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Nearest codes' vectors of z (B, c, d, h, w), straight-through, and the commitment loss."""
        flat = z.movedim(1, -1).reshape(-1, z.shape[1])
        distances = (
            (flat**2).sum(1, keepdim=True) - 2 * flat @ self.embeddings.T + (self.embeddings.T**2).sum(0, keepdim=True)
        )
        codes = distances.argmin(1)
        one_hot = F.one_hot(codes, len(self.embeddings)).type_as(flat)
        nearest = F.embedding(codes.reshape(z.shape[0], *z.shape[2:]), self.embeddings).movedim(-1, 1)
        commitment = F.mse_loss(z, nearest.detach())
        if self.training:
            self._move(flat.detach(), one_hot)
        return (nearest - z).detach() + z, commitment

    @torch.no_grad()
    def _move(self, flat: torch.Tensor, one_hot: torch.Tensor) -> None:
        self.count.mul_(self.decay).add_(one_hot.sum(0), alpha=1 - self.decay)
        self.total.mul_(self.decay).add_(one_hot.T @ flat, alpha=1 - self.decay)
        everything = self.count.sum()
        smoothed = (self.count + 1e-7) / (everything + len(self.count) * 1e-7) * everything
        moved = self.total / smoothed.unsqueeze(1)
        drawn = flat[torch.randperm(len(flat), device=flat.device)]
        drawn = drawn.repeat(-(-len(self.count) // len(drawn)), 1)[: len(self.count)]
        used = (self.count.unsqueeze(1) >= 1).float()
        self.embeddings.copy_(moved * used + drawn * (1 - used))


class PlainVQGAN(nn.Module):
    """Volumes (B, 1, D, H, W) to their reconstructions and the commitment loss."""

    def __init__(self, settings: VQGANSettings):
        super().__init__()
        doublings = levels(settings.compression)
        channels = settings.width
        encoder: list[nn.Module] = [PaddedConv(1, channels)]
        for _ in range(doublings):
            encoder += [PaddedConv(channels, 2 * channels, kernel=4, stride=2), ResidualBlock(2 * channels)]
            channels *= 2
        encoder += [group_norm(channels), SiLU(), PaddedConv(channels, settings.embedding, kernel=1)]
        decoder: list[nn.Module] = [PaddedConv(settings.embedding, channels, kernel=1), group_norm(channels), SiLU()]
        for level in range(doublings):
            after = channels if level == 0 else channels // 2
            decoder += [PaddedUpConv(channels, after), ResidualBlock(after), ResidualBlock(after)]
            channels = after
        decoder += [PaddedConv(channels, 1)]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
        self.codebook = Codebook(settings.codes, settings.embedding, settings.decay)

    def forward(self, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings, commitment = self.codebook(self.encoder(volume))
        return self.decoder(embeddings), commitment


def plain_step(parts: Parts, volume: torch.Tensor, adversarial: bool) -> dict[str, torch.Tensor]:
    """Forward and backward of a batch (B, 1, D, H, W), of the generator and then of the discriminators."""
    factor = float(adversarial)
    return {
        "generator": generator_turn(parts, volume, factor),
        "discriminators": discriminators_turn(parts, volume, factor),
    }


def generator_turn(parts: Parts, volume: torch.Tensor, factor: float) -> torch.Tensor:
    options = parts.options
    parts.discriminators.requires_grad_(False)
    reconstruction, commitment = parts.model(volume)
    positions = draw_positions(volume.shape, options.planes, options.slices)
    slices = take_slices(reconstruction, positions)
    fake = parts.discriminators(reconstruction, slices)
    loss = (
        options.reconstruction_weight * reconstruction_loss(reconstruction, volume)
        + options.commitment * commitment
        + options.perceptual_weight * parts.perceptual(slices, take_slices(volume, positions))
        + factor * options.gan_weight * generator_loss(options.gan_loss, fake)
    )
    (loss / options.accumulation).backward()
    parts.discriminators.requires_grad_(True)
    return loss.detach()


def discriminators_turn(parts: Parts, volume: torch.Tensor, factor: float) -> torch.Tensor:
    options = parts.options
    parts.model.requires_grad_(False)
    reconstruction = parts.model(volume)[0].detach()
    positions = draw_positions(volume.shape, options.planes, options.slices)
    real = parts.discriminators(volume, take_slices(volume, positions))
    fake = parts.discriminators(reconstruction, take_slices(reconstruction, positions))
    loss = factor * discriminator_loss(options.gan_loss, real, fake)
    (loss / options.accumulation).backward()
    parts.model.requires_grad_(True)
    return loss.detach()
