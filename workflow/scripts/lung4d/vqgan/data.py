"""Training samples for the 3D-VQ-GAN: memory-mapped volumes, drawn as a pure function of a counter."""

from typing import Any

import numpy as np
import torch

from lung4d.io.volumes import open_mask, open_volume, to_unit
from lung4d.visits.scans import PreparedScan

CENTRES = 4096  # lung voxels of a scan that are remembered as centres of crops


def check_sizes(scans: list[PreparedScan], compression: int, crop: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """The size (D, H, W) of training samples: the crop's, or the volumes' where that is smaller or no crop is set.

    Raises ValueError where sizes differ between scans or are no multiples of `compression`.
    """
    shapes = {open_volume(scan.volume).shape for scan in scans}
    if len(shapes) > 1:
        raise ValueError(f"the preprocessed volumes differ in size: {sorted(shapes)}; run `resample` again for all")
    (shape,) = shapes or {(0, 0, 0)}
    for key, sizes in (("resample.shape", shape), ("train_vqgan.crop", crop or ())):
        if any(size % compression for size in sizes):
            raise ValueError(f"{key} is {list(sizes)}; give multiples of train_vqgan.compression, {compression}")
    return tuple(min(pair) for pair in zip(shape, crop or shape, strict=True))


class VolumeSamples:
    """Endless training samples. A sample depends on the seed and on its number alone, never on what was drawn
    before, so that a resumed training sees the same data in the same order.

    `crop` (D, H, W) or None is the size of random crops; each is laid around a random lung voxel.
    """

    crop: Any

    def __init__(
        self,
        scans: list[PreparedScan],
        window: tuple[float, float],
        seed: int,
        flips: bool,
        crop: tuple[int, int, int] | None,
    ):
        self.scans, self.window, self.seed, self.flips, self.crop = scans, window, seed, flips, crop
        self.centres = [self._centres(scan) for scan in scans] if crop else []

    def draw(self, batch: int, size: int, whole: bool = False) -> torch.Tensor:
        """Batch number `batch` of `size` samples, (size, 1, D, H, W) in [-0.5, 0.5].

        Crops, or whole volumes if `whole` or where no crop is set.
        """
        samples = [self._sample(index, whole) for index in range(batch * size, (batch + 1) * size)]
        return torch.from_numpy(np.stack(samples))[:, None]

    def _sample(self, index: int, whole: bool) -> np.ndarray:
        epoch, position = divmod(index, len(self.scans))
        which = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.scans))[position]
        generator = np.random.default_rng([self.seed, 1, index])
        volume = open_volume(self.scans[which].volume)
        if self.crop and not whole:
            volume = volume[self._place(volume.shape, self.centres[which], generator)]
        unit = to_unit(volume, self.window)
        if self.flips and generator.random() < 0.5:
            unit = unit[:, :, ::-1]  # left and right exchanged
        return unit

    def _centres(self, scan: PreparedScan) -> np.ndarray:
        """Up to CENTRES random lung voxels (n, 3) of a scan; the middle of the volume where there is no lung."""
        mask = open_mask(scan.mask)
        lung = np.flatnonzero(mask)
        if not len(lung):
            return np.array([mask.shape]) // 2
        chosen = np.random.default_rng([self.seed, 2]).choice(lung, min(CENTRES, len(lung)), replace=False)
        return np.stack(np.unravel_index(chosen, mask.shape), axis=1)

    def _place(self, shape: tuple[int, ...], centres: np.ndarray, generator: np.random.Generator) -> tuple[slice, ...]:
        size = np.minimum(self.crop, shape)
        start = np.clip(centres[generator.integers(len(centres))] - size // 2, 0, np.asarray(shape) - size)
        return tuple(slice(int(a), int(a + s)) for a, s in zip(start, size, strict=True))


def load_scan(scan: PreparedScan, window: tuple[float, float]) -> tuple[torch.Tensor, np.ndarray]:
    """Whole volume (1, 1, D, H, W) in [-0.5, 0.5] and lung mask (D, H, W) of one scan."""
    return torch.from_numpy(to_unit(open_volume(scan.volume), window))[None, None], open_mask(scan.mask)
