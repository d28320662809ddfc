"""What people who know Snakemake expect of a workflow: Snakemake's own report, and use as a module of another one."""

import json
import re
import shutil
import subprocess
import zipfile

import pandas as pd
import pytest
import yaml

from helpers.running import ROOT, SCAN_STAGES, jobs_of, snakemake

TINY = ROOT / "tests/tiny.yaml"
WITHOUT_CODE = ("--rerun-triggers", "mtime", "params", "input", "software-env")


# Snakemake's own report


def marked_results(tiny_run):
    """Category, labels and the beginning of the caption of every result that is to be in the report, by its path."""
    marked = {
        "report/index.html": ("Report", {"page": "the whole report"}, "The page to open first"),
        "codebook/decoded.png": ("Codebook", {"picture": "each code decoded"}, "A latent filled with one code"),
        "codebook/exemplars.png": ("Codebook", {"picture": "real patches of each code"}, "Axial patches"),
    }
    for stage, model in (("train_vqgan", "3D-VQ-GAN"), ("train_ode", "disease model")):
        labels = {"model": model, "settings": "of this run"}
        marked[f"{stage}/progress.png"] = ("Trainings", labels, "The course of a training")
    for folder in (tiny_run / "results/generate_trajectories").iterdir():
        patient = folder.name.removeprefix("sub-")
        for plane in ("axial", "coronal"):
            path = f"generate_trajectories/{folder.name}/{folder.name}_plane-{plane}_strip.png"
            marked[path] = ("Trajectories", {"patient": patient, "plane": plane}, f"Patient {patient}: real visits")
    return {f"results/{path}": mark for path, mark in marked.items()}


def test_the_report_holds_every_marked_result_with_category_labels_and_caption(tiny_run, tmp_path):
    marked = marked_results(tiny_run)
    path = tmp_path / "report.zip"
    snakemake("--cores", "1", "--nolock", "--configfile", str(TINY), "--report", str(path), folder=tiny_run)
    with zipfile.ZipFile(path) as report:
        page = report.read("report/report.html").decode()
        results, categories = value_of("results", page), value_of("categories", page)
        placed = {path: name for name, parts in categories.items() for paths in parts.values() for path in paths}
        assert len(marked) > 2 * 6 and set(results) == set(placed) == set(marked)
        for path, (category, labels, caption) in marked.items():
            assert (placed[path], results[path]["labels"]) == (category, labels), path
            assert results[path]["caption"].startswith(f"<p>{caption}"), path
            assert report.read(f"report/{results[path]['data_uri']}") == (tiny_run / path).read_bytes(), path
    assert "Generated scans are synthetic" in value_of("workflow_desc", page)
    assert "followup_years" not in page  # outcomes of single patients, which are parameters of the rule `report`


def value_of(name, page):
    """The value that a script in the page gives a variable."""
    start = re.search(rf'<script id="{name.replace("_", "-")}">\s*var {name} = ', page).end()
    return json.JSONDecoder().raw_decode(page, start)[0]


# A module of another workflow

PARENT = """
configfile: "config/config.yaml"


rule all:
    input:
        "patients.txt",


module lung4d:
    snakefile: {snakefile}
    config: config["lung4d"]
    {more}


use rule * from lung4d as lung4d_*


rule patients:
    input:
        "results/split/split.tsv",
    output:
        "patients.txt",
    shell:
        "tail -n +2 {{input}} | cut -f 1 | sort -u > {{output}}"
"""


def write_parent(folder, more="", snakefile=f'"{ROOT / "workflow/Snakefile"}"', **settings):
    """Another workflow in `folder`, with settings of its own beside those of the tiny run."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    config = {"title": "another workflow", "lung4d": yaml.safe_load(TINY.read_text()) | settings}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    (folder / "Snakefile").write_text(PARENT.format(snakefile=snakefile, more=more))
    return folder


def run_parent(folder, *words, **options):
    return snakemake("--cores", "2", *words, folder=folder, repository=folder, **options)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [0, 8])
def test_as_a_module_it_makes_of_the_tiny_cohort_what_it_makes_alone(tiny_run, tmp_path, shard):
    folder = write_parent(shutil.copytree(tiny_run, tmp_path / "run", symlinks=True), shard=shard)
    visits = pd.read_csv(folder / "results/simulate/scans.tsv", sep="\t", dtype=str)["subject"].value_counts()
    subject, count = visits.index[-1], int(visits.iloc[-1])
    for stage in ("simulate", *SCAN_STAGES):
        shutil.rmtree(folder / f"results/{stage}/sub-{subject}")
    shutil.rmtree(folder / "results/split")

    jobs = jobs_of(run_parent(folder, *WITHOUT_CODE))
    of_scans = {"shard_scans": 1} if shard else {"simulate": 1, **dict.fromkeys(SCAN_STAGES, count)}
    expected = {f"lung4d_{rule}": number for rule, number in {**of_scans, "split": 1}.items()}
    assert jobs == expected | {"patients": 1, "all": 1}
    ours, alone = (pd.read_csv(run / "results/split/split.tsv", sep="\t", dtype=str) for run in (folder, tiny_run))
    assert ours.drop(columns="digest").equals(alone.drop(columns="digest"))
    assert (folder / "patients.txt").read_text().split() == sorted(visits.index)
    assert not jobs_of(run_parent(folder, *WITHOUT_CODE))


@pytest.mark.parametrize("moved", ['prefix: "elsewhere"', 'replace_prefix: {"results/": "elsewhere/"}'])
def test_with_a_prefix_it_says_before_any_job_why_not(tmp_path, moved):
    folder = write_parent(tmp_path, moved)
    done = run_parent(folder, check=False)
    assert done.returncode and "cannot be moved by prefix: or replace_prefix: in module:" in done.stderr
    assert not (folder / "results").exists() and not (folder / "elsewhere").exists()


def test_from_a_git_host_it_says_to_clone(tmp_path):
    host, folder = tmp_path / "host/owner/lung4d", tmp_path / "run"
    shutil.copytree(ROOT / "workflow", host / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    person = ("-c", "user.name=name", "-c", "user.email=name@host")
    for words in (("init", "--quiet", "--initial-branch=main"), ("add", "."), ("commit", "--quiet", "-m", "rules")):
        subprocess.run(["git", "-C", str(host), *person, *words], check=True)
    write_parent(folder, snakefile='github("owner/lung4d", path="workflow/Snakefile", branch="main")')
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GITHUB_TOKEN": "",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(tmp_path / 'host').as_uri()}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    done = run_parent(folder, check=False, environment=environment)
    assert done.returncode and "clone the repository" in done.stderr, done.stderr
    assert "No module named" not in done.stderr and not (folder / "results").exists()


MODELS = "results/train_ode/model.pt"


@pytest.mark.parametrize(("words", "times"), [((), 1), (WITHOUT_CODE, 0)])
def test_a_module_says_once_that_a_checkout_would_train_again(tmp_path, words, times):
    done = run_parent(write_parent(tmp_path), "--dry-run", *words, "--", MODELS)
    assert (done.stdout + done.stderr).count("rerun trigger `code` is on") == times


@pytest.mark.parametrize(("words", "times"), [(("--workflow-profile", "none"), 1), ((), 0)])
def test_a_run_without_the_profile_of_the_repository_says_so_too(tmp_path, words, times):
    done = snakemake("--cores", "2", "--configfile", str(TINY), "--dry-run", *words, "--", MODELS, folder=tmp_path)
    assert (done.stdout + done.stderr).count("rerun trigger `code` is on") == times
