"""What breath did: the coarse map of the local expansion, and the lungs' volume and mass, against known answers."""

import numpy as np
import pytest
import SimpleITK as sitk

from helpers.visit_cases import patient_of
from lung4d.io.names import EXPANSION, STATUS, scan_file
from lung4d.io.nifti import write_image
from lung4d.io.status import Status, write_status
from lung4d.register.expansion import BLOCK, Weighed, expansion_map, log_ratios, weigh_lungs
from lung4d.register.quality import log_jacobian
from lung4d.resample import lung_grid
from lung4d.visits.scans import EncodedScan

OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)


def lungs(direction=OBLIQUE) -> sitk.Image:
    """An ellipsoid of lung, on voxels of 2 x 2 x 3 mm."""
    z, y, x = np.meshgrid(*(np.arange(n) - n / 2 for n in (30, 44, 50)), indexing="ij")
    mask = sitk.GetImageFromArray(((z / 12) ** 2 + (y / 17) ** 2 + (x / 20) ** 2 < 1).astype(np.uint8))
    mask.SetSpacing((2.0, 2.0, 3.0))
    mask.SetOrigin((-40.0, 10.0, -300.0))
    mask.SetDirection(direction)
    return mask


def widened(mask: sitk.Image, factors) -> sitk.Image:
    """The field (mm, LPS, on 3 mm) that stretches the world's x, y and z by `factors`."""
    field = sitk.Image([int(n * s / 3) for n, s in zip(mask.GetSize(), mask.GetSpacing(), strict=True)], sitk.sitkUInt8)
    field.SetSpacing([3.0] * 3)
    field.SetOrigin(mask.GetOrigin())
    field.SetDirection(mask.GetDirection())
    index = np.indices(field.GetSize()[::-1])[::-1].reshape(3, -1)
    places = np.reshape(mask.GetDirection(), (3, 3)) @ (3.0 * index) + np.reshape(mask.GetOrigin(), (3, 1))
    vectors = (places * (np.reshape(factors, (3, 1)) - 1)).T.reshape(*field.GetSize()[::-1], 3)
    found = sitk.GetImageFromArray(vectors.astype(np.float32), isVector=True)
    found.CopyInformation(field)
    return found


@pytest.mark.parametrize("factors", [(1.1, 1.1, 1.1), (1.0, 0.9, 1.2)])
def test_a_uniform_expansion_is_its_logarithm_all_over_the_lung_and_0_around_it(factors):
    mask = lungs()
    grid = lung_grid(mask, (18, 32, 30), 6.0)
    found = expansion_map(log_jacobian(widened(mask, factors), mask), mask, grid)
    values = sitk.GetArrayViewFromImage(found)
    assert values.shape == (5, 8, 8) and values.dtype == np.float32
    padded = np.pad(sitk.GetArrayViewFromImage(grid), [(0, 2), (0, 0), (0, 2)]).reshape(5, BLOCK, 8, BLOCK, 8, BLOCK)
    share = padded.astype(bool).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(values[share > 0.1], np.log(np.prod(factors)), atol=1e-4)
    assert not values[share == 0].any() and values.any()
    # the first voxel lies in the middle of the block that it stands for
    corners = [grid.TransformIndexToPhysicalPoint(index) for index in ([0] * 3, [BLOCK - 1] * 3)]
    assert found.GetOrigin() == pytest.approx(np.mean(corners, axis=0))
    assert found.GetSpacing() == pytest.approx(np.multiply(grid.GetSpacing(), BLOCK))
    assert found.GetDirection() == pytest.approx(grid.GetDirection())


def test_without_motion_all_is_0_to_the_bit():
    mask = lungs()
    still = expansion_map(log_jacobian(widened(mask, (1, 1, 1)), mask), mask, lung_grid(mask, (16, 32, 32), 6.0))
    assert not np.frombuffer(sitk.GetArrayFromImage(still).tobytes(), np.uint8).any()
    scan = sitk.Cast(mask, sitk.sitkInt16) * 150 - 1000
    same = weigh_lungs(scan, mask)
    assert log_ratios(same, same) == {"log_volume_ratio": 0.0, "log_mass_ratio": 0.0}


def test_volume_and_mass_of_lungs_as_they_were_scanned():
    mask = lungs()
    lung = sitk.GetArrayViewFromImage(mask) > 0
    scan = sitk.GetImageFromArray(np.where(lung, -750, 40).astype(np.int16))
    weighed = weigh_lungs(scan, mask)
    assert weighed.volume_ml == pytest.approx(lung.sum() * 12 / 1000)
    assert weighed.mass_g == pytest.approx(0.25 * weighed.volume_ml)
    # pressed together to 0.8 of its volume at the same mass
    ratios = log_ratios(Weighed(0.8 * weighed.volume_ml, weighed.mass_g), weighed)
    assert ratios == {"log_volume_ratio": pytest.approx(np.log(0.8)), "log_mass_ratio": pytest.approx(0.0)}
    assert log_ratios(Weighed(100.0, -1.0), weighed)["log_mass_ratio"] is None


def test_a_patients_visits_read_the_maps_and_ratios(tmp_path):
    scans = []
    for number, ratio in (("01", 0.0), ("02", 0.1)):
        image = sitk.GetImageFromArray(np.full((2, 3, 4), ratio, np.float32))
        write_image(image, scan_file(tmp_path, "1", number, EXPANSION))
        status = Status(True, "resample", metrics={"log_volume_ratio": ratio})
        write_status(status, scan_file(tmp_path, "1", number, STATUS))
        volume = scan_file(tmp_path, "1", number, "desc-preproc_ct.nii")
        scans.append(EncodedScan("1", number, 0.0, "train", "", volume, volume, volume))
    visits = patient_of("1", "train", [0.0, 1.0], (-1000.0, 500.0))
    visits = type(visits)(tuple(scans), scans[0], visits.window)
    assert visits.expansion.shape == (2, 2, 3, 4) and visits.expansion.dtype == np.float32
    assert not visits.expansion[0].any() and (visits.expansion[1] == np.float32(0.1)).all()
    assert visits.log_volume_ratios.tolist() == [0.0, 0.1]
