"""What is run again after a change: executed, and compared with the exact set of jobs that must follow.

The base run is a cohort of the user's own tables (the built-in cohort's images with one scan held back). Every case
works on a copy of its folder, and on a clone of the repository where it changes code.
"""

import shutil

import pandas as pd
import pytest
import yaml

from running import ROOT, faulty_scans, jobs_of, snakemake, times

pytestmark = pytest.mark.slow

SCAN_STAGES = ("convert", "segment", "register", "resample")
AFTER_ODE = {"generate_trajectories", "evaluate", "biomarkers", "survival", "report"}


@pytest.fixture(scope="module")
def base(tiny_run, tmp_path_factory):
    """A finished run on tables; `config/held_back.tsv` holds the row of one more scan."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "config").mkdir()
    images = folder / "images"
    shutil.copytree(tiny_run / "results/simulate", images, ignore=shutil.ignore_patterns("truth"))
    scans = pd.read_csv(images / "scans.tsv", sep="\t", dtype=str)
    scans["path"] = "images/" + scans["path"]
    faults = faulty_scans(tiny_run)
    usable = [key not in faults for key in zip(scans["subject"], scans["session"], strict=True)]
    held_back = scans[usable].groupby("subject").tail(1).iloc[[0]]
    scans.drop(held_back.index).to_csv(folder / "config/scans.tsv", sep="\t", index=False)
    held_back.to_csv(folder / "config/held_back.tsv", sep="\t", index=False)
    shutil.copy(images / "participants.tsv", folder / "config/participants.tsv")
    settings = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    settings.pop("cohort"), settings.pop("simulate")
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings))
    snakemake("--cores", "2", folder=folder)
    return folder


@pytest.fixture
def folder(base, tmp_path):
    return shutil.copytree(base, tmp_path / "run", symlinks=True)


@pytest.fixture
def clone(tmp_path):
    """The repository as a fresh checkout would be: the same text, new times."""
    names = ("Snakefile", "workflow", "config", "profiles")
    for name in names:
        source, target = ROOT / name, tmp_path / "clone" / name
        ignore = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=ignore)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return tmp_path / "clone"


def set_key(folder, section, key, value):
    path = folder / "config/config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings.setdefault(section, {})[key] = value
    path.write_text(yaml.safe_dump(settings))


def rerun(folder, repository=ROOT):
    """Run again; the jobs that ran, and the stages whose files kept their times."""
    before = times(folder / "results")
    jobs = jobs_of(snakemake("--cores", "2", folder=folder, repository=repository))
    after = times(folder / "results")
    touched = {name.split("/")[0] for name in after if after[name] != before.get(name)} - {"logs", "README.md"}
    return {name: count for name, count in jobs.items() if name != "all"}, touched


def test_learning_rate_of_the_ode(folder):
    set_key(folder, "train_ode", "lr", 3.0e-4)
    jobs, touched = rerun(folder)
    assert set(jobs) == {"train_ode", *AFTER_ODE}
    assert touched == set(jobs)


def test_a_value_that_another_key_has_already(folder):
    # Snakemake compares values without their names: 1.0 is the weight of the GAN terms, 4.0 stays that of L1.
    set_key(folder, "train_vqgan", "perceptual_weight", 1.0)
    jobs = jobs_of(snakemake("--cores", "2", "--dry-run", folder=folder))
    assert jobs["train_vqgan"] == 1


def test_a_key_of_survival(folder):
    set_key(folder, "survival", "ridge", 0.2)
    jobs, touched = rerun(folder)
    assert jobs == {"survival": 1, "report": 1}
    assert touched == set(jobs)


def test_a_fresh_clone_beside_existing_results(folder, clone):
    assert rerun(folder, clone) == ({}, set())


def test_a_touched_script(folder, clone):
    (clone / "workflow/scripts/train_vqgan.py").touch()
    assert rerun(folder, clone) == ({}, set())


def test_a_comment_in_a_script_and_in_a_module(folder, clone):
    for name in ("train_vqgan.py", "lung4d/training.py", "lung4d/files.py"):
        path = clone / "workflow/scripts" / name
        path.write_text(path.read_text() + "\n# a comment\n")
    assert rerun(folder, clone) == ({}, set())


def test_the_logic_of_a_module(folder, clone):
    path = clone / "workflow/scripts/lung4d/survival/__init__.py"
    path.write_text(path.read_text() + "\nCHANGED = True\n")
    jobs, touched = rerun(folder, clone)
    assert jobs == {"survival": 1, "report": 1}
    assert touched == set(jobs)


def test_a_pinned_version_keeps_a_model_across_a_change_of_its_code(folder, clone):
    set_key(folder, "train_vqgan", "version", "kept")
    set_key(folder, "train_ode", "version", "kept")
    jobs, _ = rerun(folder, clone)
    assert "train_vqgan" in jobs  # once, when the version is set
    path = clone / "workflow/scripts/train_vqgan.py"
    path.write_text(path.read_text() + "\nCHANGED = True\n")
    assert not jobs_of(snakemake("--cores", "2", "--dry-run", folder=folder, repository=clone))


def test_a_new_scan(folder):
    (row,) = (folder / "config/held_back.tsv").read_text().splitlines()[1:]
    subject, session = row.split("\t")[:2]
    table = folder / "config/scans.tsv"
    table.write_text(table.read_text() + row + "\n")
    before = times(folder / "results")
    jobs, _ = rerun(folder)
    assert {stage: jobs[stage] for stage in SCAN_STAGES} == dict.fromkeys(SCAN_STAGES, 1)
    models = {"train_vqgan", "extract_latents", "codebook", "train_ode"}
    assert set(jobs) - set(SCAN_STAGES) == {"split", "qc", *models, *AFTER_ODE}
    after = times(folder / "results")
    others = [name for name in before if name.split("/")[0] in SCAN_STAGES and f"ses-{session}" not in name]
    assert others and all(after[name] == before[name] for name in others)
    assert (folder / f"results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii").stat().st_size
