"""The stage's script from files to tables, with tiny untrained models of the real kind."""

import shutil
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch

from helpers.defaults import settings_of
from helpers.ode_cases import NO_CALIBRATION
from helpers.scripts import run_job
from lung4d.evaluate import forecasting
from lung4d.evaluate.baselines import BASELINES, Chosen, FittedBaselines, ForecastInputs
from lung4d.evaluate.cohort_change import CohortChange
from lung4d.evaluate.forecasters import REMEMBERED, CachedDecoder, decoder_of, forecaster_of
from lung4d.evaluate.trends import Trend, Weighting
from lung4d.io.atomic import read_json
from lung4d.io.latents import Latents, pool_mask, save_latents
from lung4d.io.names import EXPANSION, LATENTS, LUNG_MASK, STATUS, VOLUME, scan_file
from lung4d.io.status import Status, write_status
from lung4d.io.tables import read_table, write_table
from lung4d.io.volumes import to_unit
from lung4d.ode.decoding import MODES, decode_forecast
from lung4d.ode.ensemble import load_ode, save_ode
from lung4d.ode.model import Forecast, LatentODE, ODESettings
from lung4d.ode.observed import ObservedVisits as Seen
from lung4d.visits.patient import find_patients
from lung4d.visits.tasks import forecast_tasks
from lung4d.vqgan.model import VQGAN, VQGANSettings, load_vqgan, parameter_hash, save_vqgan

MOVED = "sub-004_given-01+02_ses-03_ct.nii"
SHAPE, WINDOW = (12, 16, 16), (-1000, 500)
VISITS = {"001": (0.0, 1.0), "002": (0.0, 1.0, 2.0), "003": (0.0, 0.5, 1.5, 4.0), "004": (0.0, 1.0, 3.0)}
SPLITS = {"001": "train", "002": "val", "003": "test", "004": "test", "005": "external"}
METHODS = [*BASELINES, *(f"model ({mode})" for mode in MODES)]


class Given(dict):
    """What Snakemake hands a script: names as attributes, and `get`."""

    __getattr__ = dict.__getitem__


def lung():
    mask = np.zeros(SHAPE, bool)
    mask[1:11, 3:13, 2:14] = True
    return mask


def hu_of(subject, year):
    random = np.random.default_rng([int(subject), int(10 * year)])
    inside = -700 + 30 * year + 40 * random.standard_normal(SHAPE)
    return np.where(lung(), inside, 40).astype(np.int16)


def write_nifti(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(array.T), np.diag([-2.0, -2.0, 3.0, 1.0])), path)
    return path


def write_models(folder):
    torch.manual_seed(0)
    vqgan = VQGAN(settings_of(VQGANSettings, window=WINDOW, codes=16, embedding=4, compression=4, width=4))
    vqgan.quantiser.load_state_dict({k: torch.randn_like(v) if v.is_floating_point() else v
                                     for k, v in vqgan.quantiser.state_dict().items()})  # fmt: skip
    save_vqgan(vqgan, folder / "vqgan.pt")
    ode = LatentODE(settings_of(ODESettings, channels=4, factor=4, hidden=4))
    torch.nn.init.normal_(ode.decoder[-1].weight, std=0.1)  # it starts at "nothing changes"
    save_ode(ode.settings, [ode.state_dict()], folder / "ode.pt", parameter_hash(vqgan), calibration=NO_CALIBRATION)
    return load_vqgan(folder / "vqgan.pt")


@torch.no_grad()
def write_scan(folder, vqgan, subject, session, hu):
    write_nifti(hu, scan_file(folder / "resample", subject, session, VOLUME))
    for stage in ("segment", "resample"):
        write_nifti(lung().astype(np.uint8), scan_file(folder / stage, subject, session, LUNG_MASK))
    still = np.zeros([-(-size // 4) for size in hu.shape], np.float32)
    write_nifti(still, scan_file(folder / "resample", subject, session, EXPANSION))
    continuous = vqgan.encode(torch.as_tensor(to_unit(hu, WINDOW))[None, None])
    found = vqgan.quantise(continuous)
    latents = Latents(
        codes=found.codes[0].numpy().astype(np.int16),
        embeddings=found.embeddings[0].numpy(),
        continuous=continuous[0].numpy(),
        mask=pool_mask(lung(), 4),
    )
    save_latents(latents, scan_file(folder / "extract_latents", subject, session, LATENTS))
    volume = {"volume_ml": 4000.0 - 50 * int(session)}
    write_status(Status(True, "segment", metrics=volume), scan_file(folder / "segment", subject, session, STATUS))
    taken = Status(True, "register", metrics={"differs_in": "breath; kernel" if session == "03" else ""})
    write_status(taken, scan_file(folder / "register", subject, session, STATUS))


def write_truth(folder, subject, session, year):
    """A truth without motion: the field of the registration is exact where it is zero."""
    here, stem = folder / f"simulate/truth/sub-{subject}", f"sub-{subject}_ses-{session}"
    write_nifti(lung().astype(np.uint8), here / f"{stem}_desc-truth_mask.nii.gz")
    write_nifti(np.where(lung(), -700 + 30 * year, 40).astype(np.int16), here / f"{stem}_desc-noisefree_ct.nii.gz")
    points = np.random.default_rng(0).uniform(4, 20, (10, 3))
    columns = [f"{kind}_{axis}" for kind in ("baseline", "visit") for axis in "xyz"]
    landmarks = pd.DataFrame(np.hstack([points, points + (1.0, 0, 0)]), columns=columns)
    landmarks.to_csv(here / f"{stem}_desc-truth_landmarks.tsv", sep="\t", index=False)
    field = sitk.Image([16, 16, 12], sitk.sitkVectorFloat32, 3)
    field.SetSpacing((2.0, 2.0, 3.0))
    path = scan_file(folder / "register", subject, session, "from-baseline_to-native_xfm.nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(field, str(path))


def prepare(folder, visits=VISITS, truth=True):
    """All inputs of the stage below `folder`, as a stand-in of Snakemake's object."""
    vqgan = write_models(folder)
    rows = []
    for subject, years in visits.items():
        (folder / f"extract_latents/sub-{subject}").mkdir(parents=True)
        for number, year in enumerate(years, start=1):
            session = f"{number:02d}"
            write_scan(folder, vqgan, subject, session, hu_of(subject, year))
            rows.append((subject, session, year, SPLITS[subject]))
            if truth:
                write_truth(folder, subject, session, year)
    write_table(pd.DataFrame(rows, columns=["subject", "session", "years", "split"]), folder / "split.tsv")
    given = Given(
        split=folder / "split.tsv",
        vqgan=folder / "vqgan.pt",
        ode=folder / "ode.pt",
    )
    stages = ["segment", "register", "resample", "extract_latents"]
    names = ["reconstruction", "forecast", "summary", "differences", "change", "coverage", "calls", "volume", "codes"]
    if truth:
        stages += ["simulate"]
        names += ["segmentation", "registration"]
    output = Given({name: folder / f"evaluate/{name}.tsv" for name in names}, words=folder / "evaluate/summary.json")
    return SimpleNamespace(
        input=Given(given),
        output=output,
        params=SimpleNamespace(
            seed=1,
            bootstrap=50,
            blur_sigmas=[0.5, 1.0],
            slope_sigmas=[2.0, 4.0],
            low_pass=4.0,
            forecasts=None,
            folders={stage: folder / stage for stage in stages},
        ),
        log=[str(folder / "evaluate.log")],
        threads=1,
    )


def evaluate(folder, **options):
    job = prepare(folder, **options)
    run_job("evaluate", **vars(job))
    return job.output


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return evaluate(tmp_path_factory.mktemp("evaluate"))


def test_forecasts_of_all_methods_on_withheld_visits(done):
    table = read_table(done.forecast)
    assert set(table["subject"]) == {"003", "004"}
    expected = {"003": {"extrapolation": {"03", "04"}, "interpolation": {"02", "03"}},
                "004": {"extrapolation": {"03"}, "interpolation": {"02"}}}  # fmt: skip
    for (subject, task, given), part in table.groupby(["subject", "task", "given"]):
        assert set(part["session"]) == expected[subject][task]
        assert not set(part["session"]) & set(given.split("+"))
        for _, scores in part.groupby(["session", "region"]):
            assert [name for name in scores["method"] if name not in forecasting.ORACLES] == METHODS
            assert set(scores["method"]) - set(METHODS) == set(forecasting.ORACLES)
    assert np.isfinite(table[["mse", "ssim", "nrmse"]]).all(axis=None)
    assert table.query("region == 'lung'")["mse_noisefree"].notna().all()
    pd.testing.assert_frame_equal(
        table, pd.read_parquet(done.forecast.with_suffix(".parquet")), rtol=1e-4, check_dtype=False
    )


def test_reconstruction_of_held_out_scans(done):
    table = read_table(done.reconstruction)
    assert table.groupby("split")["session"].count().to_dict() == {"test": 2 * 7, "val": 2 * 3}
    codes = read_table(done.codes)
    assert codes.groupby("split")["code"].count().to_dict() == {"test": 16, "val": 16}
    assert codes.groupby("split")["frequency"].sum().tolist() == pytest.approx([1, 1], abs=1e-4)


def test_scores_against_the_truth(done):
    assert (read_table(done.segmentation)["dice"] == 1).all()
    assert len(read_table(done.segmentation)) == 12
    registration = read_table(done.registration)
    assert len(registration) == 12 - 4  # follow-ups only
    assert registration["after_mean"].to_numpy() == pytest.approx(1)


def test_the_summary_in_words(done):
    summary = read_json(done.words)
    assert (summary["blur_sigma"]["split"], summary["mix"]["split"]) == ("val", "val")
    said = "\n".join(summary["sentences"])
    for part in (
        "Extrapolation (all visits after the first two, from the first two): 2 of 2 test patients have",
        "Interpolation, model (mix): in-lung MSE",
        "Reconstruction of 7 test scans",
        "of 16 are each used",
        "1 training patient with two visits",
        "mean Dice 1.000",
        "1.00 mm before, 1.00 mm after",
        "Set test: of 5 withheld visits 2 are taken otherwise than the baseline (breath 2, kernel 2)",
    ):
        assert part in said
    assert str(done.words.parent) not in said


ASKED = {  # by what is forecast of whom, from which visits: the visit that the last scan is carried forward from
    ("003", "01+02", "03"): "02",
    ("003", "01+02", "04"): "02",
    ("004", "01+02", "03"): "02",
    ("003", "01+04", "02"): "01",
    ("003", "01+04", "03"): "01",
    ("004", "01+03", "02"): "01",
}


def with_forecasts(folder, asked=ASKED):
    """The stage's job, with last scans as the forecasts of somebody else."""
    job = prepare(folder)
    job.params.forecasts = str(folder / "theirs")
    (folder / "theirs").mkdir()
    for (subject, given, session), last in asked.items():
        name = f"sub-{subject}_given-{given}_ses-{session}_ct.nii"
        shutil.copy(scan_file(folder / "resample", subject, last, VOLUME), folder / "theirs" / name)
    return job


def test_last_scans_given_as_forecasts_are_the_last_scans_row(tmp_path):
    job = with_forecasts(tmp_path)
    run_job("evaluate", **vars(job))
    for name in ("forecast", "summary", "change", "differences"):
        table = read_table(job.output[name])
        keys = [column for column in table if table[column].dtype == object and column != "method"]
        numbers = [column for column in table if column not in (*keys, "method")]
        theirs, ours = (
            table[table["method"] == method].sort_values([*keys, *numbers]).reset_index(drop=True)
            for method in ("forecasts", "locf")
        )
        if name == "differences":  # to the last scan itself there is no row of its own
            theirs = theirs[theirs["reference"] != "locf"].reset_index(drop=True)
        assert len(ours) == len(theirs) > 0, name
        pd.testing.assert_frame_equal(theirs[[*keys, *numbers]], ours[[*keys, *numbers]])
    assert "Forecasts given: 6 of 6 withheld visits have one." in read_json(job.output.words)["sentences"]


def test_a_row_of_given_forecasts_is_of_the_visits_that_they_have(tmp_path, done):
    job = with_forecasts(tmp_path, {("003", "01+02", "04"): "02"})
    shutil.copy(next((tmp_path / "theirs").iterdir()), tmp_path / "theirs/sub-009_given-01+02_ses-03_ct.nii")
    run_job("evaluate", **vars(job))
    summary = read_table(job.output.summary)
    rows = summary[summary["method"] == "forecasts"]
    assert set(rows["task"]) == {"extrapolation"} and set(rows["patients"]) == set(rows["targets"]) == {1}
    others = summary[summary["method"] != "forecasts"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, read_table(done.summary))
    said = " ".join(read_json(job.output.words)["sentences"])
    assert "Forecasts given: 1 of 6 withheld visits have one. Files that forecast none: sub-009_given-01+02" in said


def test_forecasts_on_another_grid_are_refused_by_name(tmp_path):
    job = with_forecasts(tmp_path, {("003", "01+02", "04"): "02"})
    small = write_nifti(np.zeros((12, 16, 15), np.int16), tmp_path / "theirs/sub-003_given-01+02_ses-03_ct.nii")
    moved = nib.load(next((tmp_path / "theirs").glob("*ses-04*")))
    nib.save(nib.Nifti1Image(moved.get_fdata(), moved.affine + np.eye(4, k=3)), tmp_path / "theirs" / MOVED)
    with pytest.raises(ValueError, match=r"evaluate\.forecasts") as told:
        run_job("evaluate", **vars(job))
    assert f"{small.name}: has 12x16x15 voxels, the patient's preprocessed ones have 12x16x16" in str(told.value)
    assert f"{MOVED}: lies up to 1.0 mm off" in str(told.value)


def test_without_truth_and_without_third_visits(tmp_path):
    done = evaluate(tmp_path, visits={"001": (0.0, 1.0), "003": (0.0, 2.0)}, truth=False)
    for table in (read_table(done.forecast), read_table(done.summary), read_table(done.differences)):
        assert len(table) == 0
        assert "method" in table
    summary = read_json(done.words)
    assert "none of 1 test patient has three usable visits" in " ".join(summary["sentences"])
    assert summary["blur_sigma"]["split"] == "train"
    assert summary["mix"] == {"value": 0.5, "split": "", "patients": 0}
    assert len(read_table(done.reconstruction)) == 4
    assert not (tmp_path / "evaluate/segmentation.tsv").exists()


def test_external_patients_are_a_set_of_their_own(tmp_path):
    done = evaluate(tmp_path, visits={"001": (0.0, 1.0), "004": (0.0, 1.0, 3.0), "005": (0.0, 1.0, 2.0)})
    for table in (done.forecast, done.summary, done.differences):
        assert set(read_table(table)["set"]) == {"test", "external"}
    assert "Extrapolation, set external: 1 of 1 patient." in " ".join(read_json(done.words)["sentences"])


def test_one_patient_in_training_alone(tmp_path):
    done = evaluate(tmp_path, visits={"001": (0.0,)}, truth=False)
    assert len(read_table(done.reconstruction)) == len(read_table(done.codes)) == 0
    assert "there is no held-out scan" in " ".join(read_json(done.words)["sentences"])


def test_real_models_see_no_withheld_visit(tmp_path):
    """Forecasts stay bit for bit the same when the withheld scans and their latents are others."""
    vqgan = write_models(tmp_path)
    ode = load_ode(tmp_path / "ode.pt")
    years = VISITS["003"]
    made = []
    for changed in (False, True):
        folder = tmp_path / str(changed)
        sessions = [f"{number:02d}" for number, _ in enumerate(years, start=1)]
        for number, (session, year) in enumerate(zip(sessions, years, strict=True), start=1):
            write_scan(folder, vqgan, "003", session, hu_of("007" if changed and number > 2 else "003", year))
        split = pd.DataFrame({"subject": "003", "session": sessions, "years": years, "split": "test"})
        (visits,) = find_patients(split, folder / "resample", folder / "extract_latents", WINDOW)
        trend = Chosen({"extrapolation": Trend(4.0, 0.5)}, "", 0)
        change = CohortChange(0.01, np.full((4, 4), 0.01), 1)
        weighting = Chosen({"extrapolation": Weighting(0.3, 0.01)}, "", 0)
        fitted = FittedBaselines(Chosen(1.0, "", 0), Chosen(0.5, "", 0), change, trend, trend, weighting)
        task = forecast_tasks(len(years))[0]
        asked = visits.years[list(task.targets)]
        known = ForecastInputs(visits.take(task.given), fitted, decoder_of(vqgan), task.name)
        made.append(list(forecasting.forecasts(known, asked, forecaster_of(vqgan, ode))))
    assert len(made[0]) == 2 * (len(BASELINES) + len(MODES))
    for (_, name, before), (_, _, after) in zip(*made, strict=True):
        assert np.array_equal(before, after), name
    volumes = {(index, name): volume for index, name, volume in made[0]}
    assert not np.allclose(volumes[0, "model (pure)"], volumes[1, "model (pure)"])  # the year matters
    pure, residual, mix = (volumes[0, f"model ({name})"] for name in ("pure", "residual", "mix"))
    unclipped = np.maximum(np.abs(pure), np.abs(residual)) < 0.5
    assert np.allclose(mix[unclipped], (pure + residual)[unclipped] / 2, atol=1e-5)


def test_remembered_decodings_are_the_same_and_nothing_alters_them(tmp_path):
    vqgan = write_models(tmp_path)
    remembering = CachedDecoder(vqgan)
    latents = [torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(i)) for i in range(REMEMBERED + 2)]
    for _ in range(2):
        for z in latents:
            assert torch.equal(remembering.decode(z), vqgan.decode(z))
    assert remembering.decode(latents[-1]) is remembering.decode(latents[-1].clone())
    z = latents[-1][0].numpy()
    given = Seen.of([0.0], latents[-1], np.ones(latents[-1].shape[2:], bool), np.zeros((1, *SHAPE)), lung(), (3, 2, 2))
    decode_forecast(remembering, Forecast(latents[-1], latents[-1]), given, [1.0], "residual")
    assert np.array_equal(decoder_of(remembering)(z), decoder_of(vqgan)(z))


def test_calls_of_every_method_are_of_the_test_patients(done):
    table = read_table(done.calls)
    assert set(table["method"]) == set(METHODS) and set(table["set"]) == {"test"}
    assert (table.groupby("method")["patients"].sum() == 2).all() and set(table["source"]) == {"seen"}
    assert (table["val_patients"] == 0).all() and (table["stable_below"] == 2).all()  # one val patient has no rival
    carried = table[(table["method"] == "locf") & (table["patients"] > 0)]
    assert (carried["called_stable"] == 1).all()  # it foretells no change
