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

    seed: int
    commitment: float
    reconstruction_weight: float
    perceptual_weight: float
    gan_weight: float
    gan_loss: str
    feature_matching_weight: float
    perceptual: str
    perceptual_weights: str | None
    perceptual_sha256: str | None
    planes: tuple[str, ...]
    slices: int
    discriminator_channels: int
    discriminator_norm: str
    lr: float
    lr_decay: float
    betas: tuple[float, float]
    gradient_clip: float | None
    batch: int
    accumulation: int
    steps: int
    gan_start: int
    crop: tuple[int, int, int] | None
    fine_tune_steps: int
    flips: bool
    acquisitions: bool
    fits: str | None
    precision: str
    checkpointing: bool | str
    compile: bool
    deterministic: bool
    select: str
    save_every: int
    validate_every: int
    tensorboard: bool

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
