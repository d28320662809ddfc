"""Training samples as other scanners would have shown them: an offset, sharper or softer, thicker slices, more noise.

A simulated scan, or that of one hospital, has few of the kernels, thicknesses and doses that there are; what a network
was never shown it reconstructs badly. Everything is done where the volumes are, a GPU or a CPU. [O]
"""

import torch

VARIED = 0.75  # share of the samples; the rest is as it was scanned
OFFSET, NOISE = 60.0, 40.0  # HU, at most
SHARPER, SOFTER = -0.08, 0.25  # of the second difference along an axis that is added; 0.25 is the mean of 1, 2 and 1
AXES = (2, 3, 4)  # D, H, W


def vary_acquisition(volumes: torch.Tensor, window: tuple[float, float]) -> torch.Tensor:
    """Volumes (B, 1, D, H, W) in [-0.5, 0.5], each as taken anew; random by torch's own generators.

    The kernel acts along both axes of a slice alike, thickness along D; the noise is white.
    """
    unit = 1 / (window[1] - window[0])
    kept, thickness, kernel, offset, noise = torch.rand(5, len(volumes), 1, 1, 1, 1).to(volumes)
    varied = volumes
    within = SHARPER + (SOFTER - SHARPER) * kernel
    for axis, softer in zip(AXES, (SOFTER * thickness.square(), within, within), strict=True):
        varied = varied + softer * _second_difference(varied, axis)
    varied = varied + unit * OFFSET * (2 * offset - 1) + unit * NOISE * noise.square() * torch.randn_like(volumes)
    return torch.where(kept < VARIED, varied.clamp(-0.5, 0.5), volumes)


def _second_difference(x: torch.Tensor, axis: int) -> torch.Tensor:
    """x before, minus twice x, plus x behind along the axis; the border is replicated."""
    size = x.shape[axis]
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)
    before = torch.cat([first, x.narrow(axis, 0, size - 1)], axis)
    behind = torch.cat([x.narrow(axis, 1, size - 1), last], axis)
    return before + behind - 2 * x
