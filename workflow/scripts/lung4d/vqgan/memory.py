"""How a training step is made to fit a card: in which precision, and what is computed twice instead of kept."""

import logging
from dataclasses import dataclass
from typing import Any

import torch

from lung4d.training.device import GB, choose_precision
from lung4d.vqgan.options import VQGANTraining

logger = logging.getLogger("lung4d")

# Bytes that a step with the GAN needs at most, per voxel and channel of the first layer (width): benchmarks/vqgan.md.
BYTES = {("bf16", False): 95, ("bf16", True): 75, ("fp32", False): 165, ("fp32", True): 127}
USABLE = 0.8  # of a card's memory: fragments, and what the fastest convolutions take for their work


@dataclass(frozen=True)
class Plan:
    """precision: "bf16" or "fp32". checkpointing: activations are computed again for the gradient instead of kept."""

    precision: str = "fp32"
    checkpointing: bool = False


def plan_memory(options: VQGANTraining, size: tuple[int, int, int], width: int, device: torch.device) -> Plan:
    """The fastest plan that fits: bf16 where the device is faster with it, checkpointing where memory asks for it.

    `size` (D, H, W) and `width` are those of a training sample and of the network. What the options say outright is
    taken as said. The memory is `fits`, else the GPU's; a CPU's is not limited.
    """
    precision = choose_precision(options.precision, device)
    limit = _limit(options.fits, device)
    choices: tuple[Any, ...] = (False, True) if options.checkpointing == "auto" else (options.checkpointing,)
    for checkpointing in choices:
        needed = BYTES[precision, checkpointing] * width * options.batch * size[0] * size[1] * size[2]
        if limit is None or needed <= USABLE * limit:
            break
    else:
        logger.warning("this may not fit: give a smaller train_vqgan.crop or batch, or a larger card")
    logger.info(
        "a step on %s voxels: %s, activations %s, about %.2g GB of %s",
        " x ".join(map(str, size)),
        precision,
        "computed twice" if checkpointing else "kept",
        needed / GB,
        f"{limit / GB:.3g} GB" if limit else "this machine's",
    )
    return Plan(precision, checkpointing)


def _limit(fits: str | None, device: torch.device) -> float | None:
    if fits:
        return float(fits.removesuffix("GB")) * GB
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None
