"""A user's lung mask is read as anybody would read it, or refused in its own sentence."""

import numpy as np
import pytest
import SimpleITK as sitk

from helpers import bad_masks, real_data
from helpers.thorax_phantom import thorax
from lung4d.convert import read
from lung4d.io.status import UnusableScan
from lung4d.segment import intensity, masks
from lung4d.simulate import real_chest


@pytest.fixture(scope="module")
def chest():
    return thorax((4.0, 4.0, 4.0))


@pytest.fixture(scope="module", autouse=True)
def segmented_once():
    """Lungs are looked for once in scans that are equal: most masks here are of one and the same."""
    find, found = intensity.find_lungs, {}

    def find_once(hu, x_of_column):
        key = hu.tobytes(), x_of_column.tobytes()
        if key not in found:
            found[key] = find(hu, x_of_column)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intensity, "find_lungs", find_once)
        yield


@pytest.mark.parametrize("case", bad_masks.MASKS, ids=lambda case: case.write.__name__)
def test_a_mask_gives_the_lungs_or_is_refused_in_its_own_sentence(tmp_path, chest, case):
    scan, truth = chest
    path = case.write(tmp_path, scan, truth)
    if case.refused:
        with pytest.raises(UnusableScan) as caught:
            masks.use_mask(path, scan)
        assert str(caught.value).startswith(case.refused)
        assert str(caught.value)[-1] in ".?" and str(tmp_path) not in str(caught.value)
        return
    found = masks.use_mask(path, scan)
    assert tuple(found.flags) == case.flags and case.handled
    labels = sitk.GetArrayFromImage(found.mask)
    if not case.near:
        assert (labels == truth).all()
    elif case.write.__name__ != "moved":
        assert 2 * (labels * truth > 0).sum() / ((labels > 0).sum() + (truth > 0).sum()) > 0.93


@pytest.mark.skipif(real_data.folder() is None, reason=real_data.REASON)
def test_a_real_mask_passes_and_is_told_where_it_is_turned_side_to_side(tmp_path):
    folder = real_data.folder() / "ct64"
    scan = read.read_scan(folder / "ct-64.nrrd").image
    assert masks.use_mask(folder / "wholeLung-64.nrrd", scan).flags == []
    given = sitk.ReadImage(str(folder / "wholeLung-64.nrrd"))
    turned = bad_masks.on_grid(sitk.GetArrayFromImage(given)[:, :, ::-1].copy(), given, tmp_path / "mask.nii.gz")
    (flag,) = masks.use_mask(turned, scan).flags
    assert "turned side to side" in flag


def test_below_zero_is_no_lung_where_a_chest_of_the_built_in_cohort_is_taken_from_a_scan(tmp_path, chest):
    scan, truth = chest
    sitk.WriteImage(scan, str(tmp_path / "ct.nii.gz"))
    mask = bad_masks.on_grid(np.where(truth > 0, 1, -1).astype(np.int16), scan, tmp_path / "mask.nii.gz")
    found = real_chest.read_chest(str(tmp_path / "ct.nii.gz"), str(mask))
    assert np.count_nonzero(found.labels) == np.count_nonzero(truth)
