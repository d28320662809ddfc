"""What is run again after a change, compared with the exact set of jobs that must follow.

The base run is a cohort of the user's own tables (the built-in cohort's images with one scan held back). The rows of
the table are dry runs; a few changes are executed as well, on copies of the base run's folder. What changes code works
on a clone of the repository.
"""

import os
import shutil
from collections import Counter

import pandas as pd
import pytest
import yaml

from helpers.running import (
    ROOT,
    SCAN_STAGES,
    faulty_scans,
    jobs_of,
    set_key,
    snakemake,
    take_over_scans,
    times,
    write_cohort,
)

pytestmark = pytest.mark.slow

AFTER_ODE = {"generate_trajectories", "evaluate", "biomarkers", "survival", "report"}
AFTER_VQGAN = {"extract_latents", "codebook", "train_ode", *AFTER_ODE}
AFTER_SPLIT = {"train_vqgan", *AFTER_VQGAN}
AFTER_SCANS = {"split", "qc", *AFTER_SPLIT}


@pytest.fixture(scope="module")
def base(tiny_run, tmp_path_factory):
    """A finished run on tables of two visits a patient; `config/held_back.tsv` holds the row of one more scan."""
    folder = tmp_path_factory.mktemp("base")
    images = folder / "images"
    shutil.copytree(tiny_run / "results/simulate", images, ignore=shutil.ignore_patterns("truth"))
    scans = pd.read_csv(images / "scans.tsv", sep="\t", dtype=str)
    scans["path"] = "images/" + scans["path"]
    faults = faulty_scans(tiny_run)
    usable = [key not in faults for key in zip(scans["subject"], scans["session"], strict=True)]
    held_back = scans[usable].groupby("subject").nth(2).iloc[[0]]
    used = scans.groupby("subject").head(2)
    write_cohort(folder, used, pd.read_csv(images / "participants.tsv", sep="\t", dtype=str))
    held_back.to_csv(folder / "config/held_back.tsv", sep="\t", index=False)
    take_over_scans(tiny_run, folder, used)
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


def rerun(folder, repository=ROOT, target="all"):
    """Run again; the jobs that ran, and the stages whose files have new times."""
    before = times(folder / "results")
    jobs = jobs_of(snakemake("--cores", "2", target, folder=folder, repository=repository))
    after = times(folder / "results")
    touched = {name.split("/")[0] for name in after if after[name] != before.get(name)} - {"logs", "README.md"}
    return {name: count for name, count in jobs.items() if name != "all"}, touched


# Every row: section, key, another value, and the stages that must run again.
KEYS = [
    ("segment", "min_volume_ml", 250, {"segment", "register", "resample", *AFTER_SCANS}),
    ("register", "keypoint_sigma", 1.5, {"register", "resample", *AFTER_SCANS}),
    ("resample", "margin", 12.0, {"resample", *AFTER_SCANS}),
    ("split", "seed", 2, {"split", "qc", *AFTER_SPLIT}),
    ("train_vqgan", "lr", 1.0e-4, AFTER_SPLIT),
    # Snakemake compares values without their names: 1.0 is the weight of the GAN terms, 4.0 stays that of L1.
    ("train_vqgan", "perceptual_weight", 1.0, AFTER_SPLIT),
    ("train_ode", "lr", 3.0e-4, {"train_ode", *AFTER_ODE}),
    ("generate_trajectories", "interval", 0.75, AFTER_ODE - {"evaluate"}),
    ("evaluate", "bootstrap", 30, {"evaluate", "report"}),
    ("biomarkers", "match", True, {"biomarkers", "survival", "report"}),
    ("survival", "ridge", 0.2, {"survival", "report"}),
    ("qc", "min_dice_after", 0.8, {"qc", "report"}),
    ("report", "title", "Another title", {"report"}),
    ("table1", "given_too", True, {"report"}),
    # Values that are the defaults change nothing.
    ("train_vqgan", "codes", 32, set()),
    ("train_ode", "solver", "dopri5", set()),
]


@pytest.fixture(scope="module")
def dry(base, tmp_path_factory):
    """Jobs of a dry run on the base run's folder, which every test leaves as it was."""
    kept = tmp_path_factory.mktemp("kept") / "config"
    shutil.copytree(base / "config", kept)

    def run(*words, repository=ROOT):
        jobs = jobs_of(snakemake("--cores", "2", "--dry-run", *words, folder=base, repository=repository))
        return Counter({name: count for name, count in jobs.items() if name != "all"})

    yield run
    shutil.copytree(kept, base / "config", dirs_exist_ok=True)


@pytest.fixture
def config(base, tmp_path):
    """The base run's folder, whose tables and settings are put back afterwards."""
    shutil.copytree(base / "config", tmp_path / "config")
    yield base
    shutil.rmtree(base / "config")
    shutil.copytree(tmp_path / "config", base / "config")


def expected(folder, stages, without=(), **counts):
    """Jobs of `stages`: one a scan of the stages of a scan, one a patient of those of a patient, one of the others.

    The table of scans is that of now; `without` are patients that it has no more, `counts` other numbers.
    """
    scans = pd.read_csv(folder / "config/scans.tsv", sep="\t", dtype=str)
    of_scans, of_patients = set(SCAN_STAGES), {"extract_latents", "generate_trajectories"}
    sizes = {stage: len(scans) if stage in of_scans else 1 for stage in stages}
    sizes |= {stage: scans["subject"].nunique() for stage in of_patients & set(stages)}
    return Counter(sizes | counts)


@pytest.mark.parametrize(("section", "key", "value", "stages"), KEYS, ids=[f"{s}.{k}" for s, k, *_ in KEYS])
def test_a_key_of_every_section(dry, config, section, key, value, stages):
    set_key(config, section, key, value)
    assert dry() == expected(config, stages)


def test_every_section_is_in_the_table():
    sections = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    without_keys = {name for name, keys in sections.items() if keys == {}}
    on_demand = {"table1", "ablation", "unet", "table3"}
    of_the_cohort = {"cohort", "tree", "shard", "simulate"}
    assert {section for section, *_ in KEYS} | without_keys | on_demand == set(sections) - of_the_cohort


def test_comments_and_order_in_the_configuration(dry, config):
    path = config / "config/config.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text("# a comment\n" + yaml.safe_dump(dict(reversed(settings.items()))))
    assert not dry()


def test_a_scan_file_that_changed(dry, base):
    scans = pd.read_csv(base / "config/scans.tsv", sep="\t", dtype=str)
    path = base / scans[scans["path"].str.endswith(".nii.gz")].groupby("subject").nth(1).iloc[0]["path"]
    content, before = path.read_bytes(), path.stat()
    try:
        path.touch()
        assert not dry()  # Snakemake knows the content of a small file
        path.write_bytes(content + b"changed")
        assert dry() == expected(base, {*SCAN_STAGES, *AFTER_SCANS}, **dict.fromkeys(SCAN_STAGES, 1))
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_patient_less(dry, config):
    path = config / "config/scans.tsv"
    scans = pd.read_csv(path, sep="\t", dtype=str)
    scans[scans["subject"] != scans["subject"].iloc[-1]].to_csv(path, sep="\t", index=False)
    assert dry() == expected(config, AFTER_SCANS)


def test_a_scan_that_is_left_out(dry, config):
    """The last follow-up: the patient's other scans stay as they are, as they are registered to the baseline."""
    scans = pd.read_csv(config / "config/scans.tsv", sep="\t", dtype=str)
    scan = scans.groupby("subject").nth(1).iloc[0]
    (config / "config/qc.tsv").write_text(f"subject\tsession\treason\n{scan['subject']}\t{scan['session']}\tcut off\n")
    assert dry() == expected(config, AFTER_SCANS)


def test_an_outcome(dry, config):
    path = config / "config/participants.tsv"
    people = pd.read_csv(path, sep="\t", dtype=str)
    people["age"] = "71"
    people.to_csv(path, sep="\t", index=False)
    assert dry() == expected(config, {"survival", "report"})


def test_a_new_file_of_weights(dry, config, tmp_path):
    """Of a network that is in use. The base run is taken for one with it: what it wrote is touched."""
    weights = tmp_path / "r231.pth"
    weights.write_bytes(b"")
    folder = shutil.copytree(config, tmp_path / "run", symlinks=True)
    set_key(folder, "segment", "method", "lungmask")
    set_key(folder, "segment", "weights", str(weights))
    snakemake("--cores", "2", "--touch", folder=folder)
    assert not jobs_of(snakemake("--cores", "2", "--dry-run", folder=folder))
    weights.write_bytes(b"new")
    jobs = jobs_of(snakemake("--cores", "2", "--dry-run", folder=folder))
    del jobs["all"]
    assert jobs == expected(folder, {"segment", "register", "resample", *AFTER_SCANS})


def test_learning_rate_of_the_ode(folder):
    set_key(folder, "train_ode", "lr", 3.0e-4)
    jobs, touched = rerun(folder)
    assert set(jobs) == {"train_ode", *AFTER_ODE}
    assert touched == set(jobs)


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
    for name in ("train_vqgan.py", "lung4d/training/checkpoints.py", "lung4d/io/atomic.py"):
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
    """The results are taken for ones with the version: what the base run wrote is touched."""
    dry_run = ("--cores", "2", "--dry-run")
    for stage in ("train_vqgan", "train_ode"):
        set_key(folder, stage, "version", "kept")
    once = jobs_of(snakemake(*dry_run, folder=folder, repository=clone))
    assert {"train_vqgan", "train_ode"} <= set(once)
    snakemake("--cores", "2", "--touch", folder=folder, repository=clone)
    for stage in ("train_vqgan", "train_ode"):
        path = clone / f"workflow/scripts/{stage}.py"
        path.write_text(path.read_text() + "\nCHANGED = True\n")
    assert not jobs_of(snakemake(*dry_run, folder=folder, repository=clone))


def test_a_new_scan(folder):
    (row,) = (folder / "config/held_back.tsv").read_text().splitlines()[1:]
    subject, session = row.split("\t")[:2]
    table = folder / "config/scans.tsv"
    table.write_text(table.read_text() + row + "\n")
    jobs = jobs_of(snakemake("--cores", "2", "--dry-run", folder=folder))
    del jobs["all"]
    once = dict.fromkeys(SCAN_STAGES, 1)
    assert jobs == expected(folder, {*SCAN_STAGES, *AFTER_SCANS}, **once)
    before = times(folder / "results")
    jobs, _ = rerun(folder, target="scans")
    assert jobs == {"scans": 1, "split": 1, "qc": 1, **once}
    after = times(folder / "results")
    others = [name for name in before if name.split("/")[0] in SCAN_STAGES and f"ses-{session}" not in name]
    assert len(others) > 1 and all(after[name] == before[name] for name in others)
    assert (folder / f"results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii").stat().st_size
