"""How a scan was taken: words in seven languages, headers, the pixels' evidence, and what differs from the baseline."""

import re

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from helpers import acquisition_cases as cases
from helpers.ct_files import volume, write_series
from helpers.thorax_phantom import CENTRES, RADII, SOFT, coordinates, ellipsoid, thorax
from lung4d.convert import acquisition_words as words
from lung4d.convert import read
from lung4d.register.acquisition import KINDS, Taken, count_kinds, differences, joined
from lung4d.segment import quality
from lung4d.segment.posture import back_minus_front
from lung4d.segment.trachea import BOWED, trachea_bow


def of_all(languages: dict[str, tuple[str, ...]]) -> list[str]:
    return [name for names in languages.values() for name in names]


# Words


@pytest.mark.parametrize("name", of_all(cases.EXPIRATIONS))
def test_an_expiration_is_known_by_its_name(name):
    assert words.breath_of(name) == "expiration"


@pytest.mark.parametrize("name", of_all(cases.INSPIRATIONS))
def test_an_inspiration_is_known_by_its_name(name):
    assert words.breath_of(name) == "inspiration"


@pytest.mark.parametrize("name", cases.NO_BREATH)
def test_other_words_say_nothing_of_the_breath(name):
    assert words.breath_of(name) is None


POSES = {"prone": cases.PRONE, "supine": cases.SUPINE, "on the side": cases.ON_SIDE, None: cases.NO_POSE}
CONTRASTS = {True: cases.CONTRAST, False: cases.NO_CONTRAST, None: cases.UNTOLD_CONTRAST}


@pytest.mark.parametrize(("name", "pose"), [(name, pose) for pose, names in POSES.items() for name in names])
def test_a_pose_is_known_by_its_name(name, pose):
    assert words.pose_of(name) == pose


@pytest.mark.parametrize(("name", "told"), [(name, told) for told, names in CONTRASTS.items() for name in names])
def test_contrast_medium_is_known_by_its_name(name, told):
    assert words.contrast_of(name) is told


SEPARATORS = st.sampled_from([" ", "_", "-", " / ", ".", "1", "_2.0_"])
CASES = st.sampled_from([str, str.upper, str.lower, str.title])
BREATHS = [(name, "expiration") for name in of_all(cases.EXPIRATIONS)]
BREATHS += [(name, "inspiration") for name in of_all(cases.INSPIRATIONS)]
BREATHS += [(name, None) for name in cases.NO_BREATH]
# Of "LungExpir" in small letters nobody could tell where a word begins.
BREATHS = [(name, breath) for name, breath in BREATHS if not re.search("[a-z][A-Z]|[A-Z]{2}[a-z]", name)]


@given(st.sampled_from(BREATHS), SEPARATORS, SEPARATORS, CASES)
def test_what_stands_around_a_word_changes_nothing(known, before, after, case):
    name, breath = known
    assert words.breath_of(f"Thorax{before}{case(name)}{after}B60f") == breath


def test_an_empty_header_says_nothing():
    assert words.acquisition_facts(pydicom.Dataset()) == ({"breath": None, "pose": None, "contrast": False}, [])


@given(st.text())
def test_any_text_can_be_a_name(name):
    assert words.breath_of(name) in ("expiration", "inspiration", None)
    assert words.pose_of(name) in POSES and words.contrast_of(name) in CONTRASTS


# What is chosen, and what is said of it


@pytest.mark.parametrize(("tags", "flags"), cases.CHOSEN, ids=lambda value: str(value)[:60])
def test_a_series_taken_in_an_unusual_way_is_flagged(tmp_path, tags, flags):
    scan = read.read_scan(write_series(tmp_path / "in", volume(), tags=tags))
    assert scan.flags == flags
    named = read.metrics_of(scan.facts)
    assert [named[name] for name in ("breath", "pose", "contrast")] == [
        scan.facts[name] for name in ("breath", "pose", "contrast")
    ]


@pytest.mark.parametrize(
    ("inspiration", "expiration"),
    [
        ("Thorax Inspiration", "Thorax Exspiration"),
        ("Lunge Inspir", "Lunge Exspir"),
        ("torace inspirazione", "torace espirazione"),
        ("torax inspiracion", "torax espiracion"),
        ("HRCT inhale", "HRCT exhale"),
        ("INSPI 1.0", "EXPI 1.0"),
        ("inademing", "uitademing"),
        ("tórax 1.0", "tórax expiração 1.0"),
    ],
)
def test_the_inspiration_is_chosen_though_the_expiration_has_the_lower_number(tmp_path, inspiration, expiration):
    for number, name in ((5, inspiration), (3, expiration)):
        write_series(tmp_path / str(number), volume(), tags={"SeriesNumber": number, "SeriesDescription": name})
    scan = read.read_scan(tmp_path)
    assert scan.facts["series_number"] == 5 and scan.flags == []


@pytest.mark.parametrize("agent", ["none", "No", "ohne", "0", "-", "NATIV", "no contrast"])
def test_an_agent_that_says_none_is_none(agent):
    header = pydicom.Dataset()
    header.ContrastBolusAgent = agent
    assert words.acquisition_facts(header)[0]["contrast"] is False


@pytest.mark.parametrize("agent", ["Ultravist 370", "370", "APPLIED", "CE", "KM", "Omnipaque^350"])
def test_any_other_agent_is_one(agent):
    header = pydicom.Dataset()
    header.ContrastBolusAgent = agent
    assert words.acquisition_facts(header)[0]["contrast"] is True


# What differs from the baseline


def check_differences(found: dict[str, str], expected: dict[str, str]) -> None:
    assert list(found) == list(expected)
    for kind, piece in expected.items():
        assert piece in found[kind] and found[kind].endswith(".")


@pytest.mark.parametrize("name", cases.PAIRS)
def test_a_visit_says_how_it_was_taken_otherwise_than_its_baseline(tmp_path, name):
    first, now, expected = cases.PAIRS[name]
    facts = [
        read.read_scan(write_series(tmp_path / which, volume(), tags={"PatientPosition": "", **tags})).facts
        for which, tags in (("now", now), ("first", first))
    ]
    check_differences(differences(*(Taken(one, {}) for one in facts)), expected)


@pytest.mark.parametrize("name", cases.EVIDENCE)
def test_where_no_header_says_so_the_pixels_may(name):
    first, now, expected = cases.EVIDENCE[name]
    check_differences(differences(Taken({}, now), Taken({}, first)), expected)


def test_headers_go_before_the_pixels():
    supine, inspired = {"pose": "supine"}, {"breath": "inspiration"}
    prone, bowed = {"may_be_prone": True}, {"may_be_expiration": True}
    assert differences(Taken(supine, prone), Taken(supine, {"may_be_prone": False})) == {}
    found = differences(Taken({"breath": "expiration"}, bowed), Taken(inspired, {"may_be_expiration": False}))
    assert found["breath"].startswith("Expiration, the baseline an inspiration")


@pytest.mark.parametrize(
    ("first", "now", "expected"),
    [
        ({"kernel_in_table": "soft"}, {"kernel_in_table": "sharp"}, {"kernel": "Kernel sharp, at the baseline soft."}),
        ({"kernel_in_table": "soft"}, {"kernel_in_table": "Soft"}, {}),
        ({"kernel_in_table": "soft", "kernel": "B30f"}, {"kernel": "B30f", "kernel_in_table": "weich"}, {}),
        ({"kernel_in_table": "soft"}, {"kernel": "B30f"}, {}),
        ({"kernel_in_table": None}, {"kernel_in_table": "soft"}, {}),
        ({"spacing_mm": [1, 1, 1.0]}, {"spacing_mm": [1, 1, 5.0]}, {"slice thickness": "Slices 5.0 mm apart"}),
        ({"spacing_mm": [1, 1, 1.0]}, {"spacing_mm": [0.5, 0.5, 1.05]}, {}),
        ({"spacing_mm": [1, 1, 1.0], "slice_thickness_mm": 1.0}, {"spacing_mm": [1, 1, 1.0]}, {}),
        (
            {"spacing_mm": [1, 1, 1.0], "slice_thickness_mm": 1.0},
            {"spacing_mm": [1, 1, 10.0], "slice_thickness_mm": 1.0},
            {"slice thickness": "Slices of 10.0 mm, at the baseline of 1.0 mm."},
        ),
    ],
)
def test_volume_files_are_compared_by_what_is_known_of_both(first, now, expected):
    check_differences(differences(Taken(now, {}), Taken(first, {})), expected)


def test_kinds_are_counted_in_the_cells_of_a_table():
    cells = [joined(()), joined(["kernel", "contrast"]), joined(["pose", "kernel"]), None, np.nan, ""]
    assert count_kinds(cells) == {"pose": 1, "kernel": 2, "contrast": 1}
    assert list(count_kinds(KINDS)) == list(KINDS)
    assert count_kinds(pd.Series(cells)) == count_kinds(cells)


# The trachea


def back_at(radius: float, bow: float):
    """A trachea of this radius (mm) whose back wall bows inward by `bow` mm; its cartilage is part of a circle."""
    chord = 0.8 * radius

    def lumen(x, y):
        back = 0.6 * radius - bow * (1 - (x / chord) ** 2)
        return (np.hypot(x, y) < radius) & ((y < back) | (np.abs(x) > chord))

    return lumen


def ellipse(half_width: float, half_depth: float):
    return lambda x, y: (x / half_width) ** 2 + (y / half_depth) ** 2 < 1


def chest(lumen, spacing, noise, tilt=0.0):
    """A scan (int16 HU) and its lung mask with a trachea of this outline, which leans to the back by `tilt` mm a mm."""
    at = x, y, z = coordinates(spacing)
    hu = np.where((x / 150) ** 2 + (y / 112) ** 2 + 0 * z < 1, SOFT, -1000.0)
    labels = np.zeros(hu.shape, np.uint8)
    for side, centre in CENTRES.items():
        labels[ellipsoid(at, centre, RADII)] = side
    hu[labels > 0] = -850.0
    near = np.ix_(z.ravel() > -10, np.abs(y.ravel()) < 40, np.abs(x.ravel()) < 14)
    fine = (np.arange(4) - 1.5) / 4  # voxels that the wall crosses hold both
    x, y, z = x[:, :, np.abs(x.ravel()) < 14], y[:, np.abs(y.ravel()) < 40], z[z.ravel() > -10]
    share = np.mean([lumen(x + spacing[0] * i, y + spacing[1] * j + tilt * z) for i in fine for j in fine], axis=0)
    labels[near] = np.where(share > 0, 0, labels[near])
    hu[near] = np.where(share > 0, SOFT + (-1000 - SOFT) * share, hu[near])
    hu += np.random.default_rng(0).normal(0, noise, hu.shape)
    images = [sitk.GetImageFromArray(array) for array in (np.clip(np.rint(hu), -1024, 3000).astype(np.int16), labels)]
    for image in images:
        image.SetSpacing(spacing)
        image.SetOrigin(tuple(float(axis.flat[0]) for axis in at))
    return images


FINE, USUAL, COARSE = (0.8, 0.8, 5.0), (1.6, 1.6, 2.5), (2.5, 2.5, 4.0)
ORDINARY = {
    "round": (ellipse(8, 8), USUAL, 20),
    "round and small": (ellipse(6, 6), USUAL, 40),
    "round and large": (ellipse(11, 11), USUAL, 40),
    "round, coarse voxels": (ellipse(8, 8), COARSE, 30),
    "round, small and coarse": (ellipse(6.5, 6.5), COARSE, 30),
    "round, noisy": (ellipse(8, 8), USUAL, 90),
    "round, fine voxels, noisy": (ellipse(8, 8), FINE, 90),
    "a sabre sheath": (ellipse(6, 11), USUAL, 30),
    "wide": (ellipse(11, 7), USUAL, 30),
    "flat at the back": (back_at(8, 0), USUAL, 30),
    "flat at the back, noisy": (back_at(9, 0), USUAL, 90),
    "bowed outward": (back_at(8, -2), USUAL, 30),
    "hardly bowed inward": (back_at(9, 1), USUAL, 30),
}
BOWED_INWARD = {
    "by 3 mm": (3, back_at(8, 3), USUAL, 20),
    "by 4 mm": (4, back_at(8, 4), USUAL, 40),
    "by 5 mm, large": (5, back_at(10, 5), USUAL, 40),
    "by 4 mm, noisy": (4, back_at(9, 4), USUAL, 90),
    "by 3 mm, fine voxels": (3, back_at(7, 3), FINE, 40),
    "by 4 mm, fine voxels, noisy": (4, back_at(8, 4), FINE, 90),
    "by 5 mm, coarse voxels": (5, back_at(10, 5), COARSE, 30),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_trachea_is_no_expiration(name):
    bow = trachea_bow(*chest(*ORDINARY[name]))
    assert bow is not None and bow < 0.5 * BOWED


@pytest.mark.parametrize("name", BOWED_INWARD)
def test_a_back_wall_that_bows_inward_is_measured(name):
    depth, *phantom = BOWED_INWARD[name]
    bow = trachea_bow(*chest(*phantom))
    assert bow >= BOWED and 0.6 * depth <= bow <= depth  # the corners' tips are lost in the blur


def test_a_trachea_that_leans_is_measured_as_well():
    assert trachea_bow(*chest(back_at(8, 4), USUAL, 30, tilt=0.2)) >= BOWED
    assert trachea_bow(*chest(ellipse(8, 8), USUAL, 30, tilt=0.2)) < 0


def test_without_a_trachea_nothing_is_told():
    scan, mask = chest(ellipse(0.1, 0.1), COARSE, 20)
    assert trachea_bow(scan, mask) is None
    assert trachea_bow(scan, mask * 0) is None
    numbers = quality.quality(scan, mask)
    assert numbers["may_be_expiration"] is None and quality.check(numbers, 300, 12000) == []


def test_a_bowed_trachea_is_flagged():
    numbers = quality.quality(*chest(back_at(9, 4), USUAL, 30))
    (flag,) = quality.check(numbers, 300, 12000)
    assert numbers["may_be_expiration"] is True and "may be an expiration" in flag


# What hangs down

HANGING = {  # HU per mm from front to back, noise HU, dense disease at the back, prone by the pixels
    "supine": (0.4, 20, False, False),
    "supine, noisy": (0.4, 90, False, False),
    "supine with disease at the back": (0.4, 20, True, False),
    "no difference": (0.0, 20, False, False),
    "no difference, noisy": (0.0, 120, False, False),
    "hardly any difference": (-0.1, 20, False, False),
    "prone": (-0.4, 20, False, True),
    "prone, noisy": (-0.5, 90, False, True),
    "prone with some disease at the back": (-0.4, 20, True, True),
}


@pytest.mark.parametrize("name", HANGING)
def test_the_pose_may_be_seen_in_what_hangs_down(name):
    per_mm, noise, rim, prone = HANGING[name]
    scan, truth = thorax((4.0, 4.0, 4.0), rim=rim, noise=noise)
    _, y, _ = coordinates((4.0, 4.0, 4.0))
    hu = sitk.GetArrayFromImage(scan) + np.where(truth > 0, per_mm * y, 0)
    hanging = sitk.GetImageFromArray(np.clip(np.rint(hu), -1024, 3000).astype(np.int16))
    mask = sitk.GetImageFromArray(truth)
    for image in (hanging, mask):
        image.CopyInformation(scan)
    found = back_minus_front(hanging, mask)
    assert found == pytest.approx(per_mm * 69, abs=8)  # between the outer thirds of an ellipsoid with radius 72 mm
    numbers = quality.quality(hanging, mask)
    assert numbers["may_be_prone"] is prone
    assert any("may lie prone" in flag for flag in quality.check(numbers, 300, 12000)) == prone


def test_a_lung_too_small_to_tell_has_no_pose():
    scan, truth = thorax((8.0, 8.0, 8.0))
    mask = sitk.GetImageFromArray(truth)
    mask.CopyInformation(scan)
    assert back_minus_front(scan, mask) is None
