"""A chest phantom with known motion for the registration's tests: two textured lungs in a body of water."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

SHAPE = (56, 64, 80)  # z, y, x
SPACING = (3.0, 3.0, 3.0)  # x, y, z, mm
ORIGIN = (-120.0, -96.0, -300.0)


def phantom(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(HU float32, lung labels uint8), (D, H, W): bright blobs in dark lungs, wide enough for a grid of 3 mm."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for label, centre in ((1, -0.42), (2, 0.42)):
        labels[(z / 0.72) ** 2 + (y / 0.62) ** 2 + ((x - centre) / 0.3) ** 2 < 1] = label
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.0)
    lung = -780 + 90 * np.clip(noise / noise.std(), -2.4, 5)
    body = np.where(y**2 + x**2 < 0.9, 40.0, -1000.0)
    return np.where(labels > 0, lung, body).astype(np.float32), labels


def image_of(array: np.ndarray, origin=ORIGIN) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin(origin)
    return image


def moved(array: np.ndarray, transform: sitk.Transform, mask: bool = False) -> sitk.Image:
    """The image after the motion whose inverse (moved to original point) is `transform`, on the same grid."""
    image = image_of(array)
    interpolator = sitk.sitkNearestNeighbor if mask else sitk.sitkBSpline
    out = sitk.Resample(image, image, transform, interpolator, 0.0 if mask else -1000.0)
    return out if mask else sitk.Clamp(out, lowerBound=-1024.0)


def error_in_lung(field: sitk.Image, labels: np.ndarray, back: sitk.Transform) -> np.ndarray:
    """Vectors in mm (n, 3) from lung points to where the field and then the known way back take them."""
    image = image_of(labels)
    forward = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    inside = np.argwhere(ndimage.binary_erosion(labels > 0, iterations=2))[::17]
    points = [image.TransformIndexToPhysicalPoint([int(n) for n in index[::-1]]) for index in inside]
    return np.array([np.subtract(back.TransformPoint(forward.TransformPoint(p)), p) for p in points])
