"""Training of the latent disease ODE: what it learns, what it is chosen by, and that it resumes exactly."""

import signal

import numpy as np
import pandas as pd
import pytest
import torch

from lung4d.ode import training
from lung4d.ode.model import LatentODE, ODESettings, load_ode
from lung4d.ode.sequences import draw_given, held_out_tasks, latent_files, load_sequences, spread, usable
from lung4d.ode.training import Plan, Trainer, withheld_error
from lung4d.tables import read_table
from lung4d.training import Checkpoints, Lock, Stopper
from lung4d.vqgan.model import load_vqgan, parameter_hash
from ode_cases import Named, drifting, run_script, section, write_cohort

PLAN = {
    "seed": 1,
    "lr": 3e-3,
    "betas": (0.5, 0.9),
    "epochs": 2,
    "given": "random",
    "hide_visits": 0.0,
    "select": "held_out",
    "save_every": 1000,
}


def train(folder, sequences, stopper=None, hidden=8, **changes) -> Trainer:
    torch.manual_seed(0)
    model = LatentODE(ODESettings(channels=3, hidden=hidden))
    trainer = Trainer(model, sequences, Plan(**{**PLAN, **changes}), folder / "history.parquet")
    with stopper or Stopper() as stop, Lock(folder / "checkpoints") as lock:
        trainer.run(Checkpoints(folder / "checkpoints", "a-b-c"), stop, lock)
    return trainer


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


def test_random_visits_are_mostly_the_first_ones():
    rng = np.random.default_rng(0)
    draws = [draw_given(5, rng, "random", 0.0).tolist() for _ in range(600)]
    share = np.mean([draw == list(range(len(draw))) for draw in draws])
    assert 0.66 < share < 0.85
    assert any(draw[0] > 0 for draw in draws)


def test_held_out_tasks_never_ask_for_a_given_visit():
    for count in (2, 3, 6):
        for task in held_out_tasks(count):
            assert not set(task.given) & set(task.asked) and len(task.asked)
    assert len(held_out_tasks(2)) == 1
    assert held_out_tasks(3)[1].asked.tolist() == [1]


def test_spread_of_the_latents_in_the_lung():
    sequences = drifting(5)
    shift, scale = spread(sequences, 3)
    inside = torch.cat([item.z[:, :, item.mask].movedim(1, 0).flatten(1) for item in sequences], 1)
    assert torch.allclose(shift, inside.mean(1), atol=1e-4)
    assert scale.item() == pytest.approx(
        (inside - inside.mean(1, keepdim=True)).square().mean().sqrt().item(), rel=1e-3
    )
    assert spread([], 3)[1] == 1


# ---- training


def test_it_learns_a_drift_that_the_last_visit_does_not_know(tmp_path):
    """Half of the patients drift up, half down; which, a single visit tells. Scored on patients never seen."""
    trainer = train(tmp_path, drifting(10, split=("train", "train", "train", "val", "val")), hidden=4, epochs=12)
    error, unchanged = withheld_error(trainer.model, usable(drifting(6, seed=5, split=("test",)), "test"))
    assert error < 0.3 * unchanged
    assert trainer.best["step"] > 0


def test_the_untrained_model_changes_nothing(tmp_path):
    trainer = train(tmp_path, drifting(4, split=("train", "val")), epochs=0)
    error, unchanged = withheld_error(trainer.model, trainer.judges)
    assert error == pytest.approx(unchanged)
    assert trainer.best["step"] == 0


def test_resumed_training_ends_bit_for_bit_where_an_uninterrupted_one_does(tmp_path, monkeypatch):
    """Stopped after step 4, in the middle of an epoch, and again after step 5."""
    sequences = drifting(5, split=("train", "train", "train", "val", "test"))
    whole = train(tmp_path / "whole", sequences, epochs=3)
    assert whole.steps == 9
    for stop_after in (4, 5):
        with monkeypatch.context() as patch:
            step = Trainer._train_step

            def stopping(self, step=step, stop_after=stop_after):
                row = step(self)
                if self.step == stop_after:
                    signal.raise_signal(signal.SIGTERM)
                return row

            patch.setattr(Trainer, "_train_step", stopping)
            with pytest.raises(SystemExit) as leaving:
                train(tmp_path / "parts", sequences, epochs=3)
            assert leaving.value.code == 75
    parts = train(tmp_path / "parts", sequences, epochs=3)
    for a, b in zip(whole.model.state_dict().values(), parts.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    frames = [pd.read_parquet(tmp_path / name / "history.parquet") for name in ("whole", "parts")]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert frames[0]["step"].tolist() == list(range(10))


def test_best_weights_are_kept_not_the_last(tmp_path, monkeypatch):
    values = iter([(1.0, 1.0), (0.5, 1.0), (0.7, 1.0), (0.6, 1.0)])
    monkeypatch.setattr(training, "withheld_error", lambda model, patients: next(values))
    trainer = train(tmp_path, drifting(4, split=("train", "val")), epochs=3)
    assert trainer.best["step"] == 2
    assert trainer.best["value"] == 0.5
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(weight, trainer.best["weights"][name])


def test_chosen_by_training_loss(tmp_path):
    trainer = train(tmp_path, drifting(4, split=("train", "val")), select="training_loss")
    history = pd.read_parquet(tmp_path / "history.parquet").dropna(subset="loss")
    assert trainer.best["value"] == pytest.approx(history.groupby("epoch")["loss"].mean().min())


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, "_finite", lambda model: False)
    trainer = train(tmp_path, drifting(3), epochs=1)
    assert not trainer.model.decoder[-1].weight.any()
    assert "step left out" in caplog.text


def test_nobody_to_learn_from_leaves_the_last_visit(tmp_path, caplog):
    lone = [item for item in drifting(3)]
    lone = [type(item)(item.subject, "train", item.years[:1], item.z[:1], item.mask) for item in lone]
    trainer = train(tmp_path, lone)
    assert "untrained" in caplog.text
    assert trainer.steps == 0 and len(pd.read_parquet(tmp_path / "history.parquet")) == 1
    answer = trainer.model.forecast(lone[0].z, [0.0], lone[0].mask, [3.0])
    assert torch.equal(answer[0], lone[0].z[0])


def test_without_val_patients_train_patients_choose_and_the_log_says_so(tmp_path, caplog):
    trainer = train(tmp_path, drifting(3), epochs=1)
    assert trainer.judges is trainer.patients
    assert "no val patient" in caplog.text


# ---- files and script


def places(folder, paths, **changes) -> dict:
    return {
        "input": Named(split=str(paths.split), vqgan=str(paths.vqgan), latents=[str(path) for path in paths.latents]),
        "output": Named(
            {
                key: str(folder / name)
                for key, name in {"model": "model.pt", "history": "history.parquet", "progress": "progress.png"}.items()
            }
        ),
        "params": Named(section("train_ode", hidden=4, epochs=2, **changes), checkpoints=str(folder / "checkpoints")),
        "log": [str(folder / "train_ode.log")],
    }


COHORT = {"001": [0.0, 1.1, 2.0], "002": [0.0, 0.8], "003": [0.0], "004": [0.0, 3.0], "005": [0.0, 1.0, 2.0]}
SPLITS = {"001": "train", "002": "train", "003": "train", "004": "val", "005": "test"}


def test_sequences_from_files(tmp_path):
    paths = write_cohort(tmp_path, COHORT, SPLITS)
    split = read_table(paths.split)
    for kind in ("continuous", "quantised"):
        sequences = load_sequences(split, latent_files(split, paths.latents), kind)
        assert (sequences[0].subject, len(sequences[0].years), sequences[0].split) == ("001", 3, "train")
        assert [item.subject for item in usable(sequences, "train")] == ["001", "002"]
    with pytest.raises(FileNotFoundError, match="patient 005 session 03"):
        (paths.latents[-1] / "sub-005_ses-03_latents.npz").unlink()
        latent_files(split, paths.latents)


@pytest.mark.parametrize("latents", ["continuous", "quantised"])
def test_script_from_start_to_model(tmp_path, latents):
    paths = write_cohort(tmp_path, COHORT, SPLITS)
    before = parameter_hash(load_vqgan(paths.vqgan))
    run_script("train_ode", **places(tmp_path, paths, latents=latents))
    model = load_ode(tmp_path / "model.pt", "cpu", before)
    assert model.settings.latents == latents and model.settings.channels == 4
    assert "parameter hash " + before in (tmp_path / "train_ode.log").read_text()
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert history["step"].tolist() == [0, 1, 2, 3, 4]
    assert (tmp_path / "progress.png").stat().st_size > 1000
    weights = (tmp_path / "model.pt").read_bytes()
    run_script("train_ode", **places(tmp_path, paths, latents=latents))
    assert (tmp_path / "model.pt").read_bytes() == weights
    assert "going on from checkpoint" in (tmp_path / "train_ode.log").read_text()


def test_script_does_not_look_at_test_patients(tmp_path):
    paths = write_cohort(tmp_path, COHORT, SPLITS)
    for file in paths.latents[-1].glob("*"):
        file.write_bytes(b"not to be read")
    run_script("train_ode", **places(tmp_path, paths))
    assert (tmp_path / "model.pt").exists()


@pytest.mark.parametrize("cohort", [{"001": [0.0]}, {}])
def test_script_with_hardly_any_cohort(tmp_path, cohort):
    paths = write_cohort(tmp_path, cohort, SPLITS)
    run_script("train_ode", **places(tmp_path, paths))
    assert "untrained" in (tmp_path / "train_ode.log").read_text()
    assert load_ode(tmp_path / "model.pt").settings.hidden == 4


def test_the_papers_settings_train_too(tmp_path):
    paths = write_cohort(tmp_path, COHORT, SPLITS)
    paper = {"direction": "backward", "time_gap": False, "decoder": "pairwise", "given": "all", "hide_visits": 0.5}
    run_script("train_ode", **places(tmp_path, paths, select="training_loss", latents="quantised", **paper))
    assert load_ode(tmp_path / "model.pt").settings.decoder == "pairwise"
