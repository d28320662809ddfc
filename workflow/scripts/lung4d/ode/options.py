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

    seed: int = 1
    members: int = 3
    lr: float = 2e-4
    lr_decay: float = 0.5
    betas: tuple[float, float] = (0.9, 0.99)
    gradient_clip: float | None = 1.0
    epochs: int = 100
    accumulation: int = 1
    crop: tuple[int, int, int] | None = None
    given: str = "random"
    hide_visits: float = 0.0
    latent_weight: float = 0.2
    image_weight: float = 1.0
    low_pass_weight: float = 0.5
    precision: str = "auto"
    select: str = "held_out"
    save_every: int = 250
    validate_every: int = 500
    tensorboard: bool = False

    def steps(self, patients: int) -> int:
        """Optimiser steps of a member that trains on so many patients."""
        return -(-self.epochs * patients // self.accumulation)

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of step `step` of `steps`, counted from 0."""
        return falling_lr(self.lr, self.lr_decay, step, steps)
