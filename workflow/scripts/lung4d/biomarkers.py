"""Imaging biomarkers of one scan, real or generated: code frequencies, mean lung density, high-attenuation area.

A code of the codebook stands for a pattern of the CT; how often it occurs in the lung is its prevalence
(Zhao et al., 4D-VQ-GAN, section 2, "Survival analysis and biomarker discovery"). The two densities are the plain
comparators that need no network.
"""

from pathlib import Path

import nibabel as nib
import numpy as np

from lung4d.latents import load_codes
from lung4d.volumes import open_mask, open_volume

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
    if not lung.size:
        return float("nan"), float("nan")
    low, high = HIGH_ATTENUATION
    return float(lung.mean(dtype=np.float64)), 100.0 * float(np.mean((lung >= low) & (lung <= high)))


def measure(codes_path: str | Path, volume_path: str | Path, mask_path: str | Path) -> dict[str, object]:
    """Biomarkers of one scan from its codes (.npz), its HU volume and its lung mask (NIfTI, same grid)."""
    volume_path = Path(volume_path)
    # a compressed volume cannot be memory-mapped: read it once, it is indexed by the whole mask anyway
    hu = np.asanyarray(nib.load(volume_path).dataobj).T if volume_path.suffix == ".gz" else open_volume(volume_path)
    mean, high = lung_density(hu, open_mask(mask_path))
    return {
        "mean_density_hu": mean,
        "high_attenuation_percent": high,
        "frequencies": code_frequencies(*load_codes(codes_path)),
    }
