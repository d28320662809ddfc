"""Every scan of bad_inputs.py is read right or refused in its sentence, of every kind of trouble many inputs are tried,
and docs/bad-inputs.md says so."""

import runpy

import pytest
import SimpleITK as sitk

from helpers import bad_inputs
from helpers.ct_files import same, volume
from helpers.kinds import CASES, KINDS
from helpers.running import ROOT
from lung4d.convert import read
from lung4d.io.status import UnusableScan


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.write.__name__)
def test_an_input_is_read_right_or_refused_in_a_sentence(tmp_path, case):
    path = case.write(tmp_path)
    if case.refused:
        with pytest.raises(UnusableScan) as caught:
            read.read_scan(path, case.series)
        assert str(caught.value) == case.refused
        assert case.refused.endswith(".") and str(tmp_path) not in case.refused
        return
    scan = read.read_scan(path, case.series)
    assert tuple(scan.flags) == case.flags
    assert case.handled
    if case.resampled:
        return
    expected = volume(origin=(0, 0, 0)) if case.write is bad_inputs.no_orientation else volume()
    assert scan.image.GetSize() == expected.GetSize()
    assert scan.image.GetSpacing() == pytest.approx(expected.GetSpacing())
    same(sitk.Clamp(scan.image, lowerBound=-1000), expected)  # padding is air of -1024 HU


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.words)
def test_of_every_kind_of_trouble_many_inputs_are_tried(kind):
    assert kind.count >= 6


def test_the_table_of_bad_inputs_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs/make_bad_inputs.py"))["render"]()
    assert (ROOT / "docs/bad-inputs.md").read_text(encoding="utf-8") == made, "run `make docs`"
