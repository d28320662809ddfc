"""Imaging biomarkers of one scan, real or generated: code frequencies, and read-outs of the lung's density.

A code of the codebook stands for a pattern of the CT; how often it occurs in the lung is its prevalence
(Zhao et al., 4D-VQ-GAN, section 2, "Survival analysis and biomarker discovery"). The read-outs are the plain
comparators that need no network: mean, high-attenuation area, skewness and kurtosis of the histogram (Best et al.,
Radiology 228(2), 2003: both fall as fibrosis grows), and the lung's volume.
"""

from pathlib import Path

import numpy as np

from lung4d.io.latents import load_codes
from lung4d.io.volumes import open_mask, read_affine

HIGH_ATTENUATION = (-600.0, -250.0)  # HU, as in the MESA lung study (Lederer 2009)


def code_frequencies(codes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Share of the lung's latent voxels that hold each code, (highest code + 1,), summing to one.

    `codes` int (d, h, w), `mask` bool (d, h, w). NaN where the mask is empty. Raises ValueError where shapes differ.
    """
    if codes.shape != mask.shape:
        raise ValueError(f"codes {codes.shape} and lung mask {mask.shape} differ in shape")
    counts = np.bincount(codes[mask].astype(np.int64), minlength=1)
    return counts / counts.sum() if counts.sum() else np.full(len(counts), np.nan)


def lung_density(hu: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Mean HU in the lung, and the share of lung voxels from -600 to -250 HU in percent; both arrays (D, H, W).

    NaN where the mask is empty. Raises ValueError where shapes differ.
    """
    if hu.shape != mask.shape:
        raise ValueError(f"volume {hu.shape} and lung mask {mask.shape} differ in shape")
    lung = np.asarray(hu[mask], dtype=np.float32)
    return (float(lung.mean(dtype=np.float64)), high_attenuation(lung)) if lung.size else (float("nan"),) * 2


def high_attenuation(lung: np.ndarray) -> float:
    """Share of the lung's voxels (n,), HU, from -600 to -250 HU, in percent; NaN of none."""
    low, high = HIGH_ATTENUATION
    return 100.0 * float(np.mean((lung >= low) & (lung <= high))) if lung.size else float("nan")


def histogram_shape(hu: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Skewness and excess kurtosis (0 for a normal distribution) of the HU in the lung; both arrays (D, H, W).

    NaN where the lung is empty or of one value.
    """
    lung = np.asarray(hu[mask], dtype=np.float64)
    centred = lung - (lung.mean() if lung.size else 0)
    variance = np.mean(centred**2) if lung.size else 0
    if not variance:
        return float("nan"), float("nan")
    return float(np.mean(centred**3) / variance**1.5), float(np.mean(centred**4) / variance**2 - 3)


def lung_volumes(mask_path: str | Path) -> tuple[float, float]:
    """Volume (ml) of a lung mask (NIfTI), and of what of it lies in the lowest third of the lung's height.

    Of a real scan they are taken from the mask on the scan's own grid. Registration takes the change of volume away: a
    generated volume lies in the baseline's lung, so its lung volume is the baseline's, at every year; what the volume
    will be is foretold beside it (lung4d.ode.volume). Height is along the axis of the grid that is nearest to the
    patient's; a slice that the third ends in counts in part. Both are 0 where the mask is empty.
    """
    mask, axes = open_mask(mask_path), read_affine(mask_path)[:3, :3]
    upright = int(np.abs(axes[2]).argmax())
    areas = np.count_nonzero(np.moveaxis(mask, 2 - upright, 0).reshape(mask.shape[2 - upright], -1), axis=1)
    areas = np.trim_zeros(areas if axes[2, upright] > 0 else areas[::-1])  # the lowest slice first
    if not len(areas):
        return 0.0, 0.0
    below = np.concatenate([[0], np.cumsum(areas)]) * abs(np.linalg.det(axes)) / 1000
    return float(below[-1]), float(np.interp(len(areas) / 3, np.arange(len(areas) + 1), below))


def measure_scan(codes_path: str | Path, hu: np.ndarray, mask: np.ndarray) -> dict[str, object]:
    """Biomarkers of one scan from the file of its codes (.npz), its volume in HU and its lung, both (D, H, W)."""
    mean, high = lung_density(hu, mask)
    skewness, kurtosis = histogram_shape(hu, mask)
    return {
        "mean_density_hu": mean,
        "high_attenuation_percent": high,
        "skewness": skewness,
        "kurtosis": kurtosis,
        "frequencies": code_frequencies(*load_codes(codes_path)),
    }
