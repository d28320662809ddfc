"""A generated volume with the lung of the foretold size, and the displacement field that made it so.

Along the body all lengths change by one factor, the cube root of that of the volume; across it by one factor a height,
whose square goes in a straight line from the lung's foot to its top, so that both the whole lung and its lowest third
have what is foretold of them. Both are about the lung's centre. The chest around the lung is moved along with it: this
shows how much smaller the lung would be, and not where ribs and diaphragm would lie.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.io.atomic import write_json
from lung4d.io.names import forecast_stem
from lung4d.io.nifti import write_image
from lung4d.io.volumes import open_volume, write_like
from lung4d.ode.volume import VOLUMES
from lung4d.trajectories.files import Grids
from lung4d.trajectories.generate import Generated, to_hu
from lung4d.trajectories.provenance import ForecastOrigin, Placed, sidecar, volume_hash

NARROWEST = 0.2  # of an area across; where a foretold third would need less, all heights get the same factor
STATEMENT = (
    "Synthetic CT, drawn by a model and then resampled so that the lung has the foretold volume, by the displacement "
    "field beside it. The chest around the lung only follows. For research, not for diagnosis."
)


@dataclass(frozen=True)
class Shrinking:
    """centre (3,) in voxels (z, y, x); `along` the body's axis: factor of lengths; `across` (D,): factor of lengths at
    right angles to it, by slice."""

    centre: np.ndarray
    along: float
    across: np.ndarray

    def moved(self, shape: tuple[int, ...]) -> np.ndarray:
        """Where the voxels of a grid go (3, D, H, W), in voxels."""
        place = np.indices(shape, np.float64)
        factors = np.broadcast_to(self.across[:, None, None], shape)
        return np.stack([self.centre[0] + self.along * (place[0] - self.centre[0]), *self._across(place, factors)])

    def origins(self, shape: tuple[int, ...]) -> np.ndarray:
        """Where they come from (3, D, H, W), in voxels."""
        place = np.indices(shape, np.float64)
        from_slice = self.centre[0] + (place[0] - self.centre[0]) / self.along
        factors = 1 / np.interp(from_slice, np.arange(len(self.across)), self.across)
        return np.stack([from_slice, *self._across(place, factors)])

    def _across(self, place: np.ndarray, factors: np.ndarray) -> list[np.ndarray]:
        return [self.centre[axis] + factors * (place[axis] - self.centre[axis]) for axis in (1, 2)]


def shrinking(region: np.ndarray, total: float, lower: float, upwards: bool) -> Shrinking:
    """What gives the lung `region` (D, H, W) `total` times its volume, and its lowest third `lower` times its own.

    upwards: whether slices go from the feet to the head. The third counts slices in part, as
    `biomarkers.measures.lung_volumes` does.
    """
    areas = np.count_nonzero(region, axis=(1, 2)).astype(float)
    held = np.flatnonzero(areas)
    height = (np.arange(len(areas)) - held[0] + 0.5) / (held[-1] - held[0] + 1)
    height = np.clip(height if upwards else 1 - height, 0, 1)
    below = np.clip((1 / 3 - height) * (held[-1] - held[0] + 1) + 0.5, 0, 1) * areas
    along = total ** (1 / 3)
    foot = 1 - height
    sums = [[weight.sum(), (weight * foot).sum()] for weight in (areas, below)]
    wanted = [total * areas.sum() / along, lower * below.sum() / along]
    top, more = np.linalg.solve(sums, wanted)
    squares = top + more * foot
    if squares.min() < NARROWEST:
        squares = np.full(len(areas), along**2)
    return Shrinking(np.argwhere(region).mean(0), along, np.sqrt(squares))


def displacements(how: Shrinking, grid: sitk.Image) -> sitk.Image:
    """The displacement field in mm (LPS, float32) on `grid`: a point p of the generated volume goes to p + u(p)."""
    shape = grid.GetSize()[::-1]
    steps = np.moveaxis(how.moved(shape) - np.indices(shape), 0, -1)[..., ::-1] * grid.GetSpacing()
    turned = steps @ np.array(grid.GetDirection()).reshape(3, 3).T
    field = sitk.GetImageFromArray(turned.astype(np.float32), isVector=True)
    field.CopyInformation(grid)
    return field


def write_shrunk(scan: Generated, forecast: ForecastOrigin, grids: Grids, own: dict[str, float], folder: Path) -> bool:
    """Write `<stem>_desc-shrunk_ct.nii.gz` with its sidecar and `<stem>_from-generated_to-shrunk_xfm.nii.gz`; whether
    there was a volume foretold.

    own: the baseline's volumes in ml, by VOLUMES. The volume as generated lies in `folder` already.
    """
    total, lower = ratios = [scan.bands[name][0] / own[name] for name in VOLUMES]
    if not np.isfinite(ratios).all():
        return False
    upwards = grids.image.GetDirection()[8] > 0
    how = shrinking(grids.region, total, lower, upwards)
    hu = to_hu(scan.volume, grids.region, open_volume(grids.baseline), forecast.window)
    shrunk = ndimage.map_coordinates(hu.astype(np.float32), how.origins(hu.shape), order=1, mode="nearest")
    stem = forecast_stem(forecast.subject, forecast.given, scan.years)
    write_like(shrunk, grids.baseline, folder / f"{stem}_desc-shrunk_ct.nii.gz", forecast.description)
    write_image(displacements(how, grids.image), folder / f"{stem}_from-generated_to-shrunk_xfm.nii.gz")
    told = sidecar(Placed(stem, hu, grids.baseline, grids.session), forecast) | {"statement": STATEMENT}
    of_volumes = {f"{name}_times": round(ratio, 4) for name, ratio in zip(VOLUMES, ratios, strict=True)}
    source = f"{stem}_desc-generated_ct.nii.gz"
    told |= of_volumes | {"generated_volume": source, "generated_volume_sha256": volume_hash(folder / source)}
    write_json(told | {"shrunk_volume_sha256": volume_hash(folder / f"{stem}_desc-shrunk_ct.nii.gz")},
               folder / f"{stem}_desc-shrunk_ct.json")  # fmt: skip
    return True
