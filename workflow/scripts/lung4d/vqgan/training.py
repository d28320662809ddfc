"""Training of the 3D-VQ-GAN (4D-VQ-GAN, appendices C.1 and D.2)."""

import copy
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lung4d.training import (
    Checkpoints,
    History,
    Lock,
    Pace,
    Stopper,
    capture_random_states,
    plot_progress,
    restore_random_states,
    seed_everything,
)
from lung4d.vqgan.data import Samples, Scan, check_sizes
from lung4d.vqgan.discriminators import Discriminators, draw_positions, take_slices
from lung4d.vqgan.losses import discriminator_loss, feature_matching_loss, generator_loss, reconstruction_loss
from lung4d.vqgan.model import VQGAN, Settings
from lung4d.vqgan.options import Options
from lung4d.vqgan.perceptual import Perceptual, load_perceptual
from lung4d.vqgan.validation import validate

logger = logging.getLogger("lung4d")


@dataclass
class Run:
    """Everything a training holds. `step` counts finished optimiser steps of the generator and nothing else."""

    model: VQGAN
    discriminators: Discriminators
    perceptual: Perceptual | None
    optimiser: torch.optim.Optimizer
    discriminators_optimiser: torch.optim.Optimizer
    options: Options
    device: torch.device
    history: History
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
        restore_random_states(state["random"])


def start_run(settings: Settings, options: Options, scans: list[Scan], device: torch.device, history: Path) -> Run:
    """A run at step 0, seeded.

    Raises ValueError where the perceptual term's weights are missing or the scans' size does not fit the network.
    """
    smallest = min(check_sizes(scans, settings.compression, options.crop))
    perceptual = load_perceptual(options.perceptual, options.perceptual_weights, options.perceptual_sha256)
    seed_everything(options.seed)
    model = VQGAN(settings).to(device)
    discriminators = Discriminators(options.discriminator_channels, options.discriminator_norm, smallest).to(device)
    return Run(
        model=model,
        discriminators=discriminators,
        perceptual=perceptual.to(device) if perceptual is not None else None,
        optimiser=torch.optim.Adam(model.parameters(), options.lr, options.betas),
        discriminators_optimiser=torch.optim.Adam(discriminators.parameters(), options.lr, options.betas),
        options=options,
        device=device,
        history=History(history),
    )


def train(
    run: Run, scans: list[Scan], checkpoints: Checkpoints, stopper: Stopper, lock: Lock, progress: str | Path
) -> dict[str, Any]:
    """Train until `options.steps` and return the selected model with a record of how it was selected.

    A checkpoint that is there is resumed; `progress` is a picture that is redrawn at every checkpoint. Validation
    uses the `val` scans, or the training scans where there are none. Raises ValueError without training scans,
    SystemExit(75) after SIGTERM or SIGINT, when the checkpoint is written.
    """
    options = run.options
    training, held_out = choose_scans(scans)
    samples = Samples(training, run.model.settings.window, options.seed, options.flips, options.crop)
    if (state := checkpoints.load_latest()) is not None:
        run.load(state)
    pace = Pace(options.steps)
    while run.step < options.steps:
        row = train_step(run, samples)
        pace.log(run.step, {key: row[key] for key in ("loss", "reconstruction", "perplexity")})
        if run.step % options.validate_every == 0 or run.step == options.steps:
            row |= validate(run.model, run.perceptual, held_out, options, run.device)
            remember_best(run, row["held_out_loss"])
            logger.info("validation: %s", ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
        run.history.add(**row)
        if run.step % options.save_every == 0 or run.step == options.steps or stopper.requested:
            save(run, checkpoints, lock, progress)
        if stopper.requested and run.step < options.steps:
            stopper.leave()
    run.history.write()  # also where a finished checkpoint was found: the outputs are due all the same
    plot_progress(run.history.frame(), progress)
    return selected(run)


def save(run: Run, checkpoints: Checkpoints, lock: Lock, progress: str | Path) -> None:
    """Write the checkpoint, then the history and its picture, which a reader may open while the training goes on."""
    lock.check()
    checkpoints.save(run.state(), run.step)
    run.history.write()
    plot_progress(run.history.frame(), progress)


def train_step(run: Run, samples: Samples) -> dict[str, float]:
    """One optimiser step of the generator, and of the discriminators once they have started; returns its numbers.

    The gradients of `accumulation` batches are averaged; the codebook moves once, after them.
    """
    options = run.options
    adversarial, whole = options.adversarial(run.step), options.whole_volumes(run.step)
    run.model.train()
    run.optimiser.zero_grad(set_to_none=True)
    run.discriminators_optimiser.zero_grad(set_to_none=True)
    sums: dict[str, torch.Tensor] = {}
    for micro in range(options.accumulation):
        volumes = samples.draw(run.step * options.accumulation + micro, options.batch, whole).to(run.device)
        for name, value in micro_step(run, volumes, adversarial).items():
            sums[name] = sums.get(name, 0) + value.detach() / options.accumulation
    _step(run.optimiser, run.model, options)
    if adversarial:
        _step(run.discriminators_optimiser, run.discriminators, options)
    used = run.model.quantiser.step_count.count_nonzero()
    run.model.quantiser.update()
    run.step += 1
    row = {name: float(value) for name, value in sums.items()}
    run.since_validation.append(row["loss"])
    return {"step": run.step, **row, "codes_used": float(used)}


def micro_step(run: Run, volume: torch.Tensor, adversarial: bool) -> dict[str, torch.Tensor]:
    """Forward and backward of a batch (B, 1, D, H, W): the generator once, then the discriminators on what it made."""
    options = run.options
    with autocast(run.device, options.precision):
        reconstruction, quantised = run.model(volume)
        positions = draw_positions(volume.shape, options.planes, options.slices)
        slices, real_slices = take_slices(reconstruction, positions), take_slices(volume, positions)
        terms = {
            "reconstruction": reconstruction_loss(reconstruction, volume),
            "commitment": quantised.commitment,
        }
        if run.model.settings.quantiser == "gradient":
            terms["codebook"] = quantised.codebook
        if run.perceptual is not None:
            terms["perceptual"] = run.perceptual(slices, real_slices)
        if adversarial:
            run.discriminators.requires_grad_(False)  # the generator's backward passes through them, no more
            fake = run.discriminators(reconstruction, slices)
            terms["gan_generator"] = generator_loss(options.gan_loss, fake)
            if options.feature_matching_weight:
                with torch.no_grad():
                    real = run.discriminators(volume, real_slices)
                terms["feature_matching"] = feature_matching_loss(real, fake)
    loss = total(terms, options)
    (loss / options.accumulation).backward()
    if adversarial:
        run.discriminators.requires_grad_(True)
        with autocast(run.device, options.precision):
            real = run.discriminators(volume, real_slices)
            fake = run.discriminators(reconstruction.detach(), [batch.detach() for batch in slices])
            terms["gan_discriminator"] = discriminator_loss(options.gan_loss, real, fake)
        (terms["gan_discriminator"] / options.accumulation).backward()
    return {"loss": loss, **terms, "perplexity": quantised.perplexity}


def total(terms: dict[str, torch.Tensor], options: Options) -> torch.Tensor:
    """The generator's loss, equation 5: each term times its weight, the commitment's beta counted once."""
    weights = {
        "reconstruction": options.reconstruction_weight,
        "commitment": options.commitment,
        "codebook": 1.0,
        "perceptual": options.perceptual_weight,
        "gan_generator": options.gan_weight,
        "feature_matching": options.feature_matching_weight,
    }
    return sum(weights[name] * term for name, term in terms.items())


def _step(optimiser: torch.optim.Optimizer, module: nn.Module, options: Options) -> None:
    """Clip the gradient and step; a gradient that is not finite is left out, with a warning."""
    limit = math.inf if options.gradient_clip is None else options.gradient_clip
    if torch.isfinite(nn.utils.clip_grad_norm_(module.parameters(), limit)):
        optimiser.step()
    else:
        logger.warning("the gradient of the %s is not finite: step left out", type(module).__name__)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of a precision: "auto" is bf16 where the device has matrix units for it, else fp32."""
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))  # without matrix units bf16 is no faster than fp32


def choose_scans(scans: list[Scan]) -> tuple[list[Scan], list[Scan]]:
    """Training scans and held-out scans: those of `val`, or the training scans where there is no `val`."""
    training = [scan for scan in scans if scan.split == "train"]
    held_out = [scan for scan in scans if scan.split == "val"]
    if not training:
        raise ValueError("split.tsv has no usable scan in the split 'train': the 3D-VQ-GAN has nothing to learn from")
    if not held_out:
        logger.warning("no patient is in the split 'val': the model is selected on the training scans")
    logger.info("%d training scans, %d held-out scans", len(training), len(held_out))
    return training, held_out or training


def remember_best(run: Run, held_out_loss: float) -> None:
    """Keep the weights if they are the best so far by held-out loss or by mean training loss since last asked.

    Before the GAN terms start nothing counts, as in the paper: the terms change what the loss measures.
    """
    losses, run.since_validation = run.since_validation, []
    gan_comes = run.options.gan_weight > 0 and run.options.gan_start < run.options.steps
    if gan_comes and run.step <= run.options.gan_start:
        return
    for name, value in (("held_out", held_out_loss), ("training_loss", sum(losses) / len(losses))):
        if value < run.best.get(name, {"value": math.inf})["value"]:
            weights = {key: tensor.detach().cpu().clone() for key, tensor in run.model.state_dict().items()}
            run.best[name] = {"step": run.step, "value": value, "weights": weights}


def selected(run: Run) -> dict[str, Any]:
    """The model with the weights of `options.select`, and what either selection would have taken.

    Raises RuntimeError where no loss was ever finite.
    """
    if run.options.select not in run.best:
        raise RuntimeError("the training's loss was never finite: try a smaller train_vqgan.lr")
    model = copy.deepcopy(run.model)
    model.load_state_dict(run.best[run.options.select]["weights"])
    record = {name: {"step": best["step"], "value": best["value"]} for name, best in run.best.items()}
    record |= {"select": run.options.select, "steps": run.options.steps}
    logger.info("selected by %s: %s", run.options.select, record)
    return {"model": model, "selection": record}
