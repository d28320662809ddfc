"""Which slices are one scan: geometry decides, whatever the numbers of the headers are. Headers alone, no files."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from lung4d.convert.archives import files_below
from lung4d.convert.dicom.choice import choose_series
from lung4d.convert.dicom.headers import Slice
from lung4d.convert.dicom.lattice import continues, is_lattice
from lung4d.convert.dicom.passes import one_scan
from lung4d.convert.dicom.sentences import flags_of_choice
from lung4d.convert.dicom.stacks import stacks_of
from lung4d.io.status import UnusableScan

STEP = 2.5


def stack(places, *, x=0.0, offset=0.0, values="", first=1, **tags):
    """Slices at `places` (in steps) and `offset` (mm); what stands for their values is `values` and the place."""
    slices = []
    for count, place in enumerate(places):
        header = pydicom.Dataset()
        header.update({"Modality": "CT", "PixelSpacing": [0.7, 0.7], "StudyInstanceUID": "1", "Rows": 9, "Columns": 9})
        header.update({"SeriesInstanceUID": "1.2", "SeriesNumber": 2, "SliceThickness": STEP})
        header.InstanceNumber = first + count
        for name, value in tags.items():
            setattr(header, name, value)
        position = np.array([x, 0.0, place * STEP + offset])
        slices.append(Slice(Path(f"{values}{place}"), header, np.eye(3)[:2], position))
    return slices


def scan_of(slices):
    """What stands for the values of the scan, and the flags."""
    chosen, _ = choose_series(slices)
    taken, flags = one_scan(chosen, lambda indices: {index: chosen[index].path.name for index in indices})
    return [item.path.name for item in taken], flags + flags_of_choice(slices, chosen)


def names(places, values=""):
    return [f"{values}{place}" for place in places]


@pytest.mark.parametrize("numbered_by", ["AcquisitionNumber", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"])
@pytest.mark.parametrize("seed", range(6))
def test_passes_that_overlap_or_touch_give_every_place_once_in_any_order(seed, numbered_by):
    rng = np.random.default_rng(seed)
    cuts = [0, *(np.arange(1, 4) * 15 + rng.integers(-3, 4, 3)).tolist(), 60]
    overlaps = rng.integers(0, 5, 4)
    parts = [range(max(0, start - over), end) for start, end, over in zip(cuts, cuts[1:], overlaps, strict=False)]
    passes, first = [], 1
    for number, part in enumerate(parts):
        tags = {numbered_by: f"1.{number}" if numbered_by == "SeriesInstanceUID" else number}
        if numbered_by == "SeriesNumber":
            tags["SeriesInstanceUID"] = f"1.{number}"
        if numbered_by == "InstanceNumber":
            tags, first = {}, first + 100
        passes.append(stack(part, values=f"{number}-", first=first, **tags))
    rng.shuffle(passes)
    found, flags = scan_of([item for part in passes for item in part])
    assert [name.split("-")[1] for name in found] == names(range(60))
    overlapping = sum(len(part) for part in parts) - 60
    assert any(str(overlapping) in flag for flag in flags) == (overlapping > 0)


@pytest.mark.parametrize("shift", [0, 1, 3, 0.3, 0.5])
@pytest.mark.parametrize("numbered_by", ["AcquisitionNumber", "InstanceNumber"])
def test_two_phases_of_a_chest_are_never_mixed(shift, numbered_by):
    other = {"AcquisitionNumber": 2} if numbered_by == "AcquisitionNumber" else {"first": 101}
    one = stack(range(30), values="a", AcquisitionNumber=1)
    two = stack(range(28), values="b", offset=shift * STEP, **{"AcquisitionNumber": 1, **other})
    found, flags = scan_of([*one, *two])
    assert found == names(range(30), "a")
    assert len(flags) == 1 and flags[0].startswith("28 slices of another")


def test_thin_slices_whose_numbers_take_turns_are_one_scan():
    slices = stack(range(40))
    for index, item in enumerate(slices):
        item.header.AcquisitionNumber = index % 2
    assert scan_of(slices) == (names(range(40)), [])


def test_phases_that_nothing_tells_apart_are_refused():
    with pytest.raises(UnusableScan, match="different images at the same position"):
        scan_of([*stack(range(30), values="a"), *stack(range(30), values="b")])


@pytest.mark.parametrize("offset", [0.0, 0.8, 1.25])
@pytest.mark.parametrize("number", [None, 7])
def test_two_whole_series_stay_two(offset, number):
    """Inspiration and expiration, say, of one kernel, with erased or with different numbers."""
    one = stack(range(104), SeriesNumber=number and 3)
    two = stack(range(100), SeriesNumber=number, SeriesInstanceUID="1.3", offset=offset, values="b")
    assert sorted(len(found.slices) for found in stacks_of([*one, *two])) == [100, 104]
    found, flags = scan_of([*one, *two])
    assert found == names(range(104)) and not flags


def test_series_that_are_long_enough_are_not_made_longer():
    chest, abdomen = stack(range(100)), stack(range(100, 150), SeriesNumber=3, SeriesInstanceUID="1.3")
    assert scan_of([*chest, *abdomen]) == (names(range(100)), [])


@pytest.mark.parametrize(
    "difference",
    [
        {"x": 5.0},
        {"ConvolutionKernel": "B30f"},
        {"StudyInstanceUID": "2"},
        {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
        {"Modality": "PT"},
        {"PixelSpacing": [0.8, 0.8]},
        {"PatientPosition": "HFP"},
        {"offset": 0.3 * STEP},
        {"offset": 4 * STEP},
    ],
    ids=str,
)
def test_series_that_differ_are_not_joined(difference):
    upper = stack(range(30, 50), **{"SeriesNumber": 3, "SeriesInstanceUID": "1.3", **difference})
    found = stacks_of([*stack(range(30)), *upper])
    assert sorted(len(part.slices) for part in found) == [20, 30]


def test_directions_that_are_rounded_otherwise_tear_nothing():
    slices = stack(range(30))
    for index, item in enumerate(slices):
        turn = [[1, 0.0049 * (index % 2), 0], [0, 1, 0]]
        slices[index] = Slice(item.path, item.header, np.array(turn), item.position)
    assert scan_of(slices) == (names(range(30)), [])


def test_a_lattice_may_miss_slices_but_no_fraction_of_a_step():
    even = np.arange(30) * STEP
    assert is_lattice(even) and is_lattice(np.delete(even, [4, 5, 17])) and is_lattice(even + 0.02)
    assert not is_lattice(np.sort([*even, 31.0])) and not is_lattice(even[:1])
    assert continues(even, even + 29 * STEP) and continues(even, even[:3] - 3 * STEP)
    assert not continues(even, even + 30.5 * STEP) and not continues(even, even + 40 * STEP)
    assert continues(even, even + 10 * STEP) and not continues(even, even + 6 * STEP) and not continues(even, even)
    assert not continues(even, 30 * STEP + np.arange(10) * 2 * STEP)


def test_files_below_are_found_through_links_and_each_once(tmp_path):
    (tmp_path / "out/deep").mkdir(parents=True), (tmp_path / "in").mkdir()
    for name in ("out/a", "out/deep/b", "in/c"):
        (tmp_path / name).write_text(name)
    links = {"in/z": "../out", "in/again": "../out/deep", "in/file": "../out/a", "out/back": "../in", "out/up": "../.."}
    for name, target in {**links, "in/none": "gone", "out/deep/self": "self"}.items():
        (tmp_path / name).symlink_to(target)
    files, dead = files_below(tmp_path / "in")
    assert sorted(path.read_text() for path in files) == ["in/c", "out/a", "out/deep/b"] and dead == 2
