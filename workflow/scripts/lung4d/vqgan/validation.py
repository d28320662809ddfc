"""How well a 3D-VQ-GAN reconstructs scans that it was not trained on, and how it uses its codes there."""

import torch

from lung4d.io.latents import pool_mask
from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.data import load_scan
from lung4d.vqgan.discriminators import PLANES, take_slices
from lung4d.vqgan.losses import reconstruction_loss
from lung4d.vqgan.perceptual import Perceptual
from lung4d.vqgan.quantiser import USED_FROM, perplexity
from lung4d.vqgan.run import TrainingState

NUMBERS = ("reconstruction", "perceptual", "lung_mse")
MOST_SCANS = 24  # that a validation looks at, evenly spaced in the table


@torch.no_grad()
def validate(run: TrainingState, scans: list[PreparedScan]) -> dict[str, float]:
    """Means over whole volumes, in float32; the ranks share the scans.

    held_out_loss (weighted reconstruction and perceptual terms; the GAN terms are left out), held_out_reconstruction,
    held_out_perceptual, held_out_lung_mse (lung only, data range 1), and of the codes in the lung at latent
    resolution: held_out_perplexity and held_out_codes_used, how many codes hold 1e-4 of the positions or more.
    """
    model, perceptual, options, device = run.model, run.perceptual, run.options, run.device
    model.eval()
    chosen = scans[:: -(-len(scans) // MOST_SCANS)]
    counts = torch.zeros(model.settings.codes, dtype=torch.long, device=device)
    sums = {name: torch.zeros((), dtype=torch.double, device=device) for name in NUMBERS}
    for scan in chosen[run.ranks.rank :: run.ranks.count]:
        volume, mask = load_scan(scan, model.settings.window)
        volume = volume.to(device)
        result, quantised = model(volume)
        sums["reconstruction"] += reconstruction_loss(result, volume)
        lung = torch.from_numpy(mask).to(device)
        sums["lung_mse"] += (result - volume)[0, 0][lung].square().mean() if mask.any() else 0.0
        if perceptual is not None:
            sums["perceptual"] += _perceptual(perceptual, result, volume)
        inside = torch.from_numpy(pool_mask(mask, model.settings.compression)).to(device)
        counts += torch.bincount(quantised.codes[0][inside], minlength=len(counts))
    run.ranks.add([*sums.values(), counts])
    means = {f"held_out_{name}": float(value) / len(chosen) for name, value in sums.items()}
    return {
        "held_out_loss": options.reconstruction_weight * means["held_out_reconstruction"]
        + options.perceptual_weight * means["held_out_perceptual"],
        **means,
        "held_out_perplexity": float(perplexity(counts)),
        "held_out_codes_used": float((counts >= USED_FROM * counts.sum().clamp(min=1)).sum()),
    }


def _perceptual(perceptual: Perceptual, result: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
    """The perceptual term on the quarter, middle and three-quarter slices of every plane: no chance in it."""
    positions = {
        plane: torch.tensor([volume.shape[axis] * quarter // 4 for quarter in (1, 2, 3)])
        for plane, axis in PLANES.items()
    }
    return perceptual(take_slices(result, positions), take_slices(volume, positions))
