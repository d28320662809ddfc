"""Distance to the surface of a region of which each voxel holds a known share: finer than the voxels."""

import numpy as np
from scipy import ndimage


def signed_distance(share: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Distance to the surface, negative inside, float32, in the units of `spacing` (z, y, x).

    share: (D, H, W) in [0, 1], of each voxel that lies inside, neither all empty nor all full. Next to the surface the
    share says where in the voxel it runs.
    """
    inside = share >= 0.5
    outward = ndimage.distance_transform_edt(~inside, sampling=spacing)
    distance = outward - ndimage.distance_transform_edt(inside, sampling=spacing)
    step = float(np.mean(spacing))
    near = np.abs(distance) <= 1.01 * max(spacing)
    return np.where(near, (0.5 - share) * step, distance - 0.5 * step * np.sign(distance)).astype(np.float32)
