"""Model files of version 0.1.0 load and give what they gave when they were written.

In tests/data: vqgan.pt (width 2, 16 codes) and ode.pt (two members, two maps; compressed, and of the weights that draw
seven in eight are zero, so that it is small), both trained for some steps on phantoms by the code of that version;
answers.npz has an input for each, of random numbers, and what the code of that version made of it, in float32.
"""

import lzma
from dataclasses import MISSING, fields

import numpy as np
import pytest
import torch

from helpers.defaults import defaults, settings_of
from helpers.ode_cases import given_of, model, save_model, visits
from helpers.running import ROOT
from lung4d.io.atomic import DamagedFile
from lung4d.ode.calibration import Calibration
from lung4d.ode.ensemble import FILLED_IN, load_calibration, load_ode
from lung4d.ode.model import ODESettings
from lung4d.ode.observed import ObservedVisits
from lung4d.ode.options import ODETraining
from lung4d.training.settings import SettingsSection
from lung4d.vqgan.model import VQGANSettings, load_vqgan, parameter_hash
from lung4d.vqgan.options import VQGANTraining

DATA = ROOT / "tests/data"
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # processors add in another order


@pytest.fixture(scope="module")
def answers():
    return np.load(DATA / "answers.npz")


@pytest.fixture(scope="module")
def ode_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("old") / "model.pt"
    path.write_bytes(lzma.decompress((DATA / "ode.pt.xz").read_bytes()))
    return path


def test_an_old_autoencoder_is_the_same_to_the_bit_and_reconstructs_as_it_did(answers):
    vqgan = load_vqgan(DATA / "vqgan.pt")
    assert vqgan.settings == settings_of(VQGANSettings, codes=16, embedding=4, width=2, norm="group")
    assert parameter_hash(vqgan) == "6eeebdb8df94727dfbc160546a991f24b1503c3d0d608001b1cb0153605ee301"
    reconstruction, quantised = vqgan(torch.from_numpy(answers["volume"])[None, None])
    np.testing.assert_array_equal(quantised.codes[0], answers["codes"])
    np.testing.assert_allclose(reconstruction[0, 0], answers["reconstruction"], **CLOSE)


def test_an_old_disease_model_is_the_same_to_the_bit_and_forecasts_as_it_did(ode_file, answers):
    ode = load_ode(ode_file, "cpu", parameter_hash(load_vqgan(DATA / "vqgan.pt")))
    assert ode.settings == settings_of(ODESettings, channels=4, factor=4, hidden=4, maps=2, breath=False)
    assert parameter_hash(ode) == "cba4b65851050e3cc2310424467c7011f2c5764535b2dfdcb13d8cda08d14d1b"
    for member in ode.members:
        member.draw_in(torch.float32)
    z, mask = torch.from_numpy(answers["z"]), torch.from_numpy(answers["mask"])
    region = answers["mask"].repeat(4, 0).repeat(4, 1).repeat(4, 2)
    given = ObservedVisits.of(answers["years"], z, mask, answers["scans"], region, (3.0, 2.0, 2.0))
    forecast = ode.forecast(given, answers["query"])._asdict()
    for name, values in forecast.items():
        np.testing.assert_allclose(values, answers[name], **CLOSE, err_msg=name)
    assert len(forecast) == 5


def test_the_calibration_of_an_old_disease_model_is_read(ode_file):
    kept = load_calibration(ode_file)
    assert Calibration.from_record(kept).record() == kept


def test_what_a_model_file_lacks_is_what_its_model_was(tmp_path):
    ode, (z, mask) = model(features=False, maps=0, factor=4), visits(2)
    save_model(ode, tmp_path / "model.pt", "abc")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    for key in FILLED_IN:
        content["settings"].pop(key)
    torch.save(content, tmp_path / "old.pt")
    again, seen = load_ode(tmp_path / "old.pt", "cpu", "abc"), given_of(z, [0, 1], mask)
    assert again.settings == ode.settings
    assert torch.equal(again.forecast(seen, [2]).latents, ode.forecast(seen, [2]).latents)


@pytest.mark.parametrize("key", ["hidden", "latents"])
def test_a_model_file_that_lacks_what_every_version_wrote_is_damaged(ode_file, tmp_path, key):
    content = torch.load(ode_file, weights_only=True)
    content["settings"].pop(key)
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(DamagedFile, match=f"train_ode has no {key}"):
        load_ode(tmp_path / "model.pt")


@pytest.mark.parametrize("kind", [VQGANSettings, VQGANTraining, ODESettings, ODETraining])
def test_settings_have_no_defaults_but_those_of_the_configuration(kind):
    of_the_run = {"channels", "factor", "told"} if kind is ODESettings else set()
    assert {field.name for field in fields(kind)} - set(defaults(kind.SECTION)) == of_the_run
    assert all(field.default is field.default_factory is MISSING for field in fields(kind))
    assert kind in SettingsSection.__subclasses__()
