"""How the 3D-VQ-GAN is trained: the part of the configuration that does not shape the network."""

from dataclasses import dataclass
from typing import ClassVar

from lung4d.training.gradients import falling_lr
from lung4d.training.settings import SettingsSection
from lung4d.vqgan.discriminators import PLANES


@dataclass(frozen=True)
class VQGANTraining(SettingsSection):
    """The keys of the config section `train_vqgan` of the same names; steps are optimiser steps of the generator.

    Raises ValueError, naming the key, for values that cannot be meant.
    """

    SECTION: ClassVar[str] = "train_vqgan"
    CHOICES: ClassVar = {
        "gan_loss": ("hinge", "log"),
        "perceptual": ("vgg", "efficientnet", "none"),
        "discriminator_norm": ("group", "instance"),
        "precision": ("auto", "bf16", "fp32"),
        "checkpointing": ("auto", True, False),
        "select": ("held_out", "training_loss"),
    }
    COUNTS: ClassVar = ("batch", "accumulation", "steps", "save_every", "validate_every", "slices")

    seed: int = 1
    commitment: float = 0.25
    reconstruction_weight: float = 4.0
    perceptual_weight: float = 4.0
    gan_weight: float = 1.0
    gan_loss: str = "hinge"
    feature_matching_weight: float = 0.0
    perceptual: str = "efficientnet"
    perceptual_weights: str | None = None
    perceptual_sha256: str | None = None
    planes: tuple[str, ...] = tuple(PLANES)
    slices: int = 1
    discriminator_channels: int = 64
    discriminator_norm: str = "group"
    lr: float = 3e-4
    lr_decay: float = 0.2
    betas: tuple[float, float] = (0.5, 0.9)
    gradient_clip: float | None = 1.0
    batch: int = 1
    accumulation: int = 6
    steps: int = 20000
    gan_start: int = 10000
    crop: tuple[int, int, int] | None = None
    fine_tune_steps: int = 0
    flips: bool = True
    fits: str | None = None
    precision: str = "auto"
    checkpointing: bool | str = "auto"
    compile: bool = False
    deterministic: bool = False
    select: str = "held_out"
    save_every: int = 250
    validate_every: int = 250
    tensorboard: bool = False

    def __post_init__(self):
        super().__post_init__()
        if not self.planes or set(self.planes) - set(PLANES):
            raise ValueError(f"train_vqgan.planes is {list(self.planes)}; give some of {', '.join(PLANES)}")

    def lr_at(self, step: int) -> float:
        """Learning rate of step `step`, counted from 0: `lr`, in the last `lr_decay` of them falling linearly to 0."""
        return falling_lr(self.lr, self.lr_decay, step, self.steps)

    def adversarial(self, step: int) -> bool:
        """Whether the GAN terms count in step `step`, counted from 0: `gan_start` steps are done without them."""
        return self.gan_weight > 0 and step >= self.gan_start

    def whole_volumes(self, step: int) -> bool:
        """Whether step `step`, counted from 0, sees whole volumes although `crop` is set."""
        return step >= self.steps - self.fine_tune_steps
