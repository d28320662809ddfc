"""Between SimpleITK's world and the isotropic arrays: the working grid, sampling onto it, and the ITK displacement
field."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from lung4d.io.hounsfield import AIR
from lung4d.register.align import Affine
from lung4d.register.fields import compose, invert, jacobian

HIGHEST_HU = 1000.0  # metal above
WIDEST_FIELD_SPACING = 3.0  # mm


@dataclass(frozen=True)
class Grid:
    """A regular grid in the world: first voxel's centre (LPS mm), voxel size (x, y, z) mm, count (x, y, z), axes as
    columns."""

    origin: np.ndarray
    spacing: np.ndarray
    size: np.ndarray
    direction: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, H, W) of an array on this grid."""
        return tuple(int(n) for n in self.size[::-1])

    def sample(self, image: sitk.Image, transform: sitk.Transform, interpolator: int, default: float) -> np.ndarray:
        """Values of `image` on this grid through `transform` (grid point to image point), (D, H, W)."""
        resampled = sitk.Resample(
            image, [int(n) for n in self.size], transform, interpolator,
            self.origin.tolist(), self.spacing.tolist(), self.direction.ravel().tolist(), default,
        )  # fmt: skip
        return sitk.GetArrayFromImage(resampled)

    def points(self) -> np.ndarray:
        """World points of the voxel centres, float64 (D, H, W, 3), (x, y, z)."""
        axes = [self.direction[:, a] * self.spacing[a] for a in range(3)]
        z, y, x = (np.arange(n, dtype=np.float64) for n in self.shape)
        return (
            self.origin
            + z[:, None, None, None] * axes[2]
            + y[None, :, None, None] * axes[1]
            + x[None, None, :, None] * axes[0]
        )

    def to_world(self, field: np.ndarray) -> np.ndarray:
        """A field in voxels (z, y, x) as vectors in mm (x, y, z) of the world."""
        return (field[..., ::-1] * self.spacing.astype(np.float32)) @ self.direction.T.astype(np.float32)


def grid_of(image: sitk.Image) -> Grid:
    return Grid(
        np.array(image.GetOrigin()),
        np.array(image.GetSpacing()),
        np.array(image.GetSize()),
        np.array(image.GetDirection()).reshape(3, 3),
    )


def registration_grid(
    baseline: sitk.Image, followup: sitk.Image, alignment: Affine, spacing: float, margin: float
) -> Grid:
    """An isotropic grid along the baseline's axes around both lung masks, the follow-up's brought over, plus `margin`
    mm."""
    axes = grid_of(baseline).direction
    ours = _mask_corners(baseline) @ axes
    theirs = alignment.inverse()(_mask_corners(followup)) @ axes
    low = np.minimum(ours.min(0), theirs.min(0)) - margin
    high = np.maximum(ours.max(0), theirs.max(0)) + margin
    size = np.maximum(np.ceil((high - low) / spacing).astype(int) + 1, 16)
    return Grid(axes @ low, np.full(3, float(spacing)), size, axes)


def field_grid(baseline: sitk.Image, spacing: float) -> Grid:
    """The grid of the written field: at most `spacing` (and 3 mm) wide, over the whole of the baseline's voxels."""
    spacing = min(spacing, WIDEST_FIELD_SPACING)
    native = grid_of(baseline)
    extent = native.size * native.spacing
    size = np.maximum(np.ceil(extent / spacing).astype(int) + 1, 2)
    step = extent / (size - 1)
    return Grid(native.origin - native.direction @ (native.spacing / 2), step, size, native.direction)


def sample_scan(image: sitk.Image, grid: Grid, transform: sitk.Transform) -> np.ndarray:
    """A scan in HU on the working grid, float32: clipped, low-passed to the grid's spacing, linear."""
    image = sitk.Clamp(image, sitk.sitkFloat32, AIR, HIGHEST_HU)
    spacing = np.array(image.GetSpacing())
    # blur that a voxel of the grid has more than one of the scan, as a box has (standard deviation = width / sqrt(12))
    sigma = np.sqrt(np.maximum(float(grid.spacing[0]) ** 2 - spacing**2, 0) / 12)
    for axis, (blur, step) in enumerate(zip(sigma, spacing, strict=True)):
        if blur > 0.3 * step:
            image = _blur_along(image, axis, float(blur / step))
    return grid.sample(image, transform, sitk.sitkLinear, AIR)


def sample_mask(mask: sitk.Image, grid: Grid, transform: sitk.Transform) -> np.ndarray:
    """A mask (non-zero = lung) on the grid, bool: at least half full."""
    soft = grid.sample(sitk.Cast(mask > 0, sitk.sitkFloat32), transform, sitk.sitkLinear, 0.0)
    return soft >= 0.5


def displacement_field(
    baseline: sitk.Image, grid: Grid, field: np.ndarray, alignment: Affine, spacing: float
) -> sitk.Image:
    """The ITK displacement field (float32 vectors, LPS mm) of "first `field` on `grid`, then `alignment`".

    It lies on `field_grid`; where that leaves the working grid, the field continues with its border values.
    """
    target = field_grid(baseline, spacing)
    points = target.points()
    return vector_image((alignment(_moved(points, grid, field)) - points).astype(np.float32), target)


def inverse_displacement_field(
    followup: sitk.Image, grid: Grid, field: np.ndarray, alignment: Affine, spacing: float
) -> sitk.Image:
    """The way back, follow-up to baseline, over the whole of the follow-up: the inverse of `displacement_field` with
    the same `field` and `alignment`.

    The field is inverted at half the resolution of `grid`, which is that of the written fields.
    """
    half = Grid(grid.origin, 2 * grid.spacing, (grid.size + 1) // 2, grid.direction)
    back = invert(np.ascontiguousarray(field[::2, ::2, ::2]) / 2)
    target = field_grid(followup, spacing)
    points = target.points()
    return vector_image((_moved(alignment.inverse()(points), half, back) - points).astype(np.float32), target)


def _moved(points: np.ndarray, grid: Grid, field: np.ndarray) -> np.ndarray:
    """World points (D, H, W, 3) after `field`, voxels of `grid`, border values continued."""
    index = (points - grid.origin) @ grid.direction / grid.spacing
    # as a displacement from a grid of zeros: composing samples `field` anywhere
    nodes = np.stack(np.meshgrid(*(np.arange(n) for n in points.shape[:3]), indexing="ij"), axis=-1)
    away = np.ascontiguousarray(index[..., ::-1] - nodes, dtype=np.float32)
    return points + grid.to_world(compose(field, away) - away)


def identity_field(baseline: sitk.Image, spacing: float) -> sitk.Image:
    """The field that leaves every point where it is."""
    target = field_grid(baseline, spacing)
    return vector_image(np.zeros((*target.shape, 3), dtype=np.float32), target)


def vector_image(vectors: np.ndarray, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(vectors, dtype=np.float32), isVector=True)
    image.SetOrigin(grid.origin.tolist())
    image.SetSpacing(grid.spacing.tolist())
    image.SetDirection(grid.direction.ravel().tolist())
    return image


def field_jacobian(field: sitk.Image) -> np.ndarray:
    """Determinant of the Jacobian of p + u(p) for an ITK displacement field, (D, H, W); right for oblique grids too."""
    grid = grid_of(field)
    along = sitk.GetArrayFromImage(field) @ grid.direction / grid.spacing
    return jacobian(np.ascontiguousarray(along[..., ::-1], dtype=np.float32))


def crop_to_mask(image: sitk.Image, mask: sitk.Image, margin: float) -> sitk.Image:
    """The part of `image` around the non-zero part of `mask` (same grid), `margin` mm more."""
    inside = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
    extra = np.ceil(margin / np.array(image.GetSpacing())).astype(int)
    low = np.maximum(inside.min(0) - extra, 0)
    high = np.minimum(inside.max(0) + extra + 1, image.GetSize())
    return sitk.RegionOfInterest(image, (high - low).tolist(), low.tolist())


def _blur_along(image: sitk.Image, axis: int, sigma: float) -> sitk.Image:
    """Gaussian blur along one axis of the grid, sigma in voxels."""
    variance = [0.0] * 3
    variance[axis] = sigma**2
    return sitk.DiscreteGaussian(image, variance, 32, 0.01, False)


def _mask_corners(mask: sitk.Image) -> np.ndarray:
    """World points of the mask's outermost voxels along each axis: their hull's box is the mask's."""
    lung = sitk.GetArrayViewFromImage(mask) > 0
    inside = np.argwhere(lung)
    ends = np.concatenate([inside[[inside[:, a].argmin(), inside[:, a].argmax()]] for a in range(3)])
    low, high = ends.min(0), ends.max(0)
    corners = np.array([[x, y, z] for x in (low[2], high[2]) for y in (low[1], high[1]) for z in (low[0], high[0])])
    grid = grid_of(mask)
    return corners * grid.spacing @ grid.direction.T + grid.origin
