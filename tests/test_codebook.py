"""The codebook's numbers on volumes whose codes are known, and what codes decode to."""

import copy
import io

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from helpers.defaults import settings_of
from helpers.scripts import run_script
from lung4d.codebook import decoding
from lung4d.codebook.decoding import FILLED, decode_codes, frozen_norms, norm_statistics
from lung4d.codebook.shown import DECODED, EXEMPLARS, PATCH, WITH_PATCHES, most_used
from lung4d.codebook.usage import Tally, block_means, cut_patch, usage_table, with_decoded
from lung4d.figures.codes import decoded_figure, exemplar_figure
from lung4d.figures.mosaic import css_width
from lung4d.io.latents import Latents, save_latents
from lung4d.io.names import LATENTS, LUNG_MASK, VOLUME, scan_file
from lung4d.io.tables import read_table, write_table
from lung4d.io.volumes import from_unit
from lung4d.vqgan.model import VQGAN, VQGANSettings, save_vqgan

CODES, R, SHAPE = 6, 4, (4, 6, 6)  # latent shape; volumes are four times as large
HU_OF = -900.0 + 100 * np.arange(CODES)


def code_volume(seed=0):
    """Codes 0 to 4 at random, and the lung: all but the outermost positions in the plane."""
    mask = np.zeros(SHAPE, bool)
    mask[:, 1:-1, 1:-1] = True
    return np.random.default_rng(seed).integers(0, CODES - 1, SHAPE).astype(np.int16), mask


def hu_of(codes):
    """A volume (D, H, W) whose blocks have the density of their code on average, and differ inside."""
    hu = HU_OF[codes].repeat(R, 0).repeat(R, 1).repeat(R, 2)
    hu[::2] += 30
    hu[1::2] -= 30
    return hu.astype(np.int16)


def tally_of(scans, order=None):
    tally = Tally(CODES, R)
    for subject, session, split, seed in order or scans:
        codes, mask = code_volume(seed)
        tally.add((subject, session), split, codes, mask, hu_of(codes))
    return tally


SCANS = [("1", "01", "train", 0), ("1", "02", "train", 1), ("2", "01", "train", 2), ("3", "01", "test", 3)]


def test_use_and_density_of_a_known_code_volume():
    table = usage_table(tally_of(SCANS)).set_index("code")
    inside = np.concatenate([code_volume(seed)[0][code_volume(seed)[1]] for seed in range(3)])
    counts = np.bincount(inside, minlength=CODES)
    assert table["share_train"].to_numpy() == pytest.approx(counts / counts.sum())
    assert table["share_test"].sum() == pytest.approx(1) and table["share_val"].isna().all()
    assert table["mean_hu"][:5].to_numpy() == pytest.approx(HU_OF[:5])
    assert table["sd_hu"][:5].to_numpy() == pytest.approx(0, abs=1e-3)
    assert list(table["used"]) == [True] * 5 + [False] and np.isnan(table["mean_hu"][5])
    assert list(table.sort_values("rank").index[:5]) == sorted(range(5), key=lambda code: (-counts[code], code))
    assert table["rank"][5] == CODES


def test_block_means_are_of_whole_blocks():
    volume = np.arange(8 * 4 * 4, dtype=np.int16).reshape(8, 4, 4)
    assert block_means(volume, 4)[:, 0, 0] == pytest.approx([volume[:4].mean(), volume[4:].mean()])


def test_places_hold_their_code_inside_the_lung():
    places = tally_of(SCANS).places
    assert list(places.groupby("code").size()) == [EXEMPLARS] * 5
    seed_of = {(subject, session): seed for subject, session, _, seed in SCANS}
    for place in places.itertuples():
        codes, mask = code_volume(seed_of[place.subject, place.session])
        position = tuple(voxel // R for voxel in (place.z, place.y, place.x))
        assert codes[position] == place.code and mask[position]
        assert (place.z - R // 2) % R == 0
    assert set(places["subject"]) == {"1", "2"}  # training patients alone


def test_places_come_from_as_many_patients_as_there_are_in_any_order():
    many = [(str(number), "01", "train", number) for number in range(6)] + [("0", "02", "train", 9)]
    places = tally_of(many).places
    assert (places.groupby("code")["subject"].nunique() == EXEMPLARS).all()
    pd.testing.assert_frame_equal(places, tally_of(many, order=many[::-1]).places)


def test_a_scan_without_lung_changes_nothing():
    tally = tally_of(SCANS)
    before = tally.places.copy()
    codes, mask = code_volume()
    tally.add(("4", "01"), "train", codes, np.zeros_like(mask), hu_of(codes))
    pd.testing.assert_frame_equal(before, tally.places)


def test_patches_surround_the_block_of_their_place_and_repeat_the_border():
    hu = np.arange(24 * 24).reshape(1, 24, 24).repeat(4, 0)
    side = PATCH * R
    patch = cut_patch(hu, (2, 10, 14), side)  # the block of rows 8 to 11, columns 12 to 15
    assert patch.shape == (side, side)
    assert (patch[2 * R : 3 * R, 2 * R : 3 * R] == hu[2, 8:12, 12:16]).all()
    corner = cut_patch(hu, (2, 2, 2), side)
    assert (corner[: 2 * R, : 2 * R] == hu[2, 0, 0]).all()


def test_codes_are_shown_from_air_to_tissue_the_unused_last():
    table = with_decoded(usage_table(tally_of(SCANS)), np.arange(CODES), np.full((CODES, R, R, R), -950.0))
    assert list(most_used(table, 99)["code"]) == list(range(CODES))
    assert len(most_used(table, 3)) == 3 and list(most_used(table, 3)["rank"].sort_values()) == [1, 2, 3]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = VQGAN(settings_of(VQGANSettings, codes=CODES, embedding=4, width=4, compression=R, norm="group"))
    model.eval().requires_grad_(False)
    model.quantiser.codebook.copy_(torch.randn(CODES, 4))
    return model


@pytest.fixture(scope="module")
def context(model):
    return model.embed(torch.as_tensor(code_volume()[0]).long()[None])[0].numpy()


def test_frozen_norms_of_a_latent_decode_that_latent_as_ever(model, context):
    z = torch.as_tensor(context)[None]
    statistics = norm_statistics(model, z)
    plain = model.decode(z)
    with frozen_norms(statistics):
        torch.testing.assert_close(model.decode(z), plain, rtol=1e-4, atol=1e-5)
        half = model.decode(z[..., :3])
    assert not torch.allclose(model.decode(z[..., :3]), half)  # and afterwards the norms are their own again


def test_codes_decode_to_patterns_of_their_own_that_repeat_themselves(model, context, monkeypatch):
    monkeypatch.setattr(decoding, "FILLED", 9)  # from here on the faces do not reach the middle at all
    blocks = decode_codes(model, np.arange(CODES), context)
    assert blocks.shape == (CODES, R, R, R)
    assert len(np.unique(blocks.mean(axis=(1, 2, 3)).round(2))) == CODES
    with frozen_norms(norm_statistics(model, torch.as_tensor(context)[None])):
        large = model.decode(model.embed(torch.full((1, 13, 13, 13), 3)))[0, 0].numpy()
    low, high = model.settings.window
    near = (np.clip(large[20:32, 20:32, 20:32], -0.5, 0.5) + 0.5) * (high - low) + low
    assert np.tile(blocks[3], (3, 3, 3)) == pytest.approx(near, abs=0.1)


def test_with_norms_of_a_voxel_a_code_is_simply_decoded():
    torch.manual_seed(0)
    model = VQGAN(settings_of(VQGANSettings, codes=CODES, embedding=4, width=4, compression=R)).eval()
    model.quantiser.initialise(torch.randn(1, 4, 6, 6, 6))
    codes = np.arange(CODES)
    blocks = decode_codes(model, codes, np.zeros((4, 3, 3, 3), np.float32))
    filled = torch.from_numpy(codes)[:, None, None, None].expand(-1, FILLED, FILLED, FILLED)
    middle = slice(FILLED // 2 * R, (FILLED // 2 + 1) * R)
    with torch.no_grad():
        plain = model.decode(model.embed(filled))[:, 0, middle, middle, middle]
    np.testing.assert_allclose(blocks, from_unit(plain.numpy(), model.settings.window), atol=0.01)
    assert blocks.std(axis=0).max() > 10


def test_without_frozen_norms_all_codes_would_be_one_grey(model):
    exact = copy.deepcopy(model).double()
    decoded = exact.decode(exact.embed(torch.arange(CODES)[:, None, None, None].expand(-1, 3, 3, 3)))
    assert decoded.std(dim=0).max() < 0.01  # what is left is rounding, which the norms amplify


@pytest.mark.slow
def test_pictures_cap_the_codes_they_show():
    codes = 4096
    tally = Tally(codes, R)
    tally.counts["train"] = np.arange(codes)
    tally.hu_sum = -tally.counts["train"] * np.linspace(900, 0, codes)
    table = usage_table(tally).assign(decoded_hu=np.nan)
    shown = most_used(table, DECODED)["code"]
    decoded = decoded_figure(table, {code: np.full((R, R, R), -800.0) for code in shown})
    patches = {code: [np.full((20, 20), -800.0)] for code in range(codes)}
    few = most_used(table, WITH_PATCHES)["code"]
    assert set(shown) == set(range(codes - DECODED, codes)) and len(few) == WITH_PATCHES
    assert css_width(decoded) < 930 and css_width(exemplar_figure(table, patches)) < 930
    Image.open(io.BytesIO(decoded)).verify()


def write_scan(folder, model, subject, session, seed):
    codes, mask = code_volume(seed)
    embeddings = model.embed(torch.as_tensor(codes).long()[None])[0].numpy()
    (folder / f"sub-{subject}").mkdir(exist_ok=True)
    save_latents(Latents(codes, embeddings, embeddings, mask), scan_file(folder, subject, session, LATENTS))
    image = nib.Nifti1Image(np.ascontiguousarray(hu_of(codes).T), np.eye(4))
    nib.save(image, scan_file(folder, subject, session, VOLUME))
    scan_file(folder, subject, session, LUNG_MASK).touch()


def test_the_script_writes_the_same_tables_and_pictures_twice(tmp_path, model):
    for subject, session, _, seed in SCANS:
        write_scan(tmp_path, model, subject, session, seed)
    save_vqgan(model, tmp_path / "model.pt")
    split = pd.DataFrame(SCANS, columns=["subject", "session", "split", "years"])
    write_table(split, tmp_path / "split.tsv")
    inputs = {
        "model": tmp_path / "model.pt",
        "split": tmp_path / "split.tsv",
    }
    params = {"folders": {"resample": tmp_path, "extract_latents": tmp_path}}
    names = ("table", "exemplars", "decoded_picture", "exemplar_picture")
    written = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        outputs = {name: tmp_path / run / f"{name}.{'png' if 'picture' in name else 'tsv'}" for name in names}
        run_script("codebook", inputs, outputs, params, tmp_path / run / "log")
        written.append([path.read_bytes() for path in outputs.values()])
    assert written[0] == written[1]
    assert list(read_table(tmp_path / "a/table.tsv")["code"]) == list(range(CODES))
