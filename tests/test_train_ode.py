"""Training of the latent disease ODE: what it learns, what it is chosen by, and that it resumes exactly."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from helpers.defaults import settings_of
from helpers.earlier_job import beside
from helpers.ode_cases import FACTOR, ROOT, WINDOW, drifting, given_of, section, tensors, write_cohort
from helpers.scripts import Named, run_job
from lung4d.io.tables import read_table
from lung4d.ode import training
from lung4d.ode.ensemble import as_ensemble, load_calibration, load_ode, save_ode
from lung4d.ode.model import ODESettings
from lung4d.ode.observed import VisitTensors
from lung4d.ode.options import ODETraining
from lung4d.ode.patients import spread, usable
from lung4d.ode.samples import Samples, draw_given
from lung4d.ode.validation import validate
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.lock import Lock
from lung4d.training.stopping import Stopper
from lung4d.visits.patient import find_patients
from lung4d.visits.tasks import held_out_tasks
from lung4d.vqgan.model import load_vqgan, parameter_hash

LATENTS_ONLY = {"features": False, "maps": 0}
OPTIONS = {
    "members": 1, "lr": 3e-3, "lr_decay": 0.0, "betas": (0.5, 0.9), "epochs": 2, "crop": None, "validate_every": 3
}  # fmt: skip


def start(folder, patients, settings=LATENTS_ONLY, **changes) -> training.EnsembleTraining:
    made = settings_of(ODESettings, **{"channels": 3, "factor": FACTOR, "hidden": 4, **settings})
    options = settings_of(ODETraining, **{**OPTIONS, **changes})
    return training.start_training(made, options, patients, torch.device("cpu"), folder / "history.parquet")


def train(folder, patients, settings=LATENTS_ONLY, **changes) -> training.EnsembleTraining:
    begun = start(folder, patients, settings, **changes)
    with Stopper() as stop, Lock(folder / "checkpoints") as lock:
        training.train(begun, Checkpoints(folder / "checkpoints", "a-b-c"), stop, lock, plot=lambda history: None)
    return begun


def trained(run: training.EnsembleTraining):
    return as_ensemble(run.settings, [member["weights"] for member in run.finished])


# ---- which visits


@pytest.mark.parametrize("given", ["random", "all"])
@pytest.mark.parametrize("hide", [0.0, 0.5, 1.0])
def test_given_visits_are_a_part_and_never_none(given, hide):
    rng = np.random.default_rng(0)
    draws = [draw_given(4, rng, given, hide) for _ in range(200)]
    assert all(len(draw) and (np.diff(draw) > 0).all() and draw.max() < 4 for draw in draws)
    if given == "random":
        assert all(len(draw) < 4 for draw in draws)
    elif hide == 0:
        assert all(len(draw) == 4 for draw in draws)
    if hide == 1:
        assert all(len(draw) == 1 for draw in draws)


def test_random_visits_are_the_first_ones_all_but_one_or_any():
    rng = np.random.default_rng(0)
    draws = [draw_given(5, rng, "random", 0.0).tolist() for _ in range(600)]
    first = np.mean([draw == list(range(len(draw))) for draw in draws])
    between = np.mean([len(draw) == 4 and draw[0] == 0 and draw[-1] == 4 for draw in draws])
    assert 0.55 < first < 0.65 and 0.28 < between < 0.38
    assert any(draw[0] > 0 for draw in draws)
    assert {tuple(draw_given(2, rng, "random", 0.0)) for _ in range(50)} == {(0,), (1,)}


def test_held_out_tasks_never_ask_for_a_given_visit():
    for count in (2, 3, 6):
        for task in held_out_tasks(count):
            assert not set(task.given) & set(task.targets) and len(task.targets)
    assert len(held_out_tasks(2)) == 1
    assert held_out_tasks(3)[1].targets == (1,)


def test_spread_of_the_latents_in_the_lung():
    patients = drifting(5)
    shift, scale = spread(patients, 3)
    inside = torch.cat([item.z[:, :, item.mask].movedim(1, 0).flatten(1) for item in patients], 1)
    assert torch.allclose(shift, inside.mean(1), atol=1e-4)
    assert scale.item() == pytest.approx(
        (inside - inside.mean(1, keepdim=True)).square().mean().sqrt().item(), rel=1e-3
    )
    assert spread([], 3)[1] == 1


def test_samples_follow_from_their_number_and_visit_every_patient_once_an_epoch():
    patients = drifting(4)
    options = settings_of(ODETraining, crop=(4, 6, 6))
    one, other = (Samples(patients, options, seed=7) for _ in range(2))
    assert sorted(one.draw(number).subject for number in range(4)) == ["000", "001", "002", "003"]
    late, again = one.draw(13), other.draw(13)
    assert late.subject == again.subject and np.array_equal(late.given, again.given)
    assert torch.equal(late.visits.scans, again.visits.scans)
    assert late.visits.scans.shape[1:] == (4, 6, 6) and late.visits.z.shape[2:] == (2, 3, 3)
    assert not set(late.given) & set(late.withheld) and len(late.given) + len(late.withheld) == len(late.visits)


# ---- training


@pytest.mark.slow
def test_it_learns_a_drift_that_the_last_visit_does_not_know(tmp_path):
    """Half of the patients drift up, half down; which, a single visit tells. Scored on patients never seen."""
    run = train(tmp_path, drifting(10, split=("train", "train", "train", "val", "val")), epochs=12)
    numbers = validate(trained(run).members[0], drifting(6, seed=5, split=("test",)))
    assert numbers["held_out_latent"] < 0.3 * numbers["latent_no_change"]
    assert run.finished[0]["step"] > 0


@pytest.mark.slow
def test_it_draws_a_drift_that_the_last_visit_does_not_know(tmp_path):
    settings = {"features": True, "maps": 2}
    run = train(tmp_path, drifting(10, split=("train", "train", "train", "val", "val")), settings, epochs=15)
    numbers = validate(trained(run).members[0], drifting(6, seed=5, split=("test",)))
    assert numbers["held_out_image"] < 0.6 * numbers["image_no_change"]


def test_a_crop_is_the_same_place_in_latents_and_scans():
    (patient,) = drifting(1)
    whole, part = patient.observe(), patient.observe((slice(1, 3), slice(2, 4), slice(1, 4)))
    assert part.z.shape[2:] == part.mask.shape == (2, 2, 3) and part.factor == FACTOR
    assert torch.equal(part.scans, whole.scans[:, 2:6, 4:8, 2:8]) and torch.equal(part.densities, whole.densities)
    uneven = replace(patient, expansion=torch.rand(patient.expansion.shape), expanded=torch.rand(len(patient.years)))
    seen = uneven.observe((slice(1, 3), slice(2, 4), slice(1, 4)))
    assert torch.equal(seen.expansion, uneven.expansion[:, 1:3, 2:4, 1:4])
    assert torch.equal(seen.expanded, uneven.expanded), "breath is that of the whole lung in every crop"


def test_the_untrained_model_changes_nothing(tmp_path):
    run = start(tmp_path, drifting(4, split=("train", "val")))
    numbers = validate(training.start_member(run, 0).model, run.judges)
    assert numbers["held_out_latent"] == pytest.approx(numbers["latent_no_change"])


def test_validation_looks_at_the_same_part_every_time(tmp_path):
    run = start(tmp_path, drifting(4, split=("train", "val")))
    model = training.start_member(run, 0).model
    first, again, whole = (validate(model, run.judges, crop) for crop in ((4, 6, 6), (4, 6, 6), None))
    assert first == again and first["latent_no_change"] != whole["latent_no_change"]


@pytest.mark.parametrize("settings", [LATENTS_ONLY, {"features": True, "maps": 2}])
def test_resumed_training_ends_bit_for_bit_where_an_uninterrupted_one_does(tmp_path, monkeypatch, settings):
    """Two members; stopped in the first, at its end, and in the second, and resumed where bf16 would be chosen."""
    bf16 = [False]
    monkeypatch.setattr("lung4d.training.device.has_bf16", lambda _: bf16[0])
    patients = drifting(6, split=("train", "train", "train", "train", "val", "test"))
    options = {"members": 2, "epochs": 2, "crop": (4, 6, 6)}
    whole = train(tmp_path / "whole", patients, settings, **options)
    total = sum(whole.steps_of(member) for member in (0, 1))
    done = [0]
    for stop_after in (3, 2, 2):
        with monkeypatch.context() as patch:
            step = training.train_step

            def stopping(run, step=step, left=[stop_after]):  # noqa: B006
                row = step(run)
                done[0] += 1
                left[0] -= 1
                if left[0] == 0:
                    signal.raise_signal(signal.SIGTERM)
                return row

            patch.setattr(training, "train_step", stopping)
            with pytest.raises(SystemExit) as leaving:
                train(tmp_path / "parts", patients, settings, **options)
            assert leaving.value.code == 75
        bf16[0] = True
    parts = train(tmp_path / "parts", patients, settings, **options)
    assert done[0] < total
    for one, other in zip(whole.finished, parts.finished, strict=True):
        assert one["step"] == other["step"] and one["value"] == other["value"]
        assert all(torch.equal(weight, other["weights"][name]) for name, weight in one["weights"].items())
    files = [tmp_path / name / "model.pt" for name in ("whole", "parts")]
    for run, file in zip((whole, parts), files, strict=True):
        save_ode(run.settings, [one["weights"] for one in run.finished], file, "of stage 1", {})
    assert files[0].read_bytes() == files[1].read_bytes()
    frames = [pd.read_parquet(tmp_path / name / "history.parquet") for name in ("whole", "parts")]
    pd.testing.assert_frame_equal(*frames, check_exact=True)


def test_best_weights_are_kept_not_the_last(tmp_path, monkeypatch):
    values = iter([1.0, 0.5, 0.7, 0.6])
    monkeypatch.setattr(training, "validate", lambda *_: {"held_out_latent": next(values)})
    run = train(tmp_path, drifting(4, split=("train", "val")), epochs=3, validate_every=2)
    assert run.finished[0]["step"] == 2 and run.finished[0]["value"] == 0.5


def test_chosen_by_training_loss(tmp_path):
    run = train(tmp_path, drifting(4, split=("train", "val")), select="training_loss", validate_every=2, epochs=4)
    losses = pd.read_parquet(tmp_path / "history.parquet")["loss"].dropna().to_numpy()
    assert run.finished[0]["value"] == pytest.approx(losses.reshape(-1, 2).mean(1).min())


def test_several_patients_a_step_are_their_mean(tmp_path):
    """Two steps of one patient each at a standstill of the weights give the gradient of one step of two."""
    run = training.start_member(start(tmp_path, drifting(4), accumulation=2, lr=1e-12), 0)
    row = training.train_step(run)
    alone = training.start_member(start(tmp_path, drifting(4), lr=1e-12), 0)
    losses = [training.train_step(alone)["loss"] for _ in range(2)]
    assert row["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_every_training_patient_has_a_member_that_never_saw_it(tmp_path):
    run = start(tmp_path, drifting(12, split=("train", "train", "val")), members=3)
    models = [training.start_member(run, member) for member in range(3)]
    for member, held in enumerate(models):
        seen = {patient.subject for patient in held.samples.patients}
        assert seen == {patient.subject for patient in run.patients if run.folds()[patient.subject] != member}
    honest = run.honest_models([held.model.state_dict() for held in models])
    assert set(honest) == {patient.subject for patient in run.patients + run.judges}
    assert all(len(honest[patient.subject].members) == 3 for patient in run.judges)
    assert start(tmp_path, drifting(4), members=3).folds() == {}


def test_nobody_to_learn_from_leaves_the_last_visit(tmp_path, caplog):
    lone = [tensors(one.subject, "train", one.years[:1], one.z.numpy()[:1], one.mask.numpy()) for one in drifting(3)]
    run = train(tmp_path, lone)
    assert "untrained" in caplog.text
    assert run.steps_of(0) == 0 and len(pd.read_parquet(tmp_path / "history.parquet")) == 1
    answer = trained(run).forecast(given_of(lone[0].z, [0.0], lone[0].mask), [3.0])
    assert torch.equal(answer.latents[0], lone[0].z[0])


def test_visits_at_one_time_are_no_change_to_learn_from(tmp_path):
    twice, normal = drifting(2)
    twice = tensors("000", "train", np.zeros(len(twice.years)), twice.z.numpy(), twice.mask.numpy())
    assert usable([twice, normal], "train") == [normal]


def test_all_visits_given_train_the_latents_alone(tmp_path):
    """Nothing is withheld, so nothing is drawn: the loss stays finite and the weights move."""
    run = training.start_member(start(tmp_path, drifting(2), {"features": True, "maps": 2}, given="all"), 0)
    before = run.model.decoder[-1].weight.clone()
    row = training.train_step(run)
    assert np.isfinite(row["loss"]) and "image" not in row and not torch.equal(before, run.model.decoder[-1].weight)


def test_without_val_patients_train_patients_choose_and_the_log_says_so(tmp_path, caplog):
    run = train(tmp_path, drifting(3), epochs=1)
    assert run.judges is run.patients
    assert "no val patient" in caplog.text


def test_options_that_cannot_be_meant_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"train_ode\.members is 0"):
        settings_of(ODETraining, members=0)
    with pytest.raises(ValueError, match=r"train_ode\.crop is \[5, 6, 6\]; give multiples of 2"):
        start(tmp_path, drifting(2), crop=(5, 6, 6))


# ---- files and script


def places(folder, paths, **changes) -> dict:
    return {
        "input": Named(split=str(paths.split), vqgan=str(paths.vqgan)),
        "output": Named(
            model=str(folder / "model.pt"),
            history=str(folder / "history.parquet"),
            progress=str(folder / "progress.png"),
            residuals=str(folder / "residuals.tsv"),
        ),
        "params": Named(
            section("train_ode", **{"hidden": 4, "maps": 2, "epochs": 2, "members": 2, "crop": None, **changes}),
            folders=paths.folders,
            checkpoints=str(folder / "checkpoints"),
        ),
        "resources": Named(),
        "log": [str(folder / "train_ode.log")],
    }


COHORT = {"001": [0.0, 1.1, 2.0], "002": [0.0, 0.8], "003": [0.0], "004": [0.0, 3.0], "005": [0.0, 1.0, 2.0]}
SPLITS = {"001": "train", "002": "train", "003": "train", "004": "val", "005": "test"}


def test_patients_from_files(tmp_path):
    paths = write_cohort(tmp_path, COHORT, SPLITS)
    split = read_table(paths.split)
    for kind in ("continuous", "quantised"):
        patients = [VisitTensors.read(one, kind) for one in find_patients(split, tmp_path, tmp_path, WINDOW)]
        seen = patients[0].observe()
        assert seen.z.shape[0] == 3 and seen.factor == 4 and seen.depth.max() > 2
        assert seen.densities[:, 0].tolist() == pytest.approx(
            [-0.367, -0.323, -0.287], abs=0.005
        )  # -800 HU and 60 a year
        assert (patients[0].subject, len(patients[0].years), patients[0].split) == ("001", 3, "train")
        assert [item.subject for item in usable(patients, "train")] == ["001", "002"]
    with pytest.raises(FileNotFoundError, match="patient 005 session 03"):
        (paths.latents[-1] / "sub-005_ses-03_latents.npz").unlink()
        find_patients(split, tmp_path, tmp_path, WINDOW)


@pytest.mark.parametrize("latents", ["continuous", pytest.param("quantised", marks=pytest.mark.slow)])
def test_script_from_start_to_model(tmp_path, latents):
    paths = write_cohort(tmp_path, COHORT, SPLITS)
    before = parameter_hash(load_vqgan(paths.vqgan))
    run_job("train_ode", **places(tmp_path, paths, latents=latents))
    model = load_ode(tmp_path / "model.pt", "cpu", before)
    assert model.settings.latents == latents and model.settings.channels == 4
    assert "parameter hash " + before in (tmp_path / "train_ode.log").read_text()
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert history["step"].tolist() == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]
    residuals = read_table(tmp_path / "residuals.tsv")  # two patients are too few to be shared out: val alone
    assert set(residuals["subject"]) == {"004"} and load_calibration(tmp_path / "model.pt")["bands"] == {}
    assert (tmp_path / "progress.png").stat().st_size > 1000
    weights = (tmp_path / "model.pt").read_bytes()
    run_job("train_ode", **places(tmp_path, paths, latents=latents))
    assert (tmp_path / "model.pt").read_bytes() == weights
    assert "going on from checkpoint" in (tmp_path / "train_ode.log").read_text()


def test_no_output_is_written_before_the_job_before_is_gone(tmp_path, monkeypatch):
    given = places(tmp_path, write_cohort(tmp_path, COHORT, SPLITS), save_every=3)
    for _ in range(2):  # the second time, it finds itself finished
        seen = beside(monkeypatch, Path(given["log"][0]), given["output"])
        run_job("train_ode", **given)
        assert seen == [[]] * 7
        assert "waiting until job 7 of SLURM is gone" in Path(given["log"][0]).read_text()
        for path in given["output"]:
            Path(path).unlink()


def test_script_does_not_look_at_test_patients(tmp_path):
    paths = write_cohort(tmp_path, COHORT, SPLITS)
    for file in paths.latents[-1].glob("*"):
        file.write_bytes(b"not to be read")
    run_job("train_ode", **places(tmp_path, paths))
    assert (tmp_path / "model.pt").exists()


@pytest.mark.parametrize("cohort", [{"001": [0.0]}, {}])
def test_script_with_hardly_any_cohort(tmp_path, cohort):
    paths = write_cohort(tmp_path, cohort, SPLITS)
    run_job("train_ode", **places(tmp_path, paths))
    assert "untrained" in (tmp_path / "train_ode.log").read_text()
    assert load_ode(tmp_path / "model.pt").settings.hidden == 4


def test_the_papers_settings_train_too(tmp_path):
    paths = write_cohort(tmp_path, COHORT, SPLITS)
    paper = yaml.safe_load((ROOT / "config/paper.yaml").read_text())["train_ode"]
    run_job("train_ode", **places(tmp_path, paths, **{**paper, "epochs": 2, "hide_visits": 0.5}))
    assert load_ode(tmp_path / "model.pt").settings.decoder == "pairwise"
