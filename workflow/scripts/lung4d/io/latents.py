"""Latents of one scan on disk: codes, embeddings before and after quantisation, and the mask at latent resolution."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lung4d.io.atomic import atomic, reading


@dataclass(frozen=True)
class Latents:
    """codes int16 (d, h, w); embeddings (quantised) and continuous float32 (c, d, h, w); mask bool (d, h, w)."""

    codes: np.ndarray
    embeddings: np.ndarray
    continuous: np.ndarray
    mask: np.ndarray


def save_latents(latents: Latents, path: str | Path) -> None:
    _save(path, **asdict(latents))


def load_latents(path: str | Path) -> Latents:
    with reading(path), np.load(path) as arrays:
        return Latents(**arrays)


def save_codes(codes: np.ndarray, mask: np.ndarray, path: str | Path) -> None:
    """Save only codes (d, h, w) and mask (d, h, w), what biomarkers need of a generated scan."""
    _save(path, codes=codes.astype(np.int16), mask=mask)


def load_codes(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Codes int16 (d, h, w) and mask bool (d, h, w) of a real or generated scan."""
    with reading(path), np.load(path) as arrays:
        return arrays["codes"], arrays["mask"]


def pool_mask(mask: np.ndarray, factor: int) -> np.ndarray:
    """A lung mask (D, H, W) at latent resolution: True where a block of `factor`^3 voxels holds any lung."""
    d, h, w = (size // factor for size in mask.shape)
    blocks: Any = mask[: d * factor, : h * factor, : w * factor].reshape(d, factor, h, factor, w, factor)
    return blocks.any(axis=(1, 3, 5))


def _save(path: str | Path, **arrays: Any) -> None:
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)
