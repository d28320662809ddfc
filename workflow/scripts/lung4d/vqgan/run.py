"""What a training of the 3D-VQ-GAN holds, and how it begins."""

import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from lung4d.training.history import History
from lung4d.training.random_states import capture_random_states, restore_random_states, seed_everything
from lung4d.training.ranks import Ranks
from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.data import check_sizes
from lung4d.vqgan.discriminators import Discriminators
from lung4d.vqgan.memory import Plan, plan_memory
from lung4d.vqgan.model import VQGAN, VQGANSettings
from lung4d.vqgan.options import VQGANTraining
from lung4d.vqgan.perceptual import Perceptual, load_perceptual

logger = logging.getLogger("lung4d")


@dataclass
class TrainingState:
    """Everything a training holds. `step` counts finished optimiser steps of the generator and nothing else."""

    model: VQGAN
    discriminators: Discriminators
    perceptual: Perceptual | None
    optimiser: torch.optim.Optimizer
    discriminators_optimiser: torch.optim.Optimizer
    options: VQGANTraining
    plan: Plan
    device: torch.device
    history: History
    ranks: Ranks = field(default_factory=Ranks)
    step: int = 0
    since_validation: list[float] = field(default_factory=list)  # training losses
    best: dict[str, dict[str, Any]] = field(default_factory=dict)  # selection -> step, value, weights

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: a run that loads it goes on as if it had never stopped."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "discriminators_optimiser": self.discriminators_optimiser.state_dict(),
            "random": capture_random_states(),
            "history": self.history.rows,
            "since_validation": self.since_validation,
            "best": self.best,
            "precision": self.plan.precision,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.discriminators.load_state_dict(state["discriminators"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.discriminators_optimiser.load_state_dict(state["discriminators_optimiser"])
        self.history.rows = state["history"]
        self.since_validation = state["since_validation"]
        self.best = state["best"]
        self.plan = replace(self.plan, precision=state["precision"])  # also where this machine would choose another
        restore_random_states(state["random"])


def start_run(
    settings: VQGANSettings,
    options: VQGANTraining,
    scans: list[PreparedScan],
    device: torch.device,
    history: str | Path,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
) -> TrainingState:
    """A run at step 0, seeded.

    Raises ValueError where the perceptual term's weights are missing, the scans' size does not fit the network, a
    step does not fit the memory, or the forward passes of a step cannot be shared out among the ranks.
    """
    if options.accumulation % ranks.count:
        raise ValueError(
            f"train_vqgan.accumulation is {options.accumulation}; {ranks.count} processes share the forward passes of "
            "a step evenly: give a multiple"
        )
    size = check_sizes(scans, settings.compression, options.crop)
    perceptual = load_perceptual(options.perceptual, options.perceptual_weights, options.perceptual_sha256)
    plan = plan_memory(options, size, settings.width, device)
    seed_everything(options.seed)
    _choose_algorithms(options.deterministic)
    model = VQGAN(settings).to(device)
    model.recompute(plan.checkpointing)
    discriminators = Discriminators(options.discriminator_channels, options.discriminator_norm, min(size)).to(device)
    if options.compile:
        model.encoder.compile(dynamic=False)
        model.decoder.compile(dynamic=False)
    ranks.share_state(model)
    ranks.share_state(discriminators)
    return TrainingState(
        model=model,
        discriminators=discriminators,
        perceptual=perceptual.to(device) if perceptual is not None else None,
        optimiser=torch.optim.Adam(model.parameters(), options.lr, options.betas),
        discriminators_optimiser=torch.optim.Adam(discriminators.parameters(), options.lr, options.betas),
        options=options,
        plan=plan,
        device=device,
        history=History(history, tensorboard=options.tensorboard and ranks.first),
        ranks=ranks,
    )


def _choose_algorithms(deterministic: bool) -> None:
    """Those that repeat bit for bit on a GPU too, or the fastest for the sizes at hand."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    torch.set_float32_matmul_precision("highest" if deterministic else "high")
