"""A small cohort and small models for the scripts that compare variants of the disease model."""

import torch

from helpers.ode_cases import model, save_model, section, write_cohort
from helpers.scripts import run_script
from lung4d.io.tables import read_table
from lung4d.vqgan.model import load_vqgan, parameter_hash

COHORT = {"001": [0.0, 1.0], "002": [0.0, 1.0, 2.0], "003": [0.0, 0.5, 1.5, 3.0], "004": [0.0, 1.0, 3.0], "005": [0.0]}
SPLITS = {"001": "train", "002": "val", "003": "test", "004": "external", "005": "test"}
EVALUATE = {**section("evaluate"), "bootstrap": 50, "blur_sigmas": [0.5, 1.0], "slope_sigmas": [1.0]}


def save_variants(folder, rows, own=None):
    """A model file of every row and of the run's own model, "own", each with other weights."""
    vqgan_hash, paths = parameter_hash(load_vqgan(folder / "vqgan.pt")), {}
    for number, (name, settings) in enumerate({"own": own or {}, **rows}.items()):
        made = {
            key: settings[key] for key in ("encoder", "decoder", "direction", "dynamics", "latents") if key in settings
        }
        ode = model(seed=number, channels=4, factor=4, **{"maps": 2, **made, **_shape(settings)})
        if ode.drawing:
            torch.nn.init.normal_(ode.drawing.last.weight[ode.drawing.maps :], std=0.01)
        paths[name] = folder / f"{name}.pt"
        save_model(ode, paths[name], vqgan_hash)
    return paths


def _shape(settings):
    return {key: settings[key] for key in ("maps", "features", "time_gap") if key in settings}


def compare(stage, folder, rows, **params):
    """Run the stage's script on the small cohort; its table and page."""
    paths = write_cohort(folder, COHORT, SPLITS, grid=(12, 12, 12))  # SSIM needs 11 voxels
    models = save_variants(folder, rows)
    outputs = {"table": folder / f"{stage}.tsv", "page": folder / f"{stage}.md"}
    inputs = {**dict(paths.items()), "ode": models["own"], "models": [models[name] for name in rows]}
    run_script(stage, inputs, outputs, {**EVALUATE, "folders": paths.folders, **params}, folder / "log.txt")
    return read_table(outputs["table"]), outputs["page"].read_text()
