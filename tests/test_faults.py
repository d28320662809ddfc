"""A full disk, and results that are cut short: nothing half has a final name, nothing is computed from half a file.

docs/faults.md lists these and the faults of test_faults_workflow.py.
"""

import ast
import errno
import json
import re

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import test_train_vqgan as vqgan
import torch

from helpers.defaults import settings_of
from helpers.running import ROOT
from helpers.scripts import run_script
from helpers.small_disk import limited, mounted, resize
from lung4d.io.atomic import DamagedFile, write_json
from lung4d.io.latents import Latents, load_codes, load_latents, save_latents
from lung4d.io.nifti import read_image, write_image
from lung4d.io.status import Status, read_status, write_status
from lung4d.io.tables import read_table, write_table
from lung4d.io.volumes import open_mask, open_volume, read_affine, write_like
from lung4d.ode.ensemble import load_calibration, load_ode
from lung4d.pipeline.job import remedy_for
from lung4d.segment.given_mask import read_mask
from lung4d.training.checkpoints import Checkpoints
from lung4d.vqgan.model import VQGAN, VQGANSettings, load_vqgan, save_vqgan

cohort = vqgan.cohort
RNG = np.random.default_rng(0)
SIZE = (24, 32, 40)
SCAN = "results/{}/sub-01/sub-01_ses-02_{}"
FILE, FOLDER = "the file", "the folder of the patient"


def image(size=SIZE):
    """Noise, which no compression makes small."""
    return sitk.GetImageFromArray(RNG.integers(-1000, 500, size).astype(np.int16))


def latents():
    codes = RNG.integers(0, 99, (4, 4, 4)).astype(np.int16)
    return Latents(codes, *RNG.normal(size=(2, 5, 4, 4, 4)).astype(np.float32), codes > 50)


def table(rows=4000):
    return pd.DataFrame({"subject": ["01"] * rows, "value": RNG.normal(size=rows)})


WRITERS = {
    "a.nii.gz": lambda path: write_image(image(), path),
    "a.nii": lambda path: write_image(image(), path, compress=False),
    "like.nii.gz": lambda path: write_like(RNG.normal(size=SIZE) * 500, path.parent.parent / "model.nii", path),
    "a.npz": lambda path: save_latents(Latents(*[RNG.normal(size=(1, 9, 9, 99))] * 4), path),
    "a.tsv": lambda path: write_table(table(), path),
    "a.json": lambda path: write_json(RNG.normal(size=4000).tolist(), path),
    "a.pt": lambda path: Checkpoints(path.parent, "d").save({"a": torch.randn(20000)}, 7),
    "many.pt": lambda path: Checkpoints(path.parent, "d").save({str(i): torch.randn(200) for i in range(99)}, 7),
}


@pytest.mark.parametrize("full", [mounted, limited])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_and_leaves_the_file_of_before(tmp_path, full, name):
    write_image(image(), tmp_path / "model.nii", compress=False)
    with full(tmp_path / "disk", 2**14) as disk:
        path = disk / ("step-00000007_digest-d.pt" if name.endswith(".pt") else name)
        path.write_text("of before")
        before = {file.name for file in disk.iterdir()}
        with pytest.raises(OSError, match=r"no room to write .*: make room on the disk or in the quota") as error:
            WRITERS[name](path)
        assert error.value.errno in (errno.ENOSPC, errno.EFBIG)
        assert path.read_text() == "of before" and {file.name for file in disk.iterdir()} == before


def test_a_scan_on_a_full_disk_is_no_unusable_scan(tmp_path):
    write_image(image((24, 64, 64)), tmp_path / "ct.nii.gz")
    outputs = {name: tmp_path / f"disk/{name}" for name in ("ct.nii.gz", "sidecar", "status")}
    with mounted(tmp_path / "disk", 2**14), pytest.raises(OSError, match="there is no room to write"):
        run_script(
            "convert",
            {},
            {name.split(".")[0]: path for name, path in outputs.items()},
            {"path": tmp_path / "ct.nii.gz", "series": None},
            tmp_path / "log",
        )
    assert not any(path.exists() for path in outputs.values())


@pytest.fixture(scope="module")
def whole(cohort, tmp_path_factory):
    """The folder of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert vqgan.start_process(vqgan.training_job(cohort, folder, perceptual="none"), folder).wait(600) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("full", ["checkpoints", "model.pt"])
def test_a_training_on_a_full_disk_ends_and_goes_on_as_if_nothing_had_been(cohort, whole, tmp_path, full):
    """A checkpoint after the first, or the model itself, finds no room."""
    last = max((whole / "checkpoints").iterdir())
    size = int(last.stat().st_size * 1.5 if full == "checkpoints" else (whole / "model.pt").stat().st_size / 2)
    job = vqgan.training_job(cohort, tmp_path, perceptual="none")
    with mounted(tmp_path / "disk", size) as disk:
        if full == "checkpoints":
            job.params["checkpoints"] = str(disk / full)
        else:
            job.output.model = str(disk / full)
        assert vqgan.start_process(job, tmp_path).wait(600) == 1
        assert re.search(rf"there is no room to write {disk}/\S+\.pt: make room", (tmp_path / "log.txt").read_text())
        left = [path for path in disk.rglob("*") if path.is_file()]
        assert bool(left) == (full == "checkpoints") and last.name not in {path.name for path in left}
        assert all(torch.load(path, weights_only=True)["step"] for path in left)
        resize(disk, 2**28)
        assert vqgan.start_process(job, tmp_path).wait(600) == 0
        assert "going on from checkpoint" in (tmp_path / "log.txt").read_text()
        assert vqgan.same(*(torch.load(path, weights_only=True) for path in (whole / "model.pt", job.output.model)))
    pd.testing.assert_frame_equal(*(pd.read_parquet(path / "history.parquet") for path in (whole, tmp_path)))


def small_vqgan(path):
    save_vqgan(VQGAN(settings_of(VQGANSettings, codes=16, embedding=4, width=2)), path)


# Stage and name of a result, how it is written, who reads it, and what the remedy asks for: the file, or the folder.
CUT = [
    ("convert", "ct.nii.gz", lambda path: write_image(image(), path), read_image, FILE),
    ("segment", "desc-lung_mask.nii.gz", lambda path: write_image(image(), path), read_image, FILE),
    ("resample", "desc-preproc_ct.nii", lambda path: write_image(image(), path, False), open_volume, FILE),
    ("resample", "desc-lung_mask.nii.gz", lambda path: write_image(image(), path), open_mask, FILE),
    ("register", "status.json", lambda path: write_status(Status(True, "register"), path), read_status, FILE),
    ("extract_latents", "latents.npz", lambda path: save_latents(latents(), path), load_latents, FOLDER),
    ("extract_latents", "latents.npz", lambda path: save_latents(latents(), path), load_codes, FOLDER),
    ("generate_trajectories", "ct.nii.gz", lambda path: write_image(image(), path), open_volume, FOLDER),
    ("split", "split.tsv", lambda path: write_table(table(), path), read_table, ""),
    ("train_ode", "history.parquet", lambda path: write_table(table(), path), read_table, ""),
    ("train_vqgan", "model.pt", small_vqgan, load_vqgan, ""),
    ("train_ode", "model.pt", small_vqgan, load_ode, ""),
    ("train_ode", "model.pt", small_vqgan, load_calibration, ""),
]


@pytest.mark.parametrize("length", [0, 0.5, 0.99, -12])
@pytest.mark.parametrize(
    ("stage", "name", "write", "read", "ask"), CUT, ids=lambda value: value.__name__ if callable(value) else ""
)
def test_a_result_that_is_cut_short_is_named_with_the_remedy(tmp_path, stage, name, write, read, ask, length):
    path = tmp_path / (SCAN.format(stage, name) if ask else f"results/{stage}/{name}")
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: length if length < 0 else int(length * len(content))])
    with pytest.raises(DamagedFile) as caught:
        read(path)
    target = (path.parent if ask == FOLDER else path).relative_to(tmp_path)
    assert str(caught.value).startswith(f"{path} cannot be used (")
    remedy = remedy_for(caught.value.path)
    assert f"run the same command once with `--force {target}` at its end, which makes it again" in remedy


@pytest.mark.parametrize("rows", [0, 100, 3999])
def test_a_table_that_ends_with_a_whole_line_too_early_is_told_by_its_twin(tmp_path, rows):
    write_table(table(), tmp_path / "split.tsv")
    lines = (tmp_path / "split.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "split.tsv").write_text("".join(lines[: rows + 1]))
    with pytest.raises(DamagedFile, match=f"it has {rows} rows and split.parquet has 4000"):
        read_table(tmp_path / "split.tsv")


def test_the_twin_that_is_cut_short_is_named(tmp_path):
    write_table(table(), tmp_path / "split.tsv")
    (tmp_path / "split.parquet").write_bytes((tmp_path / "split.parquet").read_bytes()[:-100])
    with pytest.raises(DamagedFile, match=r"split.parquet cannot be used"):
        read_table(tmp_path / "split.tsv")


def test_whole_files_are_read(tmp_path):
    written = image()
    for name, compress in (("a.nii.gz", True), ("a.nii", False)):
        write_image(written, tmp_path / name, compress)
        assert (sitk.GetArrayFromImage(read_image(tmp_path / name)) == sitk.GetArrayFromImage(written)).all()
    fields = sitk.GetImageFromArray(RNG.normal(size=(5, 6, 7, 3)).astype(np.float32), isVector=True)
    write_image(fields, tmp_path / "field.nii.gz")
    assert (sitk.GetArrayFromImage(read_image(tmp_path / "field.nii.gz")) == sitk.GetArrayFromImage(fields)).all()
    with pytest.raises(FileNotFoundError):
        read_affine(tmp_path / "nowhere.nii")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("results/simulate/truth/sub-1/sub-1_ses-2_truth_landmarks.tsv", "results/simulate/truth/sub-1"),
        ("results/simulate/sub-1/sub-1_ses-2_ct.nii.gz", "results/simulate/sub-1"),
        ("/home/results/of/me/results/table3/paper/model.pt", "results/table3/paper/model.pt"),
        ("results/split/split.parquet", "results/split/split.tsv"),
        ("results/train_ode/history.parquet", "results/train_ode/history.parquet"),
    ],
)
def test_the_remedy_asks_for_what_a_rule_declares(tmp_path, monkeypatch, path, target):
    monkeypatch.chdir(tmp_path)
    write_json([], "results/split/split.tsv")
    assert remedy_for(path).startswith(f"run the same command once with `--force {target}` at its end")


def test_a_mask_of_the_users_that_is_cut_short_is_no_mask(tmp_path):
    write_image(image(), tmp_path / "mask.nii.gz")
    content = (tmp_path / "mask.nii.gz").read_bytes()
    (tmp_path / "mask.nii.gz").write_bytes(content[:-5000])
    with pytest.raises(Exception, match=r"The mask given is cut short or damaged; copy it again\."):
        read_mask(tmp_path / "mask.nii.gz")


def test_statuses_of_other_versions(tmp_path):
    """One without a field that came later is read; one with a field that nobody knows is named."""
    old = {"ok": True, "stage": "convert", "reason": "", "metrics": {"slices": 30}, "flags": []}
    path = tmp_path / SCAN.format("convert", "status.json")
    write_json(old, path)
    assert read_status(path) == Status(True, "convert", metrics={"slices": 30})
    write_json({**old, "mood": "good"}, path)
    with pytest.raises(DamagedFile, match=r"status.json cannot be used \(.*mood.*\)"):
        read_status(path)
    path.write_text(json.dumps([1, 2]))
    with pytest.raises(DamagedFile, match=r"status.json cannot be used"):
        read_status(path)


# Modules that read or write with the libraries' own functions: those that check what they read, and readers of what is
# none of the workflow's results.
OWN = {
    "ReadImage": {"nifti", "files", "volume", "given_mask"},
    "WriteImage": {"nifti"},
    "nib.load": {"volumes", "files", "provenance", "given_forecasts"},
    "np.load": {"latents"},
    "read_parquet": {"tables"},
    "read_csv": {"tables", "ending"},
}


@pytest.mark.parametrize("call", OWN)
def test_results_are_read_and_written_where_it_is_checked(call):
    found = set()
    for path in (ROOT / "workflow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ("." + ast.unparse(node.func)).endswith("." + call):
                found.add(path.stem)
    assert found == OWN[call]
