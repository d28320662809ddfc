"""The terms of 4D-VQ-GAN's equations 2 to 5, each on its own."""

import torch
from torch.nn import functional as F

Features = list[list[torch.Tensor]]  # per discriminator batch, every layer's output, the patch scores last


def reconstruction_loss(reconstruction: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
    """Mean |x^ - x|, the first term of equation 2, in units of the HU window."""
    return F.l1_loss(reconstruction.float(), volume.float())


def generator_loss(kind: str, fake: Features) -> torch.Tensor:
    """What the generator pays for scores of its reconstructions, summed over D_2d and D_3d.

    "hinge": -mean D. "log": -mean log sigmoid(D), the non-saturating form of equation 3.
    """
    of_batch = {"hinge": lambda score: -score.mean(), "log": lambda score: F.softplus(-score).mean()}[kind]
    return _over_discriminators(fake, lambda features: of_batch(features[-1].float()))


def discriminator_loss(kind: str, real: Features, fake: Features) -> torch.Tensor:
    """What the discriminators pay, summed over D_2d and D_3d.

    "hinge": mean relu(1 - D(x)) + mean relu(1 + D(x^)). "log": -mean log D(x) - mean log(1 - D(x^)), equation 3.
    """
    margin = {"hinge": lambda score: F.relu(1 - score), "log": lambda score: F.softplus(-score)}[kind]
    on_real = _over_discriminators(real, lambda features: margin(features[-1].float()).mean())
    on_fake = _over_discriminators(fake, lambda features: margin(-features[-1].float()).mean())
    return on_real + on_fake


def feature_matching_loss(real: Features, fake: Features) -> torch.Tensor:
    """Mean |D_l(x^) - D_l(x)| over the discriminators' inner layers l, summed over D_2d and D_3d."""
    pairs = [list(zip(a[:-1], b[:-1], strict=True)) for a, b in zip(real, fake, strict=True)]
    return _over_discriminators(pairs, lambda p: sum(F.l1_loss(b.float(), a.float().detach()) for a, b in p) / len(p))


def _over_discriminators(batches: list, loss) -> torch.Tensor:
    """The 3D batch counts once, the batches of the 2D planes share one vote."""
    of_volume, *of_planes = [loss(batch) for batch in batches]
    return of_volume + sum(of_planes) / len(of_planes)
