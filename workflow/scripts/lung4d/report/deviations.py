"""Where our defaults depart from the paper or settle what it leaves open, each with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deviation:
    """`keys` are the settings ("stage.key") that say what a run did; `paper` is what the paper says or leaves open."""

    what: str
    paper: str
    ours: str
    keys: tuple[str, ...] = ()


DEVIATIONS = (
    Deviation(
        "Lung masks",
        "A pre-trained U-Net.",
        "lungmask R231 where its weights are at hand; else an intensity-based segmenter that needs none.",
        ("segment.method",),
    ),
    Deviation(
        "Registration",
        "CorrField with its public defaults.",
        "The same method on the lung alone, without the chest wall that it slides along, then a refinement below a "
        "voxel on the intensities.",
        ("register.spacing", "register.refine_steps", "register.surface_weight"),
    ),
    Deviation(
        "Lung region",
        "Not stated which mask is used where.",
        "The baseline's lung mask everywhere after registration, so that it never depends on a visit that is scored.",
    ),
    Deviation(
        "Lung volume",
        "Lost by the alignment.",
        "Displacement fields and lung volumes are kept, because shrinkage is itself a sign of progression; a generated "
        "volume can be brought back to a visit's own breathing state.",
        ("generate_trajectories.native",),
    ),
    Deviation(
        "HU window",
        "Not stated.",
        "A stated window.",
        ("train_vqgan.window",),
    ),
    Deviation(
        "Field of view",
        "“Resized”: the whole scan.",
        "The patient's lung box with a margin, the same for all visits: no voxels are spent on air and table.",
        ("resample.field_of_view", "resample.margin"),
    ),
    Deviation(
        "Sampling",
        "Not stated.",
        "Each original scan is sampled once, through its field, after a low-pass; baselines take the same path. "
        "Sampling follow-ups twice blurs them, and lost texture looks like change.",
    ),
    Deviation(
        "Sets of patients",
        "80 % training; 20 % validation and test at once.",
        "A validation set is taken out of the training patients, and the test set is scored once.",
        ("split.val", "split.test"),
    ),
    Deviation("Width of the first layer", "Not stated.", "Chosen by us.", ("train_vqgan.width",)),
    Deviation(
        "Codebook update",
        "A codebook loss (equation 2).",
        "Exponential moving average, as in the implementation the paper builds on; unused codes are drawn anew.",
        ("train_vqgan.quantiser", "train_vqgan.restart_after"),
    ),
    Deviation(
        "Picture of a code",
        "A latent filled with the code, decoded (figure 9).",
        "The same; where the norms are over groups of channels, with the statistics of a training scan in those of the "
        "decoder: a group norm takes away whatever is the same everywhere, so that otherwise all codes decode to one "
        "grey.",
    ),
    Deviation(
        "Norm of the 3D-VQ-GAN",
        "Not stated; the implementation it builds on has group norms over the volume.",
        "Over the channels of each voxel. With one channel a group, as narrow networks have it, a group norm takes the "
        "scan's mean density away, and everywhere a code depends on the whole field of view.",
        ("train_vqgan.norm",),
    ),
    Deviation(
        "Acquisitions in the training of the 3D-VQ-GAN",
        "Not stated.",
        "Offset, sharpness, slice thickness and noise of the volumes vary at random, so that another scanner's scan is "
        "not foreign to it.",
        ("train_vqgan.acquisitions",),
    ),
    Deviation(
        "Adversarial loss",
        "Logarithmic (equation 3).",
        "Hinge.",
        ("train_vqgan.gan_loss",),
    ),
    Deviation(
        "Perceptual term",
        "VGG features.",
        "An ImageNet backbone that can be shipped, where no VGG weights are given.",
        ("train_vqgan.perceptual",),
    ),
    Deviation(
        "Training steps of the autoencoder",
        "20,000; whether these are optimiser steps is not stated.",
        "Counted as optimiser steps, from the number of scans and the accumulation.",
        ("train_vqgan.steps", "train_vqgan.gan_start"),
    ),
    Deviation(
        "Learning rate of the autoencoder",
        "Constant.",
        "Falls linearly to zero at the end, where a constant one lets the error on held-out scans swing from one "
        "validation to the next.",
        ("train_vqgan.lr_decay",),
    ),
    Deviation(
        "Selection of the models",
        "Smallest training loss.",
        "Error on held-out patients.",
        ("train_vqgan.select", "train_ode.select"),
    ),
    Deviation(
        "Latents of the disease model",
        "Quantised embeddings.",
        "The encoder's output before quantisation, which carries small changes that a codebook rounds away.",
        ("train_ode.latents",),
    ),
    Deviation(
        "Time between visits",
        "The encoder does not see it.",
        "Given to the encoder: two scans three months or three years apart are different news.",
        ("train_ode.time_gap",),
    ),
    Deviation(
        "What the encoder sees",
        "Latents alone.",
        "Plain numbers of the scans too: mean, spread and change in each block, place in the lung, the lung's mean.",
        ("train_ode.features",),
    ),
    Deviation(
        "Breath",
        "Not considered.",
        "Encoder and drawing see how far the lung is expanded at each visit: a deeper breath makes it less dense, as "
        "if disease went away.",
        ("train_ode.breath",),
    ),
    Deviation(
        "Drawing at the scan's resolution",
        "None: the latent is decoded.",
        "A small network draws, from the scan at hand, where the change that the latent state foretells will show; the "
        "squared error of the scans that it draws is part of the loss.",
        ("train_ode.maps", "train_ode.image_weight", "train_ode.low_pass_weight"),
    ),
    Deviation(
        "Ensemble",
        "One model.",
        "Several, each trained without a part of the patients: their mean is the forecast, and what each gets wrong of "
        "the patients that it never saw is the measure of its uncertainty.",
        ("train_ode.members",),
    ),
    Deviation(
        "Training of the disease model",
        "AdamW with lr 2e-4 and betas (0.5, 0.9), whole volumes.",
        "A larger rate that falls to zero, betas (0.9, 0.99), clipped gradients, random crops.",
        ("train_ode.lr", "train_ode.lr_decay", "train_ode.betas", "train_ode.gradient_clip", "train_ode.crop"),
    ),
    Deviation(
        "Visits given in training",
        "All.",
        "A random part, the others are forecast: what the model is later asked to do.",
        ("train_ode.given", "train_ode.hide_visits"),
    ),
    Deviation(
        "Direction of the encoder",
        "Backward to the baseline.",
        "Forward to the last given visit, from which the forecast starts.",
        ("train_ode.direction",),
    ),
    Deviation(
        "From state to latent",
        "Pairwise differences, so that the answer for a year depends on which other years are asked for.",
        "Telescoping differences anchored at the given visits: one answer for a year, and a given visit returns "
        "itself.",
        ("train_ode.decoder",),
    ),
    Deviation(
        "Weights of the loss over visits",
        "Rising linearly; size not stated.",
        "1 + (i - 1) for visit i, with mean 1; both terms weigh the same.",
    ),
    Deviation(
        "Outside the lung",
        "Latents are masked; what is decoded there is not stated.",
        "The baseline's latents before decoding, and the baseline's voxels after.",
    ),
    Deviation(
        "Decoding",
        "The decoder's picture of the latent (pure).",
        "The nearest given scan with the change drawn on it, so that the autoencoder's own error does not drown the "
        "change; decoding latents, purely or on top of that scan, is a choice.",
        ("generate_trajectories.decoding", "generate_trajectories.mix"),
    ),
    Deviation(
        "Comparisons",
        "Variants of the model.",
        "Also the last scan carried forward (plain, blurred, through the autoencoder), linear trends and the cohort's "
        "mean change, with paired intervals over patients.",
    ),
    Deviation(
        "Survival models",
        "Not stated on which patients the last model is fitted.",
        "Chosen and fitted on training and validation patients, scored once on held-out ones; ridge penalty; optimism, "
        "false discovery rate and stability are given; the clock starts at the last scan used.",
        ("survival.ridge", "survival.min_events"),
    ),
)


def in_this_run(deviation: Deviation, config: Mapping[str, Any]) -> str:
    """The settings of `deviation.keys` as "key: value", or "as stated here" for what no setting changes."""
    parts = []
    for key in deviation.keys:
        stage, _, name = key.partition(".")
        parts.append(f"{name.replace('_', ' ')}: {_text((config.get(stage) or {}).get(name))}")
    return "; ".join(dict.fromkeys(parts)) or "as stated here"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return value.replace("_", " ") if isinstance(value, str) else str(value).replace("-", "−")
