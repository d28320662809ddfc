"""A thorax with known lungs: two ellipsoids with trachea, vessels, a dense subpleural patch, table and bowel gas."""

import numpy as np
import SimpleITK as sitk

AIR, LUNG, SOFT, DENSE, BONE = -1000.0, -850.0, 40.0, 20.0, 500.0
CENTRES = {1: (-62.0, 0.0, 0.0), 2: (62.0, 0.0, 0.0)}  # x, y, z of the right and the left lung, mm
RADII = (48.0, 72.0, 95.0)


def coordinates(spacing: tuple[float, float, float]) -> tuple[np.ndarray, ...]:
    """x, y, z (mm) of every voxel of a 330 x 260 x 280 mm field of view, as (z, y, x) arrays."""
    z, y, x = (
        (np.arange(round(extent / s)) + 0.5) * s - extent / 2
        for extent, s in zip((280, 260, 330), spacing[::-1], strict=True)
    )
    return x[None, None, :], y[None, :, None], z[:, None, None]


def ellipsoid(at, centre, radii):
    return sum(((a - c) / r) ** 2 for a, c, r in zip(at, centre, radii, strict=True)) < 1


def thorax(
    spacing: tuple[float, float, float] = (1.6, 1.6, 2.5),
    sides: tuple[int, ...] = (1, 2),
    touching: bool = False,
    rim: bool = True,
    gas: bool = True,
    noise: float = 20.0,
    lung: float = LUNG,
) -> tuple[sitk.Image, np.ndarray]:
    """The scan (int16 HU) and its true labels (z, y, x): 1 right, 2 left lung.

    touching: a bridge of lung joins both in front of the heart. rim: bands of consolidation below the pleura at the
    back, 8 mm deep and 16 mm high. gas: bubbles of bowel and stomach, the nearest 6 mm below a lung.
    """
    at = x, y, z = coordinates(spacing)
    hu = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), AIR)
    hu[((x / 150) ** 2 + (y / 112) ** 2 < 1) & (z < 1000)] = SOFT
    ribs = (np.abs(np.hypot(x / 1.36, y) - 96) < 3) & (np.abs((z + 140) % 24 - 12) < 5)
    hu[ribs & (hu == SOFT)] = BONE
    hu[(np.hypot(x, y - 85) < 18) & (hu > AIR)] = BONE
    truth = np.zeros(hu.shape, np.uint8)
    for side in sides:
        truth[ellipsoid(at, CENTRES[side], RADII)] = side
    if touching:
        bridge = (np.abs(x) < 20) & (np.abs(y + 30) < 6) & (np.abs(z - 20) < 30) & (truth == 0)
        truth[bridge & (x < 0)], truth[bridge & (x >= 0)] = 1, 2
    hu[truth > 0] = lung
    for side in sides:  # hilar vessels, and a dense patch below the pleura
        centre = CENTRES[side]
        hu[(np.hypot(y - 5, z - 5) < 5) & (np.abs(x - centre[0]) < 30) & (truth == side)] = SOFT
        if rim:
            inner = ellipsoid(at, centre, tuple(r - 8 for r in RADII))
            patch = (np.abs(z + 35) < 8) & (y > 20)
            hu[(truth == side) & ~inner & patch] = DENSE
    trachea = (np.hypot(x, y - 10) < 8) & (z > 20)
    hu[(np.hypot(x, y - 10) < 10) & (z > 20) & (truth == 0)] = SOFT
    hu[trachea] = -990
    for side in sides:  # main bronchi, into the lungs
        tube = np.hypot(y - 10, z - (26 - 0.4 * np.abs(x))) < 5
        hu[tube & (np.sign(x) == np.sign(CENTRES[side][0])) & (np.abs(x) < 45)] = -980
        truth[tube & (np.abs(x) < 20)] = 0
    if gas:
        hu[ellipsoid(at, (62, -10, -118), (25, 25, 17))] = -1000
        hu[ellipsoid(at, (-10, -40, -120), (14, 14, 14))] = -1000
    hu[np.broadcast_to((np.abs(y - 122) < 3) & (np.abs(x) < 160), hu.shape)] = -200
    hu += np.random.default_rng(0).normal(0, noise, hu.shape)
    image = sitk.GetImageFromArray(np.clip(np.rint(hu), -1024, 3000).astype(np.int16))
    image.SetSpacing(spacing)
    image.SetOrigin((float(x.flat[0]), float(y.flat[0]), float(z.flat[0])))
    return image, truth


def barrel(depth: float = 0.0, filling: float = DENSE, spacing: tuple[float, float, float] = (2.0, 2.0, 2.0)):
    """A round chest whose lungs end 5 mm inside its ribs: the scan (int16 HU), its true labels and a band of the lung.

    The band lies below the ribs at the back and the flanks, `depth` mm deep, 80 mm high, and holds `filling` (HU).
    """
    x, y, z = coordinates(spacing)
    radius = np.hypot(x, y)
    hu = np.where((radius < 124) & (z < 1000), SOFT, AIR)
    ribs = (np.abs(radius - 103) < 3) & (np.abs((z + 140) % 26 - 13) < 6)
    hu[ribs | ((np.hypot(x, y - 85) < 18) & (z < 1000))] = BONE
    lung = (radius < 95) & (np.abs(x) > 20) & (np.hypot(x, y - 85) > 24) & (np.abs(z) < 100)
    truth = np.where(lung, np.where(x < 0, 1, 2), 0).astype(np.uint8)
    hu[lung] = LUNG
    band = lung & (radius > 95 - depth) & (y > -20) & (np.abs(z) < 40)
    hu[band] = filling
    hu += np.random.default_rng(0).normal(0, 20, hu.shape)
    image = sitk.GetImageFromArray(np.rint(hu).astype(np.int16))
    image.SetSpacing(spacing)
    image.SetOrigin((float(x.flat[0]), float(y.flat[0]), float(z.flat[0])))
    return image, truth, band
