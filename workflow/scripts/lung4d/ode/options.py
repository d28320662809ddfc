"""How the latent ODE is trained: the part of the configuration that does not shape the model."""

from dataclasses import dataclass
from typing import ClassVar

from lung4d.training.gradients import falling_lr
from lung4d.training.settings import SettingsSection


@dataclass(frozen=True)
class ODETraining(SettingsSection):
    """The keys of the config section `train_ode` of the same names."""

    SECTION: ClassVar[str] = "train_ode"
    CHOICES: ClassVar = {
        "given": ("random", "all"),
        "precision": ("auto", "bf16", "fp32"),
        "select": ("held_out", "training_loss"),
    }
    COUNTS: ClassVar = ("members", "epochs", "accumulation", "save_every", "validate_every")

    seed: int
    members: int
    lr: float
    lr_decay: float
    betas: tuple[float, float]
    gradient_clip: float | None
    epochs: int
    accumulation: int
    crop: tuple[int, int, int] | None
    given: str
    hide_visits: float
    latent_weight: float
    image_weight: float
    low_pass_weight: float
    precision: str
    select: str
    save_every: int
    validate_every: int
    tensorboard: bool

    def steps(self, patients: int) -> int:
        """Optimiser steps of a member that trains on so many patients."""
        return -(-self.epochs * patients // self.accumulation)

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of step `step` of `steps`, counted from 0."""
        return falling_lr(self.lr, self.lr_decay, step, steps)
