"""Registration of phantoms with known motion, its guards, and the script of the stage."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from scipy import ndimage

from helpers.registration_phantom import ORIGIN, SHAPE, error_in_lung, image_of, moved, phantom
from helpers.running import ROOT
from helpers.scripts import Named, run_job
from lung4d import resample
from lung4d.io.atomic import write_json
from lung4d.io.names import CT, LUNG_MASK, SIDECAR, STATUS, scan_file
from lung4d.io.nifti import write_image
from lung4d.io.status import Status, UnusableScan, read_status, write_status
from lung4d.register import grid, quality, registration, replacement
from lung4d.register.align import Affine, align_masks
from lung4d.register.registration import RegistrationSettings

DEFAULTS = yaml.safe_load((ROOT / "config/config.yaml").read_text())["register"]
SETTINGS = replace(
    RegistrationSettings.from_params(SimpleNamespace(**DEFAULTS)),
    spacing=3.0,
    search_radius=(24.0, 9.0),
    search_step=(6.0, 3.0),
    patch_radius=(12.0, 6.0),
    refine_steps=30,
)


@pytest.fixture(scope="module")
def chest():
    return phantom()


def translation():
    return sitk.TranslationTransform(3, (7.4, -5.1, 20.3))


def affine():
    transform = sitk.AffineTransform(3)
    transform.SetCenter((0.0, 0.0, -216.0))
    transform.Rotate(0, 1, 0.08)
    transform.Scale((1.05, 1.0, 0.92))
    transform.Translate((4.0, 3.0, -6.0))
    return transform


def breathing():
    """Up to 14 mm towards the feet, growing downwards, with a swirl."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    vectors = np.stack([2 * np.sin(3 * z), 2 * np.sin(3 * x), -3.5 * (1 - z) ** 1.5 + 1.5 * np.sin(3 * y)], -1)
    image = sitk.GetImageFromArray(vectors.astype(np.float64), isVector=True)
    image.CopyInformation(image_of(np.zeros(SHAPE, np.uint8)))
    return sitk.DisplacementFieldTransform(image)


@pytest.mark.parametrize(
    ("motion", "mean", "worst"), [(translation, 0.8, 2.0), (affine, 0.8, 2.5), (breathing, 0.9, 3.0)]
)
def test_known_motion_is_found(chest, motion, mean, worst):
    hu, labels = chest
    back = motion()
    result = registration.register(
        image_of(hu), image_of(labels), moved(hu, back), moved(labels, back, mask=True), SETTINGS
    )
    error = np.linalg.norm(error_in_lung(result.field, labels, back), axis=1)
    assert error.mean() < mean and error.max() < worst  # voxels are 3 mm
    metrics = result.metrics
    assert metrics["folded_percent"] == 0 and metrics["mended_voxels"] == 0 and result.flags == []
    assert metrics["dice_after"] > max(0.95, metrics["dice_before"])
    assert metrics["descriptor_distance_after"] < metrics["descriptor_distance_before"]
    assert metrics["inverse_consistency_mm"] < 0.1
    json.dumps(metrics, allow_nan=False)


def test_volume_change_is_the_log_jacobian(chest):
    hu, labels = chest
    back = sitk.ScaleTransform(3, (1.1, 1.1, 1.1))
    back.SetCenter((0.0, 0.0, -216.0))
    result = registration.register(
        image_of(hu), image_of(labels), moved(hu, back), moved(labels, back, mask=True), SETTINGS
    )
    assert result.metrics["log_jacobian_mean"] == pytest.approx(-3 * np.log(1.1), abs=0.03)
    assert result.metrics["log_jacobian_p5"] < result.metrics["log_jacobian_mean"] < result.metrics["log_jacobian_p95"]
    change = quality.log_jacobian(result.field, image_of(labels))
    assert change.GetSize() == result.field.GetSize() and change.GetOrigin() == result.field.GetOrigin()
    lung = quality.lung_on_field(image_of(labels), result.field)
    values = sitk.GetArrayFromImage(change)
    assert values[lung].mean() == pytest.approx(result.metrics["log_jacobian_mean"], abs=1e-5)
    assert not values[~lung].any()


def test_the_same_scan_comes_back_bit_by_bit(chest):
    hu, labels = chest
    images = image_of(np.rint(hu).astype(np.int16)), image_of(labels)
    result = registration.register(*images, *images, SETTINGS)
    assert not sitk.GetArrayFromImage(result.field).any() and not sitk.GetArrayFromImage(result.inverse).any()
    back = replacement.replace_non_lung(images[0], result.field, *images)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(images[0]))
    assert "voxel for voxel the baseline" in result.flags[0]


def test_noise_alone_moves_nothing(chest):
    hu, labels = chest
    noisy = hu + np.random.default_rng(5).normal(0, 5, hu.shape).astype(np.float32)
    result = registration.register(image_of(hu), image_of(labels), image_of(noisy), image_of(labels), SETTINGS)
    assert np.linalg.norm(sitk.GetArrayFromImage(result.field), axis=-1).max() < 0.5
    assert result.metrics["dice_after"] > 0.995


def test_the_inverse_leads_back_and_volumes_with_it(chest):
    hu, labels = chest
    back = breathing()
    baseline, followup = image_of(hu), moved(hu, back)
    mask = moved(labels, back, mask=True)
    result = registration.register(baseline, image_of(labels), followup, mask, SETTINGS)
    forward, inverse = (
        sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
        for field in (result.field, result.inverse)
    )
    inside = np.argwhere(ndimage.binary_erosion(labels > 0))[::97]
    points = [baseline.TransformIndexToPhysicalPoint([int(n) for n in index[::-1]]) for index in inside]
    gaps = [np.linalg.norm(np.subtract(inverse.TransformPoint(forward.TransformPoint(p)), p)) for p in points]
    assert max(gaps) < 0.5 and np.mean(gaps) == pytest.approx(result.metrics["inverse_consistency_mm"], abs=0.05)
    native = resample.sample(baseline, result.inverse, followup)
    assert native.GetSize() == followup.GetSize() and native.GetOrigin() == followup.GetOrigin()
    lung = ndimage.binary_erosion(sitk.GetArrayFromImage(mask) > 0, iterations=2)
    there, here = (sitk.GetArrayFromImage(image)[lung] for image in (native, followup))
    assert np.corrcoef(there, here)[0, 1] > 0.95


def test_same_answer_twice_and_with_any_number_of_threads(chest):
    hu, labels = chest
    images = image_of(hu), image_of(labels), moved(hu, affine()), moved(labels, affine(), mask=True)
    fields = []
    for threads in (1, 2):
        registration.use_threads(threads)
        fields.append(sitk.GetArrayFromImage(registration.register(*images, SETTINGS).field))
    registration.use_threads(1)
    np.testing.assert_array_equal(*fields)


def test_masks_far_apart_are_aligned(chest):
    _, labels = chest
    other = image_of(labels, origin=(ORIGIN[0] - 40, ORIGIN[1] + 25, ORIGIN[2] + 380))
    found = align_masks(image_of(labels), other)
    np.testing.assert_allclose(found(np.zeros((1, 3))), [[-40, 25, 380]], atol=0.5)
    np.testing.assert_allclose(found.matrix, np.eye(3), atol=0.01)
    np.testing.assert_allclose(found.inverse()(found(np.ones((1, 3)))), np.ones((1, 3)), atol=1e-9)


def test_scan_that_holds_part_of_the_lung(chest):
    """The lowest quarter of the lungs is not in the follow-up's field of view."""
    hu, labels = chest
    back = sitk.TranslationTransform(3, (3.0, -2.0, 12.0))
    scan, mask = (image[:, :, 20:] for image in (moved(hu, back), moved(labels, back, mask=True)))
    result = registration.register(image_of(hu), image_of(labels), scan, mask, SETTINGS)
    error = np.linalg.norm(
        error_in_lung(result.field, np.where(np.arange(56)[:, None, None] > 24, labels, 0), back), axis=1
    )
    assert np.median(error) < 1.0


def test_no_structure_gives_the_aligned_masks_and_says_so(chest):
    _, labels = chest
    flat = np.where(labels > 0, -850, 40).astype(np.float32)
    flat = np.where(ndimage.binary_dilation(labels > 0, iterations=8), -850, flat).astype(np.float32)
    back = translation()
    result = registration.register(
        image_of(flat), image_of(labels), moved(flat, back), moved(labels, back, mask=True), SETTINGS
    )
    assert "keypoints" not in result.metrics and "keypoints" in result.flags[0]
    assert (
        np.linalg.norm(error_in_lung(result.field, labels, back), axis=1).mean() < 3.0
    )  # a voxel: all that masks tell


def test_misleading_keypoints_do_not_spoil_the_alignment(chest):
    """Unrelated texture in the follow-up: whatever is found, the lungs stay on each other."""
    hu, labels = chest
    other, _ = phantom(seed=7)
    back = translation()
    result = registration.register(
        image_of(hu), image_of(labels), moved(other, back), moved(labels, back, mask=True), SETTINGS
    )
    assert result.metrics["dice_after"] > 0.95 and result.metrics["folded_percent"] == 0


def test_one_lung_in_one_mask(chest):
    hu, labels = chest
    back = translation()
    only_right = np.where(labels == 1, 1, 0).astype(np.uint8)
    result = registration.register(
        image_of(hu), image_of(labels), moved(hu, back), moved(only_right, back, mask=True), SETTINGS
    )
    assert "Only one lung" in result.flags[0]
    assert np.linalg.norm(error_in_lung(result.field, only_right, back), axis=1).mean() < 0.8


@pytest.mark.parametrize("case", ["empty", "baseline empty", "other side", "everything", "one voxel"])
def test_unusable_masks_are_refused_in_words(chest, case):
    hu, labels = chest
    nothing, dot = np.zeros_like(labels), np.zeros_like(labels)
    dot[30, 30, 30] = 1
    ours = {"baseline empty": nothing, "other side": np.where(labels == 1, 1, 0).astype(np.uint8)}.get(case, labels)
    theirs = {
        "empty": nothing,
        "other side": np.where(labels == 2, 2, 0).astype(np.uint8),
        "everything": labels * 0 + 1,
        "one voxel": dot,
    }.get(case, labels)
    with pytest.raises(UnusableScan) as raised:
        registration.register(image_of(hu), image_of(ours), image_of(hu), image_of(theirs), SETTINGS)
    assert "mask" in str(raised.value)


def test_written_field_maps_points_as_before(chest, tmp_path):
    _, labels = chest
    oblique = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.2, -0.1, 0.3)
    baseline = image_of(labels)
    baseline.SetDirection(oblique.GetMatrix())
    working = grid.registration_grid(baseline, baseline, Affine(np.eye(3), np.zeros(3)), 3.0, 12.0)
    flow = np.random.default_rng(0).normal(size=(*(-(-n // 12) + 1 for n in working.shape), 3))
    flow = ndimage.zoom(flow, (12, 12, 12, 1), order=1)[tuple(slice(n) for n in working.shape)].astype(np.float32)
    alignment = Affine(np.diag([1.02, 0.97, 1.0]), np.array([3.0, -4.0, 35.0]))
    field = grid.displacement_field(baseline, working, flow, alignment, 3.0)
    path = tmp_path / "sub-01_xfm.nii.gz"
    write_image(field, path)
    before, after = (
        sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
        for image in (field, sitk.ReadImage(str(path)))
    )
    assert max(sitk.ReadImage(str(path)).GetSpacing()) <= 3.0 + 1e-4
    size = np.array(baseline.GetSize())
    for index in [(0, 0, 0), (size - 1).tolist(), (size // 2).tolist(), (30, 20, 25)]:
        point = baseline.TransformIndexToPhysicalPoint([int(n) for n in index])
        np.testing.assert_allclose(before.TransformPoint(point), after.TransformPoint(point), atol=1e-3)
        # and that is the flow, in voxels along the grid's axes, followed by the alignment
        where = (np.array(point) - working.origin) @ working.direction / working.spacing
        where = np.clip(where, 0, working.size - 1)
        voxels = [ndimage.map_coordinates(flow[..., 2 - a], where[::-1, None], order=1)[0] for a in range(3)]
        expected = alignment((np.array(point) + working.direction @ (working.spacing * voxels))[None])[0]
        np.testing.assert_allclose(before.TransformPoint(point), expected, atol=0.6)


def test_jacobian_of_an_oblique_field(chest):
    baseline = image_of(chest[1])
    baseline.SetDirection(sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.3, 0.2, -0.4).GetMatrix())
    target = grid.field_grid(baseline, 3.0)
    matrix = np.array([[1.1, 0.05, 0], [-0.02, 0.9, 0.1], [0.03, 0, 1.2]])
    points = target.points()
    field = grid.vector_image((points @ matrix.T - points).astype(np.float32), target)
    np.testing.assert_allclose(grid.field_jacobian(field), np.linalg.det(matrix), atol=1e-3)


def test_outside_the_lung_is_exactly_the_baseline(chest):
    hu, labels = chest
    baseline = image_of(np.rint(hu).astype(np.int16))
    back = translation()
    scan = sitk.Cast(moved(hu + 100, back), sitk.sitkInt16)
    shift = sitk.TranslationTransform(3, tuple(-v for v in back.GetOffset()))
    target = grid.field_grid(baseline, 3.0)
    vectors = np.broadcast_to(np.float32(shift.GetOffset()), (*target.shape, 3))
    out = replacement.replace_non_lung(scan, grid.vector_image(vectors, target), baseline, image_of(labels))
    found, original = sitk.GetArrayFromImage(out), sitk.GetArrayFromImage(baseline)
    lung = labels > 0
    np.testing.assert_array_equal(found[~lung], original[~lung])
    warped = sitk.GetArrayFromImage(sitk.Resample(scan, baseline, shift, sitk.sitkLinear, -1024.0, sitk.sitkFloat32))
    np.testing.assert_allclose(found[lung], warped[lung], atol=0.51)  # rounded to whole HU, else untouched
    assert found.dtype == np.int16 and out.GetSpacing() == baseline.GetSpacing()


def test_lengths_in_mm_become_voxels_of_the_working_grid():
    levels = replace(SETTINGS, spacing=1.5, search_radius=(45.0, 9.0), search_step=(4.5, 1.5)).levels()
    assert [(level.radius, level.step, level.patch) for level in levels] == [(10, 3, 3), (6, 1, 4)]
    assert [level.radius * level.step * 1.5 for level in levels] == [45.0, 9.0]
    with pytest.raises(ValueError, match="one value a level"):
        replace(SETTINGS, alpha=(1.0,))


def register_phantom(folder: Path, chest, is_baseline=False, broken=None) -> tuple[Named, Status]:
    """The stage's script on a phantom that moved, with the settings of this module."""
    hu, labels = chest
    back = translation()
    images = {
        "baseline_ct": image_of(np.rint(hu).astype(np.int16)),
        "baseline_mask": image_of(labels),
        "ct": sitk.Cast(moved(hu, back), sitk.sitkInt16),
        "mask": moved(labels, back, mask=True),
    }
    if is_baseline:
        images |= {"ct": images["baseline_ct"], "mask": images["baseline_mask"]}
    if broken == "mask":
        images["mask"] = images["mask"] * 0
    first, session = "01", "01" if is_baseline else "02"
    paths = {
        "baseline_ct": scan_file(folder / "convert", "001", first, CT),
        "baseline_mask": scan_file(folder / "segment", "001", first, LUNG_MASK),
        **{name: folder / f"{name}.nii.gz" for name in ("ct", "mask")},
    }
    for name, image in images.items():
        write_image(image, paths[name])
    paths |= {name: folder / f"in_{name}.json" for name in ("status", "facts")}
    ok = broken != "status"
    write_status(Status(ok, "segment", "" if ok else "no lungs were found"), paths["status"])
    statuses = [paths.pop("status")]
    if not is_baseline:
        statuses.insert(0, scan_file(folder / "segment", "001", first, STATUS))
        write_status(Status(True, "segment"), statuses[0])
    write_json({"pose": "prone", "kernel": "B60f"}, paths["facts"])
    write_json({"pose": "supine", "kernel": "B30f"}, scan_file(folder / "convert", "001", first, SIDECAR))
    output = Named(
        warped=str(folder / "out/warped_ct.nii.gz"),
        field=str(folder / "out/field_xfm.nii.gz"),
        inverse=str(folder / "out/inverse_xfm.nii.gz"),
        log_jacobian=str(folder / "out/logjacobian_map.nii.gz"),
        status=str(folder / "out/status.json"),
    )
    folders = {stage: folder / stage for stage in ("convert", "segment")}
    sessions = [first, session][-len(statuses) :]
    params = SimpleNamespace(**vars(SETTINGS), folders=folders, sessions=sessions, code="digest")
    named = {"wildcards": Named(subject="001", session=session), "log": [str(folder / "log.txt")]}
    run_job("register", input=Named(paths | {"statuses": statuses}), output=output, params=params, **named)
    return output, read_status(output.status)


def test_script_registers_a_follow_up(chest, tmp_path):
    output, status = register_phantom(tmp_path, chest)
    assert status.ok and status.stage == "register" and status.metrics["keypoints"] > 50
    assert status.metrics["lung_volume_ml"] == pytest.approx((chest[1] > 0).sum() * 0.027, rel=0.03)
    assert status.metrics["differs_in"] == "pose; kernel"
    assert status.flags[-2:] == [
        "Prone, the baseline supine: what changed between them is not disease alone.",
        "Kernel B60f, at the baseline B30f.",
    ]
    assert status.metrics["differences"] == " ".join(status.flags[-2:])
    error = np.linalg.norm(error_in_lung(sitk.ReadImage(output.field), chest[1], translation()), axis=1)
    assert error.mean() < 0.8
    warped = sitk.GetArrayFromImage(sitk.ReadImage(output.warped))
    np.testing.assert_array_equal(warped[chest[1] == 0], np.rint(chest[0]).astype(np.int16)[chest[1] == 0])
    inner = ndimage.binary_erosion(chest[1] > 0, iterations=2)
    assert np.corrcoef(warped[inner], chest[0][inner])[0, 1] > 0.97


def test_script_leaves_the_baseline_where_it_is(chest, tmp_path):
    output, status = register_phantom(tmp_path, chest, is_baseline=True)
    assert status.ok and status.metrics["dice_after"] == 1.0
    assert status.metrics["differs_in"] == status.metrics["differences"] == "" and status.flags == []
    assert not sitk.GetArrayFromImage(sitk.ReadImage(output.field)).any()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(output.warped)), np.rint(chest[0]))


@pytest.mark.parametrize(("broken", "stage"), [("status", "segment"), ("mask", "register")])
def test_script_hands_on_what_cannot_be_used(chest, tmp_path, broken, stage):
    output, status = register_phantom(tmp_path, chest, broken=broken)
    assert not status.ok and status.stage == stage and status.reason
    for image in (output.field, output.inverse, output.log_jacobian, output.warped):
        assert Path(image).stat().st_size == 0
