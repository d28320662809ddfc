"""Resampling: the grid, the low-pass, and one sampling through the field, against known answers."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from helpers.scripts import run_script
from lung4d import resample
from lung4d.io import volumes
from lung4d.io.names import CT, LUNG_MASK, scan_file
from lung4d.io.nifti import write_image
from lung4d.io.status import Status, read_status, write_status
from lung4d.register.quality import log_jacobian

OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def image_of(array, spacing=(1.5, 1.5, 2.0), origin=(-40.0, 10.0, -300.0), direction=AXIAL) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def noise_scan(seed=0, shape=(30, 40, 44), **geometry) -> sitk.Image:
    return image_of(np.random.default_rng(seed).integers(-1000, 200, shape).astype(np.int16), **geometry)


def box_mask(shape=(30, 40, 44), box=np.s_[8:22, 10:30, 6:36], **geometry) -> sitk.Image:
    mask = np.zeros(shape, np.uint8)
    mask[box] = 1
    mask[:, :, shape[2] // 2 :] *= 2
    return image_of(mask, **geometry)


def field_of(displacement, like: sitk.Image, step=3.0) -> sitk.Image:
    """A constant displacement (x, y, z mm) on a grid of `step` mm over `like`."""
    size = [int(n * s / step) for n, s in zip(like.GetSize(), like.GetSpacing(), strict=True)]
    field = np.broadcast_to(np.float32(displacement), (*size[::-1], 3)).copy()
    image = sitk.GetImageFromArray(field, isVector=True)
    image.SetSpacing([step] * 3)
    image.SetOrigin(like.GetOrigin())
    image.SetDirection(like.GetDirection())
    return image


@pytest.mark.parametrize("direction", [AXIAL, OBLIQUE])
def test_grid_is_the_lung_box_and_margin(direction):
    mask = box_mask(direction=direction)
    grid = resample.lung_grid(mask, (16, 24, 32), margin=6.0)
    assert grid.GetSize() == (32, 24, 16) and grid.GetDirection() == pytest.approx(direction)
    # lung x voxels 6..35, y 10..29, z 8..21, plus 4, 4 and 3 voxels of margin
    extent = [32 * grid.GetSpacing()[0], 24 * grid.GetSpacing()[1], 16 * grid.GetSpacing()[2]]
    assert extent == pytest.approx([(30 + 8) * 1.5, (20 + 8) * 1.5, (14 + 6) * 2.0])
    corner = mask.TransformContinuousIndexToPhysicalPoint((1.5, 5.5, 4.5))
    assert grid.TransformContinuousIndexToPhysicalPoint((-0.5, -0.5, -0.5)) == pytest.approx(corner, abs=1e-9)


def test_grid_ends_with_the_scan_and_can_be_the_whole_scan():
    mask = box_mask()
    wide = resample.lung_grid(mask, (16, 24, 32), margin=500.0)
    whole = resample.lung_grid(mask, (16, 24, 32), margin=None)
    assert wide.GetOrigin() == pytest.approx(whole.GetOrigin()) and wide.GetSpacing() == pytest.approx(
        whole.GetSpacing()
    )
    native = resample.lung_grid(mask, (30, 40, 44), margin=None)
    assert (sitk.GetArrayViewFromImage(native) == sitk.GetArrayViewFromImage(mask)).all()
    with pytest.raises(ValueError, match="empty"):
        resample.lung_grid(mask * 0, (16, 24, 32), 10.0)


def test_lowpass_width_by_its_formula():
    scan = noise_scan()
    coarse = resample.lung_grid(box_mask(), (10, 20, 44), margin=None)  # spacing z 6, y 3, x 1.5 mm
    sigma = resample.lowpass_sigma(scan, coarse)
    expected = np.sqrt([0, 3.0**2 - 1.5**2, 6.0**2 - 2.0**2]) / 2.3548
    assert sigma == pytest.approx(expected, rel=1e-4)
    turned = noise_scan(direction=(0, 1, 0, -1, 0, 0, 0, 0, 1))  # x and y of the scan change places
    assert resample.lowpass_sigma(turned, coarse) == pytest.approx(expected[[1, 0, 2]], rel=1e-4)
    fine = resample.lung_grid(box_mask(), (60, 80, 88), margin=None)
    assert (resample.lowpass_sigma(scan, fine) == 0).all()
    assert (sitk.GetArrayFromImage(resample.lowpass(scan, np.zeros(3))) == sitk.GetArrayFromImage(scan)).all()


def test_lowpass_of_a_gaussian_is_the_wider_gaussian():
    """Blob of sigma 4 mm through a low-pass of sigma 3 mm: sigma 5 mm, its height down by (4/5)^3."""
    z, y, x = np.meshgrid(*((np.arange(n) - n // 2) for n in (41, 61, 61)), indexing="ij")
    squared = (2.0 * z) ** 2 + (1.5 * y) ** 2 + (1.5 * x) ** 2
    blob = image_of((1000 * np.exp(-squared / 32)).astype(np.float32))
    found = sitk.GetArrayFromImage(resample.lowpass(blob, np.array([3.0, 3.0, 3.0])))
    assert found == pytest.approx(1000 * (4 / 5) ** 3 * np.exp(-squared / 50), abs=1.5)


def test_translation_by_whole_voxels_is_exact():
    """A follow-up whose content lies 3, -2 and 1 voxels away comes back voxel for voxel."""
    big = np.random.default_rng(1).integers(-1000, 200, (40, 50, 54)).astype(np.int16)
    baseline = image_of(big[5:35, 5:45, 5:49])
    moved = image_of(big[4:34, 7:47, 2:46])  # content appears at index + (3, -2, 1) in x, y, z
    field = field_of((3 * 1.5, -2 * 1.5, 1 * 2.0), baseline)
    mask = box_mask()
    done = resample.resample_visit(moved, field, baseline, mask, (30, 40, 44), None)
    assert (sitk.GetArrayViewFromImage(done.volume) == sitk.GetArrayViewFromImage(baseline)).all()
    assert done.outside == 0
    assert (sitk.GetArrayViewFromImage(done.mask) == sitk.GetArrayViewFromImage(mask)).all()


@pytest.mark.parametrize("direction", [AXIAL, OBLIQUE])
def test_self_registration_is_bit_equal(direction):
    """The baseline, and a scan registered to itself (a field of zeros on any grid), give the same bytes."""
    scan, mask = noise_scan(direction=direction), box_mask(direction=direction)
    results = [
        resample.resample_visit(scan, field_of((0, 0, 0), scan, step), scan, mask, (20, 24, 28), 5.0)
        for step in (3.0, 2.3)
    ]
    alone = resample.sample(scan, None, resample.lung_grid(mask, (20, 24, 28), 5.0))
    for done in results:
        assert (sitk.GetArrayViewFromImage(done.volume) == sitk.GetArrayViewFromImage(alone)).all()


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 1.0), (0.8, 0.8, 3.0)])
def test_texture_does_not_tell_a_follow_up(spacing):
    """The spectrum of white noise is the same whether it came through a field or not: in each of four bands."""
    shape = (120, 100, 104) if spacing[2] == 1.0 else (40, 100, 104)
    noise = image_of(np.random.default_rng(3).normal(-800, 100, shape).astype(np.int16), spacing=spacing)
    mask = image_of(np.ones(shape, np.uint8), spacing=spacing)
    grid = resample.lung_grid(mask, (32, 48, 48), None)
    spectra = []
    for displacement in (None, (0.37, -0.21, 0.6), (1.1, 2.3, -0.9)):
        field = None if displacement is None else field_of(displacement, noise)
        values = sitk.GetArrayFromImage(resample.sample(noise, field, grid))[4:-4, 4:-4, 4:-4].astype(float)
        power = np.abs(np.fft.fftn(values - values.mean())) ** 2
        radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(*map(np.fft.fftfreq, values.shape), indexing="ij")))
        bands = np.digitize(radius, (0.1, 0.2, 0.3, 0.5))
        spectra.append([power[bands == band].mean() for band in range(4)])
    np.testing.assert_allclose(spectra[1:], [spectra[0]] * 2, rtol=0.12)


def test_a_linear_ramp_is_sampled_at_the_displaced_points():
    """HU = 2 x + y - 3 z in the follow-up's world, an oblique baseline, a field that varies: one linear sampling."""
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip((60, 60, 60), (2, 2, 2), strict=True)), indexing="ij")
    scan = image_of((2 * (x - 60) + (y - 60) - 3 * (z - 60)).astype(np.float32), (2.0,) * 3, (-60.0, -60.0, -60.0))
    baseline = noise_scan(origin=(-25.0, -20.0, -25.0), direction=OBLIQUE)
    mask = box_mask(origin=(-25.0, -20.0, -25.0), direction=OBLIQUE)
    field = field_of((0, 0, 0), baseline)
    values = sitk.GetArrayFromImage(field)
    values[..., 0] = np.linspace(-6, 6, values.shape[0])[:, None, None]  # x displacement grows with z
    bent = sitk.GetImageFromArray(values, isVector=True)
    bent.CopyInformation(field)
    grid = resample.lung_grid(mask, (30, 40, 44), 0.0)
    found = sitk.GetArrayFromImage(resample.sample(scan, bent, grid))
    for index in [(5, 5, 5), (30, 20, 12), (40, 35, 25)]:
        point = np.array(grid.TransformIndexToPhysicalPoint(index))
        depth = field.TransformPhysicalPointToContinuousIndex(point)[2]
        moved = point + [np.interp(depth, np.arange(values.shape[0]), values[:, 0, 0, 0]), 0, 0]
        assert found[index[::-1]] == pytest.approx(moved @ [2, 1, -3], abs=1.5)


def test_outside_the_lung_is_the_baseline_and_lung_beyond_the_scan_is_counted():
    baseline, visit, mask = noise_scan(0), noise_scan(1), box_mask()
    done = resample.resample_visit(visit, field_of((0, 0, 0), baseline), baseline, mask, (30, 40, 44), None)
    volume, lung = sitk.GetArrayViewFromImage(done.volume), sitk.GetArrayViewFromImage(mask) > 0
    assert (volume[~lung] == sitk.GetArrayViewFromImage(baseline)[~lung]).all()
    assert (volume[lung] == sitk.GetArrayViewFromImage(visit)[lung]).all()
    # lung slices 8..21 (14 of them); the visit has lost what lies above its slice 14
    short = visit[:, :, :15]
    done = resample.resample_visit(short, field_of((0, 0, 0), baseline), baseline, mask, (30, 40, 44), None)
    assert done.outside == pytest.approx(7 / 14, abs=0.001)
    volume = sitk.GetArrayViewFromImage(done.volume)
    assert (volume[21][lung[21]] == sitk.GetArrayViewFromImage(visit)[14][lung[21]]).all()  # nearest voxel


def scripted(folder, direction, ok=True):
    scan, mask = noise_scan(direction=direction), box_mask(direction=direction)
    field = field_of((0, 0, 0), scan)
    made = {"ct": scan, "own_mask": mask, "field": field, "log_jacobian": log_jacobian(field, mask)}
    for name, image in made.items():
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    status = Status(ok, "register", "" if ok else "No lungs found.", metrics={"baseline": "01"})
    write_status(status, folder / "registered.json")
    inputs = {name: folder / f"{name}.nii.gz" for name in made}
    inputs |= {"status": folder / "registered.json"}
    folders = {"convert": folder / "convert", "segment": folder / "segment"}
    for name, image, ending in (("convert", scan, CT), ("segment", mask, LUNG_MASK)):
        write_image(image, scan_file(folders[name], "001", "01", ending))
    outputs = {"volume": folder / "v.nii", "mask": folder / "m.nii.gz", "status": folder / "s.json"}
    outputs |= {"expansion": folder / "e.nii.gz"}
    params = {"shape": [16, 20, 24], "field_of_view": "lung", "margin": 5.0, "folders": folders}
    run_script("resample", inputs, outputs, params, folder / "log", subject="001", session="02")
    return mask, outputs


@pytest.mark.parametrize("direction", [AXIAL, OBLIQUE])
def test_script_writes_a_memory_map_at_the_right_place(tmp_path, direction):
    mask, outputs = scripted(tmp_path, direction)
    volume = volumes.open_volume(outputs["volume"])
    base = volume
    while not isinstance(base, np.memmap) and base.base is not None:
        base = base.base
    assert isinstance(base, np.memmap) and volume.dtype == np.int16 and volume.shape == (16, 20, 24)
    assert volume.flags["C_CONTIGUOUS"]
    raw = np.frombuffer(outputs["volume"].read_bytes()[352:], "<i2").reshape(16, 20, 24)
    assert (volume == raw).all()
    image = sitk.ReadImage(str(outputs["volume"]))
    assert (sitk.GetArrayViewFromImage(image) == volume).all()
    grid = resample.lung_grid(mask, (16, 20, 24), 5.0)
    for index in [(0, 0, 0), (23, 19, 15), (3, 11, 7)]:
        ras = volumes.read_affine(outputs["volume"]) @ [*index, 1]
        expected = grid.TransformIndexToPhysicalPoint(index)
        assert (-ras[0], -ras[1], ras[2]) == pytest.approx(expected, abs=2e-3)
        assert image.TransformIndexToPhysicalPoint(index) == pytest.approx(expected, abs=2e-3)
    assert volumes.open_mask(outputs["mask"]).shape == volume.shape
    assert nib.load(outputs["mask"]).get_data_dtype() == np.uint8
    done = read_status(outputs["status"])
    assert done.ok and done.metrics["log_volume_ratio"] == done.metrics["log_mass_ratio"] == 0.0
    expansion = volumes.open_volume(outputs["expansion"])
    assert expansion.shape == (4, 5, 6) and not expansion.any()


def test_script_hands_on_a_failure(tmp_path):
    _, outputs = scripted(tmp_path, AXIAL, ok=False)
    status = read_status(outputs["status"])
    assert (status.ok, status.stage, status.reason) == (False, "register", "No lungs found.")
    assert not any(outputs[name].read_bytes() for name in ("volume", "mask", "expansion"))
