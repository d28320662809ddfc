"""One optimiser step of the 3D-VQ-GAN (4D-VQ-GAN, equations 2 to 5).

Whatever is random in a forward pass (slices, vectors kept for restarts) follows from the seed and the pass's number
alone, so that a resumed run draws what an uninterrupted one would have drawn, and several ranks draw what one would.
"""

from typing import Any

import torch
from torch import nn

from lung4d.training.gradients import GradientSum, apply_step, autocast, reseed
from lung4d.vqgan.acquisitions import vary_acquisition
from lung4d.vqgan.data import VolumeSamples
from lung4d.vqgan.discriminators import draw_positions, take_slices
from lung4d.vqgan.losses import discriminator_loss, feature_matching_loss, generator_loss, reconstruction_loss
from lung4d.vqgan.options import VQGANTraining
from lung4d.vqgan.run import TrainingState

FORWARD, UPDATE, FIRST, ACQUISITION = range(4)  # kinds of random draws


def train_step(run: TrainingState, samples: VolumeSamples) -> dict[str, float]:
    """One optimiser step of the generator, and of the discriminators once they have started; returns its numbers.

    The gradients of `accumulation` batches, shared out among the ranks, are averaged; the codebook moves once, after
    them.
    """
    options = run.options
    adversarial, whole = options.adversarial(run.step), options.whole_volumes(run.step)
    networks: dict[nn.Module, torch.optim.Optimizer] = {run.model: run.optimiser}
    if adversarial:
        networks[run.discriminators] = run.discriminators_optimiser
    gradients = {module: GradientSum(module) for module in networks}
    run.model.train()
    sums: dict[str, torch.Tensor] = {}
    for micro in run.ranks.share(options.accumulation):
        number = run.step * options.accumulation + micro
        volumes = samples.draw(number, options.batch, whole).to(run.device)
        if options.acquisitions:
            volumes = _taken_anew(run, volumes, number)
        reseed(options.seed, FORWARD, number)
        for name, value in micro_step(run, volumes, adversarial).items():
            sums[name] = sums.get(name, 0) + value.detach().double() / options.accumulation
        for gradient in gradients.values():
            gradient.take()
    run.ranks.add(list(sums.values()))
    for module, optimiser in networks.items():
        gradients[module].give(run.ranks)
        apply_step(optimiser, module, options.lr_at(run.step), options.gradient_clip)
    reseed(options.seed, UPDATE, run.step)
    used = run.model.quantiser.update(run.ranks)
    run.step += 1
    row = {name: float(value) for name, value in sums.items()}
    run.since_validation.append(row["loss"])
    return {"step": run.step, **row, "codes_used": float(used)}


def _taken_anew(run: TrainingState, volumes: torch.Tensor, number: int) -> torch.Tensor:
    """Batch `number` as other scanners would have shown it; what a sample becomes does not depend on its batch."""
    varied = []
    for place, volume in enumerate(volumes.split(1)):
        reseed(run.options.seed, ACQUISITION, number * len(volumes) + place)
        varied.append(vary_acquisition(volume, run.model.settings.window))
    return torch.cat(varied)


def micro_step(run: TrainingState, volume: torch.Tensor, adversarial: bool) -> dict[str, torch.Tensor]:
    """Forward and backward of a batch (B, 1, D, H, W): the generator once, then the discriminators on what it made."""
    options = run.options
    with autocast(run.device, run.plan.precision):
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
        with autocast(run.device, run.plan.precision):
            real = run.discriminators(volume, real_slices)
            fake = run.discriminators(reconstruction.detach(), [batch.detach() for batch in slices])
            terms["gan_discriminator"] = discriminator_loss(options.gan_loss, real, fake)
        (terms["gan_discriminator"] / options.accumulation).backward()
    return {"loss": loss, **terms, "perplexity": quantised.perplexity}


def total(terms: dict[str, torch.Tensor], options: VQGANTraining) -> torch.Tensor:
    """The generator's loss, equation 5: each term times its weight, the commitment's beta counted once."""
    weights: dict[str, Any] = {
        "reconstruction": options.reconstruction_weight,
        "commitment": options.commitment,
        "codebook": 1.0,
        "perceptual": options.perceptual_weight,
        "gan_generator": options.gan_weight,
        "feature_matching": options.feature_matching_weight,
    }
    return sum(weights[name] * term for name, term in terms.items())


@torch.no_grad()
def start_codebook(run: TrainingState, samples: VolumeSamples) -> None:
    """Draw a codebook that has no codes yet from the latents of the first batch, the same on every rank."""
    if run.model.quantiser.initialised:
        return
    reseed(run.options.seed, FIRST)
    with autocast(run.device, run.plan.precision):
        latent = run.model.encode(samples.draw(0, run.options.batch, run.options.whole_volumes(0)).to(run.device))
    run.model.quantiser.initialise(latent)
    run.ranks.share_state(run.model.quantiser)
