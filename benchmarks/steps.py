"""A training micro-step of each implementation that vqgan.py compares, ready to be called."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.networks.nets import VQVAE
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from lung4d.pipeline.door.configuration import load_yaml
from lung4d.training.device import has_bf16
from lung4d.vqgan.discriminators import Discriminators
from lung4d.vqgan.memory import Plan
from lung4d.vqgan.model import VQGAN, VQGANSettings
from lung4d.vqgan.options import VQGANTraining
from lung4d.vqgan.perceptual import load_perceptual
from lung4d.vqgan.quantiser import Quantised
from lung4d.vqgan.step import micro_step
from plain_vqgan import Parts, PlainVQGAN, plain_step


class MonaiVQVAE(nn.Module):
    """MONAI's VQVAE behind the interface of our generator, so that our micro-step can train it.

    32 and 64 channels at a half and a quarter of the resolution and two residual units a level, as our decoder has.
    """

    def __init__(self, settings: VQGANSettings):
        super().__init__()
        self.settings = settings
        channels = (2 * settings.width, 4 * settings.width)
        self.network = VQVAE(
            spatial_dims=3, in_channels=1, out_channels=1, channels=channels, num_res_channels=channels,
            num_res_layers=2, downsample_parameters=((2, 4, 1, 1),) * 2, upsample_parameters=((2, 4, 1, 1, 0),) * 2,
            num_embeddings=settings.codes, embedding_dim=settings.embedding, commitment_cost=1.0, decay=settings.decay,
        )  # fmt: skip

    def forward(self, volume: torch.Tensor) -> tuple[torch.Tensor, Quantised]:
        reconstruction, commitment = self.network(volume)
        quantiser = self.network.quantizer
        return reconstruction, Quantised(None, None, commitment, commitment.new_zeros(()), quantiser.perplexity)


@dataclass(frozen=True)
class Method:
    """precision: "bf16" stands for what the configuration's "auto" makes of the device."""

    generator: type[nn.Module]
    micro_step: Callable[[Parts, torch.Tensor, bool], object]
    precision: str = "bf16"
    checkpointing: bool = False

    def plan(self, device: torch.device) -> Plan:
        return Plan(self.precision if has_bf16(device) else "fp32", self.checkpointing)


METHODS = {
    "ours": Method(VQGAN, micro_step),
    "ours, activations computed twice": Method(VQGAN, micro_step, checkpointing=True),
    "ours, float32": Method(VQGAN, micro_step, "fp32"),
    "ours, float32, activations computed twice": Method(VQGAN, micro_step, "fp32", checkpointing=True),
    "plain": Method(PlainVQGAN, plain_step, "fp32"),
    "MONAI": Method(MonaiVQVAE, micro_step),
}


class ShapesOnly(TorchDispatchMode):
    """Lets a micro-step run on tensors without data: the two questions that ours asks of the data are answered."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.bincount.default:
            return args[0].new_empty(args[2])
        if func is torch.ops.aten._local_scalar_dense.default:
            return True  # the codebook is initialised
        return func(*args, **(kwargs or {}))


def build(
    method: str, device: torch.device, settings: VQGANSettings | None = None, options: VQGANTraining | None = None
) -> Parts:
    """Networks of `method`, those of config/config.yaml unless told otherwise, ready to train."""
    section = load_yaml(Path(__file__).resolve().parents[1] / "config/config.yaml")["train_vqgan"]
    settings, options = settings or VQGANSettings.of(section), options or VQGANTraining.of(section)
    plan = METHODS[method].plan(device)
    model = METHODS[method].generator(settings).train()
    if plan.checkpointing:
        model.recompute(True)
    parts = Parts(
        model=model,
        discriminators=Discriminators(options.discriminator_channels, options.discriminator_norm),
        perceptual=load_perceptual(options.perceptual),
        options=options,
        device=device,
        plan=plan,
    )
    return parts if device.type == "cpu" else parts.to(device)


def step(method: str, parts: Parts, volume: torch.Tensor, adversarial: bool) -> dict[str, torch.Tensor]:
    """One micro-step of `method` on a batch (B, 1, D, H, W)."""
    return METHODS[method].micro_step(parts, volume, adversarial)


def count_flops(method: str, shape: tuple[int, ...], adversarial: bool, **made: VQGANSettings | VQGANTraining) -> int:
    """Floating point operations of a micro-step (matrix products and convolutions), counted without computing them."""
    with FakeTensorMode(), ShapesOnly(), FlopCounterMode(display=False) as counter:
        step(method, build(method, torch.device("cpu"), **made), torch.empty(1, 1, *shape), adversarial)
    return counter.get_total_flops()
