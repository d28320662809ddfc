"""Training of the 3D-VQ-GAN: its schedule, its numbers, and that nothing that interrupts it changes its end."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from helpers.defaults import defaults, settings_of
from helpers.earlier_job import beside
from helpers.scripts import run_job
from lung4d.figures.previews import draw_reconstruction
from lung4d.io.latents import load_latents
from lung4d.io.names import LUNG_MASK, VOLUME, scan_file
from lung4d.training import device, gradients
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.lock import Lock
from lung4d.training.stopping import Stopper
from lung4d.visits.scans import prepared_scans
from lung4d.vqgan import run as running
from lung4d.vqgan import selection, step, training
from lung4d.vqgan.data import VolumeSamples, check_sizes
from lung4d.vqgan.discriminators import Discriminators
from lung4d.vqgan.memory import Plan, plan_memory
from lung4d.vqgan.model import VQGANSettings, load_vqgan
from lung4d.vqgan.options import VQGANTraining

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = settings_of(VQGANSettings, codes=16, embedding=4, width=2, restart_after=2)
OPTIONS = {
    "accumulation": 2, "steps": 8, "gan_start": 4, "crop": (8, 8, 8), "fine_tune_steps": 2, "save_every": 3,
    "validate_every": 2, "perceptual": "none", "discriminator_channels": 2,
}  # fmt: skip
SPLITS = {"01": "train", "02": "train", "03": "val", "04": "test"}


def write_scan(folder, subject, session, generator, shape=(16, 16, 16)):
    """A sphere of lung in soft tissue, noise everywhere; returns the files of volume and mask."""
    distance = np.linalg.norm(np.indices(shape) - np.array(shape)[:, None, None, None] / 2, axis=0)
    mask = distance < generator.uniform(4, 6)
    hu = np.where(mask, -800, 40) + generator.normal(0, 20, shape)
    files = [scan_file(folder, subject, session, ending) for ending in (VOLUME, LUNG_MASK)]
    files[0].parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(hu.astype(np.int16).T, np.eye(4)), files[0])
    nib.save(nib.Nifti1Image(mask.astype(np.uint8).T, np.eye(4)), files[1])
    return files


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Folder with two visits of four patients, and split.tsv."""
    folder = tmp_path_factory.mktemp("cohort")
    generator = np.random.default_rng(0)
    rows = []
    for subject, split in SPLITS.items():
        for session in ("01", "02"):
            write_scan(folder, subject, session, generator)
            rows.append({"subject": subject, "session": session, "years": 0.5, "split": split})
    pd.DataFrame(rows).to_csv(folder / "split.tsv", sep="\t", index=False)
    return folder


def scans_of(cohort):
    split = pd.read_csv(cohort / "split.tsv", sep="\t", dtype={"subject": str, "session": str})
    return prepared_scans(split, cohort)


def start(folder, cohort, settings=SETTINGS, **changes):
    options = settings_of(VQGANTraining, **{**OPTIONS, **changes})
    return running.start_run(settings, options, scans_of(cohort), torch.device("cpu"), folder / "history.parquet")


def run_to_end(folder, cohort, stopper=None, **changes):
    run = start(folder, cohort, **changes)
    checkpoints = Checkpoints(folder / "checkpoints", "d")
    stopper = stopper or SimpleNamespace(requested=False)
    pictures = training.Pictures(
        progress=lambda frame: (folder / "progress.png").touch(),  # drawing takes a second
        reconstruction=partial(draw_reconstruction, folder=folder / "reconstructions"),
    )
    with Lock(folder / "checkpoints") as lock:
        chosen = training.train(run, scans_of(cohort), checkpoints, stopper, lock, pictures)
    return run, chosen


def same(a, b):
    """Whether two states (nested dicts and lists of tensors and values) are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (a != a and b != b)


# Data


def test_scans_are_those_of_the_table_and_a_missing_file_is_named(cohort):
    scans = scans_of(cohort)
    assert [(scan.subject, scan.session) for scan in scans[:3]] == [("01", "01"), ("01", "02"), ("02", "01")]
    table = pd.DataFrame({"subject": ["01"], "session": ["01"], "years": [0.5], "split": ["train"]})
    with pytest.raises(FileNotFoundError, match="patient 09 session 01"):
        prepared_scans(table.assign(subject="09"), cohort)


def test_samples_depend_on_seed_and_number_alone(cohort):
    scans, window = scans_of(cohort), (-1000, 500)
    samples = VolumeSamples(scans, window, seed=3, flips=True, crop=(12, 8, 4))
    drawn = [samples.draw(batch, 2) for batch in range(8)]
    again = VolumeSamples(scans, window, seed=3, flips=True, crop=(12, 8, 4))
    assert torch.equal(again.draw(7, 2), drawn[7])
    assert drawn[0].shape == (2, 1, 12, 8, 4) and drawn[0].dtype == torch.float32
    assert not torch.equal(VolumeSamples(scans, window, 4, True, (12, 8, 4)).draw(0, 2), drawn[0])
    assert all(batch.min() >= -0.5 and batch.max() <= 0.5 for batch in drawn)


def test_an_epoch_sees_every_scan_once_and_whole_volumes_are_whole(cohort):
    scans = scans_of(cohort)
    samples = VolumeSamples(scans, (-1000, 500), seed=0, flips=False, crop=None)
    volumes = [samples.draw(batch, 2)[k, 0] for batch in range(len(scans) // 2) for k in range(2)]
    assert all(volume.shape == (16, 16, 16) for volume in volumes)
    assert len({float(volume.sum()) for volume in volumes}) == len(scans)


def test_crops_lie_around_lung_voxels(cohort):
    samples = VolumeSamples(scans_of(cohort), (-1000, 500), seed=0, flips=False, crop=(4, 4, 4))
    middles = [samples.draw(batch, 1)[0, 0, 2, 2, 2].item() for batch in range(40)]
    assert np.mean(np.array(middles) < -0.2) > 0.8  # -700 HU; only crops clipped at the border miss


def test_sizes_that_do_not_fit_name_the_key(cohort):
    scans = scans_of(cohort)
    assert check_sizes(scans, 4, None) == (16, 16, 16) and check_sizes(scans, 4, (8, 48, 12)) == (8, 16, 12)
    with pytest.raises(ValueError, match=r"resample.shape is \[16, 16, 16\]; give multiples"):
        check_sizes(scans, 32, None)
    with pytest.raises(ValueError, match=r"train_vqgan.crop is \[6, 8, 8\]"):
        check_sizes(scans, 4, (6, 8, 8))


# Schedule


def test_gan_starts_in_generator_steps_and_discriminators_rest_before(cohort, tmp_path, monkeypatch):
    """Counting both optimisers' steps would start it at half; a discriminator computed before is wasted work."""
    calls = []
    forward = Discriminators.forward
    monkeypatch.setattr(Discriminators, "forward", lambda self, *given: calls.append(run.step) or forward(self, *given))
    run = start(tmp_path, cohort)
    before = {name: value.clone() for name, value in run.discriminators.state_dict().items()}
    samples = VolumeSamples(scans_of(cohort)[:4], SETTINGS.window, 1, True, run.options.crop)
    rows = [step.train_step(run, samples) for _ in range(4)]
    assert not calls and not run.discriminators_optimiser.state
    assert same(before, run.discriminators.state_dict())
    assert all("gan_generator" not in row and "gan_discriminator" not in row for row in rows)
    rows.append(step.train_step(run, samples))
    assert calls == [4] * 6  # two micro-steps: for the generator, then real and fake
    assert rows[-1]["step"] == 5 and {"gan_generator", "gan_discriminator"} <= rows[-1].keys()
    assert not same(before, run.discriminators.state_dict())


def test_the_generator_runs_once_a_micro_step_and_the_codebook_moves_once_a_step(cohort, tmp_path, monkeypatch):
    run = start(tmp_path, cohort, gan_start=0, accumulation=3, feature_matching_weight=1.0)
    calls = []
    for module, name in ((run.model, "forward"), (run.model.quantiser, "update")):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, name=name, original=original: calls.append(name) or original(*given)
        )
    step.train_step(run, VolumeSamples(scans_of(cohort)[:4], SETTINGS.window, 1, True, run.options.crop))
    assert calls == ["forward"] * 3 + ["update"]


def test_accumulation_and_batches_give_the_gradient_of_their_mean(cohort, tmp_path):
    scans = scans_of(cohort)[:4]
    weights = []
    for batch, accumulation in ((1, 4), (4, 1), (2, 2)):
        run = start(tmp_path, cohort, batch=batch, accumulation=accumulation, gradient_clip=None, precision="fp32")
        samples = VolumeSamples(scans, SETTINGS.window, 1, False, run.options.crop)
        run.model.train()(samples.draw(0, 1))  # the codebook from the same first sample
        run.model.quantiser.step_count.zero_(), run.model.quantiser.step_total.zero_()
        step.train_step(run, samples)
        weights.append(torch.cat([p.grad.flatten() for p in run.model.parameters()]))
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(weights[2], weights[0], rtol=1e-3, atol=1e-5)


def test_last_steps_see_whole_volumes(cohort, tmp_path):
    run = start(tmp_path, cohort)
    shapes = []
    samples = VolumeSamples(scans_of(cohort)[:4], SETTINGS.window, 1, True, run.options.crop)
    draw = samples.draw
    samples.draw = lambda *given: shapes.append(draw(*given).shape[2:]) or draw(*given)
    for _ in range(8):
        step.train_step(run, samples)
    assert shapes == [(8, 8, 8)] * 12 + [(16, 16, 16)] * 4


def test_total_loss_is_equation_5_with_the_commitment_once():
    options = settings_of(VQGANTraining, commitment=0.25, feature_matching_weight=0.5)
    names = ["reconstruction", "commitment", "codebook", "perceptual", "gan_generator", "feature_matching"]
    terms = {name: torch.tensor(10.0**place) for place, name in enumerate(names)}
    expected = 4 * 1 + 0.25 * 10 + 100 + 4 * 1000 + 1 * 10000 + 0.5 * 100000
    assert step.total(terms, options).item() == pytest.approx(expected)
    assert step.total({"reconstruction": torch.tensor(2.0)}, options).item() == 8


@pytest.mark.parametrize(
    "key, value", [("gan_loss", "wgan"), ("planes", ["axial", "oblique"]), ("steps", 0), ("select", "luck")]
)
def test_options_that_cannot_be_meant_are_named(key, value):
    with pytest.raises(ValueError, match=f"train_vqgan.{key}"):
        settings_of(VQGANTraining, **{key: value})


def test_the_learning_rate_falls_to_zero_at_the_end(cohort, tmp_path):
    options = settings_of(VQGANTraining, lr=1e-3, steps=100, lr_decay=0.2)
    assert [options.lr_at(step) for step in (0, 80)] == [1e-3, 1e-3]
    assert options.lr_at(90) == pytest.approx(5e-4) and options.lr_at(99) == pytest.approx(5e-5)
    assert settings_of(VQGANTraining, lr=1e-3, steps=100, lr_decay=0).lr_at(99) == 1e-3
    run = start(tmp_path, cohort, lr=1e-3, steps=8, lr_decay=0.5)
    run.step = 6
    step.train_step(run, VolumeSamples(scans_of(cohort)[:4], SETTINGS.window, 1, True, run.options.crop))
    for optimiser in (run.optimiser, run.discriminators_optimiser):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(5e-4)


@pytest.mark.parametrize(
    "options, found",
    [
        ({"precision": "bf16"}, Plan("bf16", False)),  # no limit on a CPU
        ({"precision": "bf16", "fits": "16GB"}, Plan("bf16", False)),  # 9.6 GB by the benchmark
        ({"precision": "bf16", "fits": "10GB"}, Plan("bf16", True)),
        ({"precision": "fp32", "fits": "24GB"}, Plan("fp32", False)),
        ({"precision": "fp32", "fits": "16GB"}, Plan("fp32", True)),
        ({"precision": "fp32", "fits": "8GB"}, Plan("fp32", True)),
        ({"precision": "fp32", "fits": "8GB", "checkpointing": False}, Plan("fp32", False)),
        ({"precision": "fp32", "checkpointing": True}, Plan("fp32", True)),
    ],
)
def test_a_step_is_planned_for_the_memory_there_is(options, found, caplog):
    caplog.set_level("INFO")
    assert plan_memory(settings_of(VQGANTraining, **options), (96, 256, 256), 16, torch.device("cpu")) == found
    assert ("may not fit" in caplog.text) == (options.get("fits") == "8GB")
    assert "a step on 96 x 256 x 256 voxels" in caplog.text


@pytest.mark.parametrize("begun, resumed", [("bf16", "fp32"), ("fp32", "bf16")])
def test_a_resumed_training_keeps_its_precision_on_another_machine(cohort, tmp_path, monkeypatch, begun, resumed):
    runs = []
    for faster in (begun, resumed):
        monkeypatch.setattr(device, "has_bf16", lambda _, faster=faster: faster == "bf16")
        runs.append(start(tmp_path, cohort, precision="auto"))
    assert [run.plan.precision for run in runs] == [begun, resumed]
    runs[1].load(runs[0].state())
    assert runs[1].plan.precision == begun


@pytest.mark.parametrize(
    "features, faster",
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx512_f": True, "avx512_bf16": False}, False)],
)
def test_bf16_is_taken_by_what_the_processor_has(monkeypatch, features, faster):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: features)
    assert device.has_bf16(torch.device("cpu")) == faster


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_computed_twice_give_the_same_gradient(cohort, tmp_path, precision):
    gradients = []
    for checkpointing in (False, True):
        run = start(tmp_path, cohort, precision=precision, checkpointing=checkpointing)
        step.train_step(run, VolumeSamples(scans_of(cohort)[:4], SETTINGS.window, 1, True, run.options.crop))
        gradients.append(torch.cat([p.grad.flatten() for p in run.model.parameters()]))
    assert torch.equal(*gradients)


@pytest.mark.slow
def test_compiled_networks_train_as_the_others(cohort, tmp_path, monkeypatch):
    """Of half the depth, and with kernels that take one number at a time: those are compiled in half the time."""
    monkeypatch.setattr("torch._inductor.config.cpp.simdlen", 1)
    losses, settings = [], replace(SETTINGS, compression=2)
    for compiled in (False, True):
        run = start(tmp_path, cohort, settings, precision="fp32", compile=compiled)
        samples = VolumeSamples(scans_of(cohort)[:4], SETTINGS.window, 1, True, run.options.crop)
        losses.append([step.train_step(run, samples)["loss"] for _ in range(2)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


# Course and selection


def test_it_learns_and_records_both_selections(cohort, tmp_path):
    wider = settings_of(VQGANSettings, codes=16, embedding=4, width=8, restart_after=2)  # its norms are over channels
    options = {"steps": 40, "gan_start": 30, "lr": 3e-3, "validate_every": 10, "acquisitions": False}
    run, chosen = run_to_end(tmp_path, cohort, settings=wider, **options)
    frame = pd.read_parquet(tmp_path / "history.parquet")
    assert frame["step"].tolist() == list(range(1, 41))
    assert frame["reconstruction"].tail(10).mean() < 0.75 * frame["reconstruction"].head(5).mean()
    assert {"loss", "commitment", "perplexity", "codes_used", "held_out_lung_mse", "held_out_codes_used"} <= set(frame)
    assert (tmp_path / "progress.png").is_file()
    record = chosen["selection"]
    assert record["select"] == "held_out"
    assert record["held_out"]["step"] == 40 and record["training_loss"]["step"] == 40  # none before the GAN's start
    assert same(dict(chosen["model"].state_dict()), run.best["held_out"]["weights"])


def test_best_so_far_is_the_smallest_after_the_gan_starts(cohort, tmp_path):
    run = start(tmp_path, cohort, gan_start=10, steps=100)
    for done, held_out, loss in ((10, 0.0, 0.0), (20, 3.0, 1.0), (30, 2.0, 5.0), (40, 4.0, 0.5)):
        run.step, run.since_validation = done, [loss, loss]
        selection.remember_best(run, held_out)
    assert (run.best["held_out"]["step"], run.best["held_out"]["value"]) == (30, 2.0)
    assert (run.best["training_loss"]["step"], run.best["training_loss"]["value"]) == (40, 0.5)


def test_a_loss_or_gradient_that_is_not_finite_is_passed_over(cohort, tmp_path, caplog):
    run = start(tmp_path, cohort, gan_weight=0.0)
    run.since_validation = [math.nan]
    selection.remember_best(run, math.nan)
    with pytest.raises(RuntimeError, match=r"train_vqgan.lr"):
        selection.selected(run)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    for parameter in run.model.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    gradients.apply_step(run.optimiser, run.model, run.options.lr, run.options.gradient_clip)
    assert same(before, dict(run.model.state_dict())) and "not finite" in caplog.text


def test_without_val_patients_training_scans_select(cohort, caplog):
    scans = [scan for scan in scans_of(cohort) if scan.split == "train"]
    assert selection.choose_scans(scans) == (scans, scans)
    assert "no patient is in the split 'val'" in caplog.text
    with pytest.raises(ValueError, match="no usable scan in the split 'train'"):
        selection.choose_scans([scan for scan in scans_of(cohort) if scan.split == "val"])


# Interruption


@pytest.fixture(scope="module")
def uninterrupted(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    run, chosen = run_to_end(folder, cohort)
    return run.state(), chosen, pd.read_parquet(folder / "history.parquet")


class Killed(BaseException):
    """Ends a training in the middle of a step, as SIGKILL would: nothing more is written."""


def run_and_stop(folder, cohort, after, kill):
    """Run until `after` steps are done in this process; then a signal, or a kill in the middle of the next step."""
    stopper = SimpleNamespace(requested=False)
    stopper.leave = lambda: Stopper.leave(stopper)
    train_step, done = training.train_step, []

    def counted(run, samples):
        row = train_step(run, samples)
        done.append(row["step"])
        if kill and len(done) > after:
            raise Killed
        stopper.requested = len(done) >= after and not kill
        return row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train_step", counted)
        run_to_end(folder, cohort, stopper)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_interrupted_at_random_steps_ends_as_the_uninterrupted_one(cohort, tmp_path, uninterrupted, seed):
    """Weights, optimisers, codebook statistics, random states, data order, best so far and history, bit for bit."""
    generator = random.Random(seed)
    for _ in range(4):
        torch.manual_seed(generator.randrange(1000))  # whatever the process did before
        kill = generator.random() < 0.5
        try:
            run_and_stop(tmp_path, cohort, generator.randrange(1, 4), kill)
        except SystemExit as stop:
            assert not kill and stop.code == 75
        except Killed:
            assert kill
    run, chosen = run_to_end(tmp_path, cohort)
    state, expected, history = uninterrupted
    assert same(run.state(), state)
    assert same(dict(chosen["model"].state_dict()), dict(expected["model"].state_dict()))
    assert chosen["selection"] == expected["selection"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "history.parquet"), history)


@pytest.mark.slow
def test_a_finished_training_gives_its_outputs_again(cohort, tmp_path, uninterrupted):
    run_to_end(tmp_path, cohort)
    (tmp_path / "history.parquet").unlink()
    (tmp_path / "progress.png").unlink()
    run, chosen = run_to_end(tmp_path, cohort)
    assert same(run.state(), uninterrupted[0]) and chosen["selection"] == uninterrupted[1]["selection"]
    assert (tmp_path / "history.parquet").is_file() and (tmp_path / "progress.png").is_file()


# Scripts

PARAMS = {
    **defaults("train_vqgan"), "codes": 16, "embedding": 4, "width": 2, "restart_after": 2, "discriminator_channels": 2,
    "lr": 1e-3, "batch": 2, "accumulation": 1, "steps": 6, "gan_start": 3, "crop": [8, 8, 8], "fine_tune_steps": 1,
    "save_every": 2, "validate_every": 3, "code": "x",
}  # fmt: skip


class Params(dict):
    """Stands in for Snakemake's named list: `params.key` and `params.items()`."""

    __getattr__ = dict.__getitem__


def training_job(cohort, folder, **changes):
    """What Snakemake puts into the script of train_vqgan."""
    names = {"model": "model.pt", "history": "history.parquet", "progress": "progress.png"}
    return SimpleNamespace(
        input=SimpleNamespace(split=str(cohort / "split.tsv")),
        output=SimpleNamespace(**{key: str(folder / name) for key, name in names.items()}),
        params=Params(
            {**PARAMS, **changes}, checkpoints=str(folder / "checkpoints"), folders={"resample": str(cohort)}
        ),
        log=[str(folder / "log.txt")],
        threads=1,
        resources={},
    )


def test_scripts_train_and_extract(cohort, tmp_path):
    run_job("train_vqgan", **vars(training_job(cohort, tmp_path)))
    model = load_vqgan(tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert content["selection"]["select"] == "held_out" and content["selection"]["steps"] == 6
    log = (tmp_path / "log.txt").read_text()
    assert "4 training scans, 2 held-out scans" in log and "EfficientNet-lite0" in log

    job = training_job(cohort, tmp_path)
    job.input.model, job.wildcards = str(tmp_path / "model.pt"), SimpleNamespace(subject="04")
    job.output = SimpleNamespace(folder=str(tmp_path / "sub-04"))
    run_job("extract_latents", **vars(job))
    names = sorted(file.name for file in (tmp_path / "sub-04").iterdir())
    kinds = ("desc-reconstruction_ct.nii.gz", "latents.npz")
    assert names == [f"sub-04_ses-{session}_{kind}" for session in ("01", "02") for kind in kinds]
    latents = load_latents(tmp_path / "sub-04" / "sub-04_ses-01_latents.npz")
    assert latents.codes.shape == latents.mask.shape == (4, 4, 4) and latents.codes.dtype == np.int16
    assert latents.embeddings.shape == latents.continuous.shape == (4, 4, 4, 4)
    codes = torch.from_numpy(latents.codes.astype(np.int64))[None]
    assert torch.equal(model.embed(codes)[0], torch.from_numpy(latents.embeddings))
    assert 0 < latents.mask.sum() < latents.mask.size
    drawn = nib.load(tmp_path / "sub-04" / "sub-04_ses-01_desc-reconstruction_ct.nii.gz").get_fdata().T
    with torch.no_grad():
        hu = (model.decode(model.embed(codes))[0, 0].clamp(-0.5, 0.5) + 0.5) * 1500 - 1000
    np.testing.assert_allclose(drawn, hu, atol=0.51)  # rounded to HU

    job.wildcards, job.output = SimpleNamespace(subject="05"), SimpleNamespace(folder=str(tmp_path / "sub-05"))
    run_job("extract_latents", **vars(job))
    assert list((tmp_path / "sub-05").iterdir()) == []  # no usable scan: an empty folder


@pytest.mark.slow
def test_a_checkpoint_of_other_settings_is_refused_by_the_script(cohort, tmp_path):
    run_job("train_vqgan", **vars(training_job(cohort, tmp_path, steps=4)))
    run_job("train_vqgan", **vars(training_job(cohort, tmp_path, steps=4, lr=2e-3)))
    log = (tmp_path / "log.txt").read_text()
    assert "is not used: it was made with other settings or code" in log and "going on from" not in log
    run_job("train_vqgan", **vars(training_job(cohort, tmp_path, steps=4, lr=2e-3)))
    assert "going on from checkpoint step-00000004" in (tmp_path / "log.txt").read_text()


def test_no_output_is_written_before_the_job_before_is_gone(cohort, tmp_path, monkeypatch):
    """Neither by a training that has steps to go nor by one that finds itself finished; checkpoints are."""
    job = training_job(cohort, tmp_path, save_every=2)
    for _ in range(2):
        seen = beside(monkeypatch, Path(job.log[0]), vars(job.output).values())
        run_job("train_vqgan", **vars(job))
        assert seen == [[]] * 7
        assert "waiting until job 7 of SLURM is gone" in Path(job.log[0]).read_text()
        for path in vars(job.output).values():
            Path(path).unlink()
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 2


# As Snakemake does it: a file that makes `snakemake` and then is the script.
STAGE = """
import json
from types import SimpleNamespace
job = json.loads({job!r})
for part in ("input", "output"):
    job[part] = SimpleNamespace(**job[part])
snakemake = SimpleNamespace(**job)
"""


# Ahead of it: a training that writes many checkpoints draws no picture of itself at each, a quarter of its time.
UNDRAWN = """
import lung4d.figures.progress
lung4d.figures.progress.plot_progress = lambda frame, path: path.touch()
"""


# Ahead of it: the third checkpoint that the process begins to write is never finished.
BRAKE = """
import sys
import time
def stop(event, words, begun=[]):
    if event == "os.rename" and "step-" in str(words[1]):
        begun.append(words[1])
        while len(begun) > 2:
            time.sleep(1)
sys.addaudithook(stop)
"""


# Ahead of it: the process imports what the script does and trains in forks of itself, one after the other. It kills
# each with SIGKILL at a random moment after its first checkpoint, and ends with 0 after 20 of them.
KILLER = """
import os
import random
import signal
import sys
import time
from pathlib import Path
import lung4d.figures.previews, lung4d.figures.progress, lung4d.pipeline.job, lung4d.vqgan.training
checkpoints = Path(__file__).parent / "checkpoints"
def written():
    return {path.name for path in checkpoints.glob("step-*.pt")}
generator = random.Random(0)
for _ in range(20):
    before, training = written(), os.fork()
    if not training:
        break
    while not written() - before:
        assert os.waitpid(training, os.WNOHANG) == (0, 0)  # it goes on
        time.sleep(0.01)
    time.sleep(generator.random() * 0.3)
    os.kill(training, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(training, 0)[1]) == -signal.SIGKILL
else:
    sys.exit()
"""


def start_process(job, folder, processes=1, ahead=""):
    """The script of train_vqgan in a process of its own, `ahead` of which other code runs."""
    parts = {**vars(job), "input": vars(job.input), "output": vars(job.output), "resources": {"processes": processes}}
    script = ROOT / "workflow" / "scripts" / "train_vqgan.py"
    (folder / "stage.py").write_text(ahead + STAGE.format(job=json.dumps(parts)) + script.read_text())
    environment = {**os.environ, "PYTHONPATH": str(script.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, folder / "stage.py"], env=environment, stderr=subprocess.DEVNULL)


def latest_step(folder):
    """The newest checkpoint's step, 0 without one."""
    names = [path.name for path in (folder / "checkpoints").glob("step-*.pt")]
    return max((int(name.split("_")[0].removeprefix("step-")) for name in names), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_sigterm_saves_and_exits_75(cohort, tmp_path, processes):
    changes = {"steps": 2000, "gan_start": 1000, "save_every": 1000, "validate_every": 1000, "accumulation": 2}
    process = start_process(training_job(cohort, tmp_path, **changes), tmp_path, processes)
    log, end = tmp_path / "log.txt", time.monotonic() + 600
    while not (log.exists() and "training scans" in log.read_text()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(600) == 75
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.pt")
    assert not (tmp_path / "checkpoints" / "lock.json").exists()
    assert not (tmp_path / "model.pt").exists()
    step = torch.load(checkpoint, weights_only=True)["step"]
    assert 0 < step < 2000 and len(pd.read_parquet(tmp_path / "history.parquet")) == step


@pytest.mark.slow
def test_two_processes_train_as_one(cohort, tmp_path):
    """With half of the forward passes each: the same losses, codebook use and validation in every step."""
    changes = {"precision": "fp32", "batch": 1, "accumulation": 4, "gan_start": 2, "restart_after": 2}
    histories = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        assert start_process(training_job(cohort, folder, **changes), folder, processes).wait(300) == 0
        histories.append(pd.read_parquet(folder / "history.parquet"))
    assert "training in 2 processes" in (folder / "log.txt").read_text()
    pd.testing.assert_frame_equal(*histories, check_exact=False, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_process_killed_at_random_times_ends_as_the_uninterrupted_one(cohort, tmp_path):
    """The same with SIGKILL from outside: whatever is half written, the next process copes with it."""
    changes = {"steps": 200, "gan_start": 100, "save_every": 4, "validate_every": 25, "perceptual": "none"}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    assert start_process(training_job(cohort, whole, **changes), whole, ahead=UNDRAWN).wait(600) == 0
    job = training_job(cohort, folder, **changes)
    assert start_process(job, folder, ahead=UNDRAWN + BRAKE + KILLER).wait(1200) == 0
    assert latest_step(folder) < changes["steps"]  # not one of them came to its end
    assert start_process(job, folder, ahead=UNDRAWN).wait(600) == 0
    states = [torch.load(max((tmp_path / name / "checkpoints").glob("*.pt"))) for name in ("whole", "killed")]
    assert same(states[0], states[1])
    models = [torch.load(tmp_path / name / "model.pt") for name in ("whole", "killed")]
    assert same(models[0], models[1])
    histories = [pd.read_parquet(tmp_path / name / "history.parquet") for name in ("whole", "killed")]
    pd.testing.assert_frame_equal(*histories)
