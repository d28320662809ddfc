"""The 3D-VQ-GAN's generator: encoder, codebook and decoder, and how it is stored."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from lung4d.io.atomic import reading
from lung4d.training.checkpoints import save_whole
from lung4d.training.settings import SettingsSection
from lung4d.vqgan.layers import lay_out
from lung4d.vqgan.networks import Decoder, Encoder, ResidualBlock
from lung4d.vqgan.quantiser import Quantised, Quantiser


@dataclass(frozen=True)
class VQGANSettings(SettingsSection):
    """What the generator is made of; the rest of the configuration only says how it is trained.

    window: HU mapped to [-0.5, 0.5]. compression: 4 or 8 per axis. width: channels of the first layer.
    norm: over the channels of each voxel, or over groups of channels of the whole volume, as in TATS. restart_after:
    optimiser steps without use after which a code is drawn anew.
    """

    SECTION: ClassVar[str] = "train_vqgan"
    CHOICES: ClassVar = {"norm": ("voxel", "group")}

    window: tuple[float, float]
    codes: int
    embedding: int
    compression: int
    width: int
    norm: str
    quantiser: str
    decay: float
    restart_after: int


# What settings in model files lack that were written before there was a choice, and what those models are.
FILLED_IN = {"norm": "group"}


class VQGAN(nn.Module):
    """Volumes (B, 1, D, H, W) in [-0.5, 0.5] to latents (B, c, D/r, H/r, W/r) and back; D, H, W multiples of r."""

    def __init__(self, settings: VQGANSettings):
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings.width, settings.compression, settings.embedding, settings.norm)
        self.quantiser = Quantiser(
            settings.codes, settings.embedding, settings.quantiser, settings.decay, settings.restart_after
        )
        self.decoder = Decoder(settings.width, settings.compression, settings.embedding, settings.norm)
        lay_out(self)

    def recompute(self, activations: bool) -> None:
        """Whether the residual blocks make their activations again for the gradient instead of keeping them."""
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.recompute = activations

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Continuous latent (B, c, d, h, w) of volumes x (B, 1, D, H, W). Raises ValueError for an odd size."""
        if any(size % self.settings.compression for size in x.shape[2:]):
            raise ValueError(f"volume of {tuple(x.shape[2:])} voxels: give multiples of {self.settings.compression}")
        return self.encoder(x)

    def quantise(self, z: torch.Tensor) -> Quantised:
        """Nearest codes of a continuous latent z (B, c, d, h, w)."""
        return self.quantiser(z)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Volumes (B, 1, D, H, W) of latents z (B, c, d, h, w); no output activation."""
        return self.decoder(z)

    def embed(self, codes: torch.Tensor) -> torch.Tensor:
        """Codebook vectors (B, c, d, h, w) of codes (B, d, h, w)."""
        return self.quantiser.embed(codes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Quantised]:
        """Reconstruction (B, 1, D, H, W) of x and the quantisation it went through."""
        quantised = self.quantise(self.encode(x))
        return self.decode(quantised.embeddings), quantised


def save_vqgan(model: VQGAN, path: str | Path, **records: Any) -> None:
    """Write settings, weights and `records` (plain values, such as how the weights were selected) to model.pt."""
    content = {
        "settings": asdict(model.settings),
        "state_dict": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        "window": tuple(model.settings.window),
        **records,
    }
    save_whole(content, path)


def load_vqgan(path: str | Path, device: torch.device | str = "cpu") -> VQGAN:
    """The generator stored at `path`, in evaluation mode and frozen."""
    with reading(path):
        content = torch.load(path, map_location="cpu", weights_only=True)
        model = VQGAN(VQGANSettings.of(FILLED_IN | content["settings"]))
        model.load_state_dict(content["state_dict"])
    return model.to(device).eval().requires_grad_(False)


def parameter_hash(module: nn.Module) -> str:
    """SHA-256 of all parameters and buffers of `module` by name: equal before and after means it was not trained."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
