"""How the latent ODE is trained: the part of the configuration that does not shape the model."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lung4d.gradients import falling_lr


@dataclass(frozen=True)
class Options:
    """The keys of the config section `train_ode` of the same names.

    Raises ValueError, naming the key, for values that cannot be meant.
    """

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
    validate_every: int = 250
    tensorboard: bool = False

    def __post_init__(self):
        choices = {
            "given": ("random", "all"),
            "precision": ("auto", "bf16", "fp32"),
            "select": ("held_out", "training_loss"),
        }
        for key, allowed in choices.items():
            if getattr(self, key) not in allowed:
                raise ValueError(f"train_ode.{key} is '{getattr(self, key)}'; give one of {', '.join(allowed)}")
        for key in ("members", "epochs", "accumulation", "save_every", "validate_every"):
            if getattr(self, key) < 1:
                raise ValueError(f"train_ode.{key} is {getattr(self, key)}; give 1 or more")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Options":
        """The options among `values`, which may hold other keys too; lists become tuples."""
        own = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in own.items()})

    def steps(self, patients: int) -> int:
        """Optimiser steps of a member that trains on so many patients."""
        return -(-self.epochs * patients // self.accumulation)

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of step `step` of `steps`, counted from 0."""
        return falling_lr(self.lr, self.lr_decay, step, steps)
