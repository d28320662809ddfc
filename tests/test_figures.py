"""Figures: known slices, colours and layouts; every picture decodes."""

import io

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from PIL import Image

from lung4d.figures import charts, mosaic, scans, slices, strip, views
from lung4d.figures.slices import Tile


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA").convert("RGB"))


def box(shape=(20, 24, 28)):
    """A mask with a lung box of known extent, and a volume with a lung's HU in it."""
    mask = np.zeros(shape, bool)
    mask[4:15, 6:18, 5:23] = True
    return np.where(mask, -800, 40).astype(np.int16), mask


def test_axial_slices_stand_as_stored_and_coronal_ones_head_up():
    volume = np.arange(24).reshape(2, 3, 4)
    assert (slices.cut(volume, "axial", 1) == volume[1]).all()
    assert (slices.cut(volume, "coronal", 2)[0] == volume[1, 2]).all()


def test_lung_index_follows_the_lung_and_not_the_volume():
    _, mask = box()
    assert slices.lung_index(mask, "axial", 0.0) == 4
    assert slices.lung_index(mask, "axial", 1.0) == 14
    assert slices.lung_index(mask, "coronal", 0.0) == 6
    assert slices.lung_index(np.zeros((5, 9, 9), bool), "axial", 0.5) == 2


def test_spacing_from_an_oblique_affine():
    rotation = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([0.7, 0.8, 2.5])
    assert slices.voxel_spacing(affine) == pytest.approx((2.5, 0.8, 0.7))


def test_window_maps_its_ends_to_black_and_white():
    pixels = slices.grey(np.array([[-2000.0, -1350.0, -600.0, 150.0, 900.0]]))
    assert pixels[0, :, 0] == pytest.approx([0, 0, 0.5, 1, 1])


def test_overlay_is_grey_where_scans_agree_and_blue_or_yellow_where_not():
    baseline, follow_up = np.array([[-600.0, 150.0, -1350.0]]), np.array([[-600.0, -1350.0, 150.0]])
    pixels = slices.overlay(baseline, follow_up)[0]
    assert pixels[0] == pytest.approx([0.5, 0.5, 0.5])
    assert pixels[1] == pytest.approx([0, 0, 1])  # baseline alone
    assert pixels[2] == pytest.approx([1, 1, 0])  # follow-up alone


def test_change_is_orange_where_denser_blue_where_less_and_none_outside():
    anatomy = np.full((1, 4), -1350.0)
    region = np.array([[True, True, True, False]])
    pixels = slices.change(anatomy, np.array([[500.0, -500.0, 0.0, 500.0]]), region)[0]
    assert pixels[0] == pytest.approx(slices.DENSER)
    assert pixels[1] == pytest.approx(slices.LIGHTER)
    assert pixels[2:] == pytest.approx(0)


def test_smoothing_keeps_a_constant_up_to_the_edge_and_adds_nothing_outside():
    region = np.zeros((9, 9), bool)
    region[2:7, 2:7] = True
    smooth = slices.smooth_in(np.where(region, 100.0, -5000.0), region, (1.0, 1.0), 2.0)
    assert smooth[region] == pytest.approx(100.0, rel=1e-4)
    assert (smooth[~region] == 0).all()


def test_tiles_have_true_proportions():
    tile = Tile(np.zeros((10, 20, 3)), (4.0, 1.0))
    assert mosaic.tile_height(tile, 100) == 200


def test_mosaic_size_and_black_ground():
    tile = Tile(np.ones((10, 10, 3)), (1.0, 1.0))
    png = mosaic.mosaic([[tile, None]], width=80)
    pixels = picture(png)
    assert mosaic.css_width(png) == 164
    assert pixels.shape[:2] == (100, 205)
    assert (pixels[10:90, 10:90] > 250).all()
    assert (pixels[:, 110:] == 0).all()


def test_ct_figures_decode():
    hu, mask = box()
    spacing = (3.0, 2.0, 2.0)
    assert picture(scans.mask_mosaic([("001\nvisit 01", hu, mask, spacing)])).std() > 0
    assert picture(scans.registration_figure(hu, hu, hu, mask, spacing)).std() > 0
    assert picture(scans.reconstruction_figure([("001", hu, hu, mask, spacing)])).std() > 0
    first, second = scans.flicker_pair(hu, np.roll(hu, 2, axis=1), mask, spacing)
    assert picture(first).shape == picture(second).shape
    assert (picture(first) != picture(second)).any()


def test_registration_of_a_scan_to_itself_shows_no_colour():
    hu, mask = box()
    pixels = picture(scans.registration_figure(hu, hu, hu, mask, (3.0, 2.0, 2.0))).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 6


def test_an_empty_mask_makes_a_picture_all_the_same():
    hu, mask = box()
    assert picture(scans.mask_mosaic([("001", hu, np.zeros_like(mask), (3.0, 2.0, 2.0))])).size


def test_strip_shows_all_visits_first_and_fills_with_far_years():
    assert strip.strip_years([0.0, 1.0], [0.0, 0.5, 1.0, 1.5, 3.0], 4) == [0.0, 0.5, 1.0, 3.0]
    assert strip.strip_years([0, 1, 2, 3, 4, 5, 6], [], 4) == [0, 2, 4, 6]
    assert strip.strip_years([0.0], [0.1, 0.2], 6) == [0.0]


def test_strip_puts_a_forecast_only_where_it_belongs():
    hu, _ = box()
    moments = [strip.Moment(1.0, hu), strip.Moment(2.0, hu)]
    assert strip.nearest(moments, 1.8, within=0.3) is moments[1]
    assert strip.nearest(moments, 1.5, within=0.3) is None
    assert strip.nearest([], 1.5, within=0.3) is None


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_strip_decodes_with_gaps(plane):
    hu, mask = box()
    real = [strip.Moment(0.0, hu, True), strip.Moment(1.3, hu + np.int16(100))]
    drawn = [strip.Moment(0.0, hu), strip.Moment(2.0, hu)]
    assert picture(strip.trajectory_strip(real, drawn, mask, (3.0, 2.0, 2.0), plane)).std() > 0


def test_the_strip_shows_the_place_that_changes_most():
    """Noise that does not last averages out; a blob of 40 HU over 30 mm in the left lower corner does not."""
    hu, mask = box((40, 48, 56))
    mask[:] = False
    mask[4:36, 4:44, 4:52] = True
    later = hu + np.random.default_rng(0).normal(0, 20, hu.shape)
    later[8:14, 30:38, 40:50] += 200
    z, y, x = strip.largest_change(later, hu, mask, (4.0, 4.0, 4.0))
    assert abs(z - 10.5) <= 5 and abs(y - 33.5) <= 5 and abs(x - 44.5) <= 5
    assert strip.largest_change(hu, hu, mask, (4.0, 4.0, 4.0)) is None
    later[:] = hu
    later[20, 2, 20] += 3000  # outside the lung
    assert strip.largest_change(later, hu, mask, (4.0, 4.0, 4.0)) is None


def test_a_caption_makes_the_picture_higher_and_stays_inside():
    tile = Tile(np.zeros((10, 10, 3)), (1.0, 1.0))
    plain, told = (
        picture(mosaic.mosaic([[tile] * 4], width=150, key=True, caption=words)) for words in ("", "wide words " * 40)
    )
    assert told.shape[0] > plain.shape[0] and told.shape[1] == plain.shape[1]
    assert (told[plain.shape[0] :] > 100).any() and not (told[plain.shape[0] :, -6:] > 100).any()


def test_numbers_at_risk():
    steps = pd.DataFrame({"time": [0.0, 1.0, 2.0], "at_risk": [10, 10, 6]})
    assert [charts.number_at_risk(steps, when) for when in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)] == [10, 10, 10, 6, 6, 0]


def test_charts_decode_in_both_schemes():
    steps = np.arange(1, 50)
    held_out = np.where(steps % 10 == 0, 0.5, np.nan)
    curve = charts.training_curve({"training": (steps, 1 / steps), "held out": (steps, held_out)}, "Loss", "step")
    bars = charts.interval_bars(
        [charts.Bar("Model", -1.0, -2.0, 0.1, True), charts.Bar("Last", 0, np.nan, np.nan)], "d"
    )
    survival = pd.DataFrame({"group": ["low"] * 2 + ["high"] * 2, "time": [0.0, 2.0] * 2, "survival": [1, 0.5, 1, 0.0]})
    curves = charts.kaplan_meier_chart(survival.assign(at_risk=4, low=0.2, high=1.0), [0.0, 1.0, 2.0])
    for chart in (curve, bars, curves):
        assert chart.width > 0
        assert picture(chart.light).shape == picture(chart.dark).shape
        assert chart.light != chart.dark


def test_view_surrounds_the_mask_and_finds_the_values():
    mask = sitk.GetImageFromArray(np.pad(np.ones((4, 6, 8), np.uint8), ((3, 3), (2, 2), (5, 5))))
    mask.SetSpacing((2.0, 3.0, 5.0))
    mask.SetOrigin((-7.0, 11.0, 100.0))
    view = views.view_of(mask, mask, spacing=1.0, margin=10.0)
    assert view.size == (16 + 20, 18 + 20, 20 + 20)
    inside = views.on_view(mask, view, mask=True)
    assert inside.shape == (40, 38, 36)
    assert inside[10:30, 10:28, 10:26].all()
    assert inside.sum() == 20 * 18 * 16
    ct = sitk.Cast(mask, sitk.sitkInt16) * 1000 - 900
    assert views.on_view(ct, view)[20, 19, 18] == pytest.approx(100)
    assert views.on_view(ct, view)[0, 0, 0] == pytest.approx(-1024)  # beyond the scan


def test_view_of_an_empty_mask_is_the_whole_scan():
    ct = sitk.Image([10, 12, 8], sitk.sitkInt16)
    view = views.view_of(ct, sitk.Image([10, 12, 8], sitk.sitkUInt8), spacing=1.0)
    assert view.size == (10, 12, 8)
