"""What a scanner makes of a chest: resolution of the reconstruction kernel, slice thickness, noise, whole HU."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lung4d.io.hounsfield import AIR
from lung4d.simulate.anatomy import FIELD_OF_VIEW
from lung4d.simulate.grids import Grid


@dataclass(frozen=True)
class Kernel:
    """In-plane blur (mm, Gaussian sigma), edge enhancement, noise sd range (HU, middle of the chest) and noise grain:
    positive is blurred by that many mm, negative takes that share of the low frequencies away."""

    blur: float
    enhance: float
    noise: tuple[float, float]
    grain: float


KERNELS = {
    "soft": Kernel(1.0, 0.0, (18, 28), 1.1),
    "standard": Kernel(0.65, 0.1, (32, 48), 0.5),
    "sharp": Kernel(0.35, 0.35, (62, 92), -0.6),
}


@dataclass(frozen=True)
class Acquisition:
    """One scan's settings: kernel name, voxel grid, slice thickness mm, noise sd HU (middle of the chest)."""

    kernel: str
    grid: Grid
    thickness: float
    noise: float


def draw_acquisition(kernel: str, spacing: tuple[float, float, float], rng: np.random.Generator) -> Acquisition:
    """Voxels around the usual `spacing` (z, y, x) mm: fields of view and increments differ between visits."""
    plane = spacing[1] * rng.uniform(0.95, 1.05)
    increment = spacing[0] * rng.choice([0.8, 1.0, 1.0, 1.2])
    thickness = increment * rng.choice([1.0, 1.0, 1.25, 1.5])
    grid = Grid.centred(FIELD_OF_VIEW, (float(increment), float(plane), float(plane)))
    return Acquisition(kernel, grid, float(thickness), float(rng.uniform(*KERNELS[kernel].noise)))


def blur(hu: np.ndarray, kernel: str, grid: Grid, thickness: float) -> np.ndarray:
    """Noise-free image as the kernel and the slice profile show it; HU (D, H, W) float32."""
    chosen = KERNELS[kernel]
    overlap = np.sqrt(max(thickness**2 - grid.spacing[0] ** 2, 0) / 12) / grid.spacing[0]
    if overlap > 0:
        hu = ndimage.gaussian_filter1d(hu, overlap, axis=0, truncate=3)
    smooth = _blur_plane(hu, chosen.blur, grid)
    if chosen.enhance:
        smooth = smooth + chosen.enhance * (smooth - _blur_plane(smooth, 1.6, grid))
    return smooth


def noise(shape: tuple[int, int, int], acquisition: Acquisition, rng: np.random.Generator) -> np.ndarray:
    """Noise (D, H, W) HU: grain of the kernel, more in the middle and between the shoulders."""
    grid, grain = acquisition.grid, KERNELS[acquisition.kernel].grain
    white = rng.standard_normal(shape, dtype=np.float32)
    grained = _blur_plane(white, grain, grid) if grain > 0 else white + grain * _blur_plane(white, 1.6, grid)
    overlap = 0.45 * acquisition.thickness / grid.spacing[0]
    grained = ndimage.gaussian_filter1d(grained, overlap, axis=0, truncate=2)
    z, y, x = grid.axes()
    middle = 1.1 - 0.35 * ((x / 160) ** 2 + (y / 130) ** 2)
    level = 1 + 0.5 / (1 + np.exp((95 - z) / 12)) + 0.15 / (1 + np.exp((z + 90) / 12))
    return grained * (np.float32(acquisition.noise) / grained.std()) * middle.astype(np.float32) * level


def acquire(hu: np.ndarray, acquisition: Acquisition, rng: np.random.Generator) -> np.ndarray:
    """The scan, int16 HU clipped at -1024, of the scene `hu` sampled on the acquisition's grid."""
    image = blur(hu, acquisition.kernel, acquisition.grid, acquisition.thickness)
    return measured_hu(image + noise(hu.shape, acquisition, rng))


def measured_hu(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), AIR, 3071).astype(np.int16)


def _blur_plane(volume: np.ndarray, sigma: float, grid: Grid) -> np.ndarray:
    for axis in (1, 2):
        volume = ndimage.gaussian_filter1d(volume, sigma / grid.spacing[axis], axis=axis, truncate=3)
    return volume
