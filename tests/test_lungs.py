"""Segmentation against phantoms with known lungs; refusals; users' masks; the network's wrapper; quality numbers."""

import hashlib

import numpy as np
import pytest
import SimpleITK as sitk

from helpers.scripts import run_script
from helpers.thorax_phantom import barrel, coordinates, ellipsoid, thorax
from lung4d.io import masks as morphology
from lung4d.io.status import Status, UnusableScan, read_status, write_status
from lung4d.segment import masks, network, quality


def dice(found, truth) -> float:
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def labels_of(scan: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(masks.segment_by_intensity(scan).mask)


@pytest.mark.parametrize(
    "spacing",
    [(1.6, 1.6, 2.5), (1.0, 1.0, 5.0), (4.0, 4.0, 4.0), pytest.param((0.7, 0.7, 1.0), marks=pytest.mark.slow)],
)
def test_both_lungs_with_their_dense_patches(spacing):
    scan, truth = thorax(spacing)
    found = labels_of(scan)
    for side in (1, 2):
        assert dice(found == side, truth == side) > (0.97 if max(spacing) < 4 else 0.95)
    x, y, z = coordinates(spacing)
    assert found[(np.hypot(x, y - 10) < 6) & (z > 30)].max() == 0  # trachea
    assert found[np.broadcast_to(z < -100, found.shape)].max() == 0  # bowel and stomach
    assert found[np.broadcast_to(y > 112, found.shape)].max() == 0  # table


def test_dense_disease_below_the_pleura_is_kept():
    spacing = (1.6, 1.6, 2.5)
    scan, truth = thorax(spacing)
    patch = (sitk.GetArrayFromImage(scan) > -200) & (truth > 0)
    assert (labels_of(scan)[patch] > 0).mean() > 0.65
    healthy, _ = thorax(spacing, rim=False)
    assert labels_of(healthy)[truth == 0].sum() < 0.01 * (truth > 0).sum()  # ribs and wall are not swallowed


@pytest.mark.parametrize(("depth", "share"), [(8, 0.78), (12, 0.83)])
def test_a_wide_consolidated_band_below_the_ribs_is_kept(depth, share):
    scan, truth, band = barrel(depth)
    found = labels_of(scan)
    assert (found[band] > 0).mean() > share
    assert dice(found == 1, truth == 1) > 0.985 and dice(found == 2, truth == 2) > 0.985
    assert (found[(truth == 0)] > 0).sum() < 0.01 * (truth > 0).sum()


@pytest.mark.parametrize("depth", [0, 10])
def test_a_healthy_lung_does_not_grow_to_the_ribs_nor_through_fat(depth):
    scan, truth, fat = barrel(depth, filling=-105.0)
    found = labels_of(scan) > 0
    lung = (truth > 0) & ~fat
    assert (found & ~lung).sum() < 0.01 * lung.sum()


def test_ground_glass_lungs_are_lungs():
    scan, truth = thorax(lung=-560.0, rim=False)
    assert dice(labels_of(scan) > 0, truth > 0) > 0.97


def test_touching_lungs_are_told_apart():
    scan, truth = thorax(touching=True)
    found = labels_of(scan)
    assert dice(found == 1, truth == 1) > 0.96 and dice(found == 2, truth == 2) > 0.96
    middle = np.broadcast_to(np.abs(coordinates((1.6, 1.6, 2.5))[0]) > 25, found.shape)
    assert (found[(truth > 0) & (found > 0) & middle] == truth[(truth > 0) & (found > 0) & middle]).all()


@pytest.mark.parametrize("side", [1, 2])
def test_a_single_lung_has_its_side(side):
    scan, truth = thorax(sides=(side,))
    found = masks.segment_by_intensity(scan)
    assert found.flags == []
    assert dice(sitk.GetArrayFromImage(found.mask) == side, truth == side) > 0.96
    # a field of view of this half alone, with padding around it
    half = np.s_[: scan.GetWidth() // 2 - 8] if side == 1 else np.s_[scan.GetWidth() // 2 + 8 :]
    narrow = scan[half, :, :]
    found = masks.segment_by_intensity(narrow)
    assert found.flags == [masks.GUESSED_SIDE]
    assert dice(sitk.GetArrayFromImage(found.mask) == side, (truth == side)[:, :, half]) > 0.95


def test_oblique_axes_change_nothing():
    scan, _ = thorax((4.0, 4.0, 4.0))
    straight = labels_of(scan)
    scan.SetDirection((0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0))
    assert (labels_of(scan) == straight).all()


def water_phantom():
    x, y, z = coordinates((3.0, 3.0, 3.0))
    hu = np.where((np.hypot(x, y) < 100) & (np.abs(z) < 1000), 0.0, -1000.0)
    hu[ellipsoid((x, y, z), (0, -85, 0), (20, 10, 20))] = -1000  # its filling bubble
    return hu


BAD = {
    "noise": np.random.default_rng(0).normal(0, 400, (60, 80, 80)),
    "uniform noise": np.random.default_rng(0).uniform(-1000, 1000, (60, 80, 80)),
    "smooth noise": np.kron(np.random.default_rng(0).normal(-300, 500, (12, 16, 16)), np.ones((5, 5, 5))),
    "water": water_phantom(),
    "air": np.full((40, 60, 60), -1000.0) + np.random.default_rng(0).normal(0, 10, (40, 60, 60)),
    "tissue": np.full((40, 60, 60), 40.0) + np.random.default_rng(0).normal(0, 10, (40, 60, 60)),
    "one slice of air": np.where(np.arange(40)[:, None, None] == 20, -1000.0, 40.0) + np.zeros((40, 60, 60)),
}


@pytest.mark.parametrize("name", BAD)
def test_scans_without_lungs_are_refused_in_a_sentence(name):
    scan = sitk.GetImageFromArray(np.clip(BAD[name], -1024, 3000).astype(np.int16))
    scan.SetSpacing((3.0, 3.0, 3.0))
    with pytest.raises(UnusableScan, match=r"^(No lungs found|The lungs found hold).*\.$|\?$"):
        found = masks.segment_by_intensity(scan)
        quality.check(quality.quality(scan, found.mask), 300, 12000)


@pytest.mark.parametrize("labels", [(1, 1), (1, 2), (20, 10)])
def test_a_users_mask_is_taken_as_it_is_and_divided(labels):
    scan, truth = thorax((4.0, 4.0, 4.0))
    given = np.select([truth == 1, truth == 2], labels, 0).astype(np.int16)
    mask = sitk.GetImageFromArray(given)
    mask.CopyInformation(scan)
    found = sitk.GetArrayFromImage(masks.take_mask(mask, scan).mask)
    assert (found == truth).all()
    coarse = sitk.Resample(mask, [n // 2 for n in scan.GetSize()], sitk.Transform(), sitk.sitkNearestNeighbor,
                           scan.GetOrigin(), [8.0] * 3, scan.GetDirection())  # fmt: skip
    found = sitk.GetArrayFromImage(masks.take_mask(coarse, scan).mask)
    assert dice(found == 1, truth == 1) > 0.85 and dice(found == 2, truth == 2) > 0.85
    mask.SetOrigin((5000.0, 0.0, 0.0))
    with pytest.raises(UnusableScan, match="does not overlap"):
        masks.take_mask(mask, scan)
    with pytest.raises(UnusableScan, match="is empty"):
        masks.take_mask(mask * 0, scan)


def test_quality_numbers():
    spacing = (4.0, 4.0, 4.0)
    scan, truth = thorax(spacing, noise=0, rim=False)
    mask = sitk.GetImageFromArray(truth)
    mask.CopyInformation(scan)
    numbers = quality.quality(scan, mask)
    assert numbers["volume_right_ml"] == pytest.approx((truth == 1).sum() * 0.064, abs=0.1)
    assert numbers["volume_ml"] == pytest.approx(2 * 4 / 3 * np.pi * 4.8 * 7.2 * 9.5, rel=0.03)
    assert numbers["left_right_ratio"] == pytest.approx(1, abs=0.02)
    assert (numbers["parts"], numbers["border_percent"], numbers["hu_p50"]) == (2, 0, -850)
    assert quality.check(numbers, 300, 12000) == []
    flags = quality.check(
        numbers | {"left_right_ratio": 0.2, "border_percent": 9, "parts": 4, "hu_p50": -100.0}, 300, 12000
    )
    assert len(flags) == 4 and all(flag.endswith(".") for flag in flags)
    assert numbers["left_of_right_mm"] == pytest.approx(124, abs=1)
    swapped = sitk.GetImageFromArray(np.array([0, 2, 1], np.uint8)[truth])
    swapped.CopyInformation(scan)
    (flag,) = quality.check(quality.quality(scan, swapped), 300, 12000)
    assert "swapped" in flag
    with pytest.raises(UnusableScan, match="at least 5000 ml"):
        quality.check(numbers, 5000, 12000)


def test_morphology_is_in_millimetres():
    point = np.zeros((21, 21, 21), bool)
    point[10, 10, 10] = True
    z, y, x = np.mgrid[:21, :21, :21] - 10
    for radius in (2.0, 3.0, 4.9, 6.0, 13.0):
        expected = 2.0 * np.sqrt(z**2 + y**2 + x**2) <= radius
        assert (morphology.dilate(point, radius, 2.0) == expected).all()
        assert (morphology.dilate_box(point, radius, 2.0) == expected).all()
        assert (morphology.erode(~point, radius, 2.0) == ~expected).all()
    assert not morphology.dilate(np.zeros((5, 5, 5), bool), 9.0, 2.0).any()
    assert (morphology.distance_outside(np.ones((5, 5, 5), bool), 2.0) == 0).all()
    slab = np.ones((31, 31, 31), bool)
    slab[:, :, 14:16] = False
    assert morphology.closed(slab, 4.0, 2.0)[5:-5, 5:-5].all()
    assert not morphology.opened(~slab, 4.0, 2.0).any()


def r231_state_dict():
    """Random weights of the right shape for R231: the network's own, with its three classes."""
    torch = pytest.importorskip("torch")
    from lungmask.resunet import UNet

    torch.manual_seed(0)
    return UNet(n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False).state_dict()


@pytest.mark.slow
def test_the_network_runs_from_a_local_file(tmp_path):
    import torch

    torch.save(r231_state_dict(), tmp_path / "r231.pth")
    digest = hashlib.sha256((tmp_path / "r231.pth").read_bytes()).hexdigest()
    scan, _ = thorax((8.0, 8.0, 20.0))
    try:
        found = network.segment_by_network(scan, tmp_path / "r231.pth", digest)
    except UnusableScan as reason:  # random weights may find nothing at all
        assert "No lungs found" in str(reason)
    else:
        assert found.mask.GetSize() == scan.GetSize() and sitk.GetArrayViewFromImage(found.mask).max() <= 2


def test_wrong_weights_are_refused_before_they_are_loaded(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"not the weights")
    with pytest.raises(ValueError, match="SHA-256"):
        network.segment_by_network(sitk.Image(4, 4, 4, sitk.sitkInt16), tmp_path / "weights.pth", "0" * 64)
    digest = hashlib.sha256(b"not the weights").hexdigest()
    network.verify_weights(tmp_path / "weights.pth", digest.upper())


PARAMS = {"method": "intensity", "weights": None, "weights_sha256": None, "min_volume_ml": 300, "max_volume_ml": 12000}


def run_segment(folder, scan, status=None, **inputs):
    sitk.WriteImage(scan, str(folder / "ct.nii.gz"))
    write_status(status or Status(True, "convert"), folder / "in.json")
    outputs = {"mask": folder / "mask.nii.gz", "status": folder / "out.json"}
    run_script(
        "segment", {"ct": folder / "ct.nii.gz", "status": folder / "in.json", **inputs}, outputs, PARAMS, folder / "log"
    )
    return read_status(outputs["status"]), outputs["mask"]


def test_script_on_a_good_scan_and_with_a_users_mask(tmp_path):
    scan, truth = thorax((4.0, 4.0, 4.0))
    status, path = run_segment(tmp_path, scan)
    assert status.ok and status.metrics["parts"] == 2
    written = sitk.ReadImage(str(path))
    assert written.GetPixelID() == sitk.sitkUInt8 and written.GetOrigin() == pytest.approx(scan.GetOrigin())
    given = sitk.GetImageFromArray((truth == 1).astype(np.uint8))
    given.CopyInformation(scan)
    sitk.WriteImage(given, str(tmp_path / "given.nrrd"))
    status, path = run_segment(tmp_path, scan, mask=tmp_path / "given.nrrd")
    assert status.ok and "Only one lung was found." in status.flags
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) == (truth == 1)).all()


def test_script_on_bad_scans(tmp_path):
    noise = sitk.GetImageFromArray(np.clip(BAD["noise"], -1024, 3000).astype(np.int16))
    status, path = run_segment(tmp_path, noise)
    assert not status.ok and status.stage == "segment" and status.reason.startswith("No lungs found")
    assert path.read_bytes() == b""
    status, path = run_segment(tmp_path, noise, Status(False, "convert", "The file is empty."))
    assert (status.ok, status.stage, status.reason) == (False, "convert", "The file is empty.")
    (tmp_path / "bad.nii").write_bytes(b"")
    status, _ = run_segment(tmp_path, thorax((8.0, 8.0, 8.0))[0], mask=tmp_path / "bad.nii")
    assert status.reason.startswith("The mask given cannot be read")
