"""Every script runs to its end in a bare environment made from its stage's file, on a real job of the workflow."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.bare_environment import make_bare, packages_in, run_bare
from helpers.code_imports import SCRIPT_NAMES, SCRIPTS, modules_of
from helpers.pins import OF_THE_BUILD, given, pip_part
from helpers.running import ROOT, faulty_scans

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent
TARGETS = ("all", "table1", "table3", "ablation", "unet", "tables")
# Scripts that compare models trained on demand, and the run's own model that stands here for each of those.
BEFORE = {"unet": "train_unet"}  # a step that only these runs take: what it leaves is not in the finished run
COMPARED = {"table1": "train_ode", "ablation": "train_ode", "table3": "train_vqgan"}


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """A finished run of this module's own: jobs are done again in it."""
    return shutil.copytree(tiny_run / "results", tmp_path_factory.mktemp("isolation") / "results").parent


@pytest.fixture(scope="module")
def jobs(run):
    """A job for every script, as Snakemake would hand it over."""
    command = [sys.executable, TESTS / "helpers/real_jobs.py", run, ROOT / "tests/tiny.yaml", *TARGETS]
    every = pickle.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
    faulty = faulty_scans(run)
    found = {script: choose(every, script, faulty) for script in SCRIPT_NAMES}
    found["tables"]["config"] = {"tree": str(run / "results/simulate")}
    return found


def choose(jobs, script, faulty):
    """The script's job for the last usable scan of the last patient: a DICOM series, and a follow-up."""

    def scan(job):
        return tuple(job["wildcards"]["names"].get(key, "") for key in ("subject", "session"))

    return max((job for job in jobs if job["rule"] == job["script"] == script and scan(job) not in faulty), key=scan)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The Python of an environment; environments with equal pins are one."""
    made = {}

    def python_with(pinned):
        key = tuple(sorted(pinned.items()))
        if key not in made:
            made[key] = make_bare(tmp_path_factory.mktemp("bare"), pinned)
        return made[key]

    return python_with


def run_job(job, python, run, check=True):
    """Do the job again in `run` with a bare environment's Python."""
    for path in map(Path, [*job["output"]["values"], *job["params"]["names"].get("checkpoints", "").split()]):
        shutil.rmtree(run / path) if (run / path).is_dir() else (run / path).unlink(missing_ok=True)
    for path in job["input"]["values"]:
        if job["script"] in COMPARED and not (run / path).exists():
            (run / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(run / f"results/{COMPARED[job['script']]}/model.pt", run / path)
    (run / "job.pickle").write_bytes(pickle.dumps({**job, "imports": sorted(modules_of(job["script"]))}))
    return run_bare(python, str(TESTS / "helpers/bare_driver.py"), "job.pickle", str(SCRIPTS), folder=run, check=check)


@pytest.mark.parametrize("script", SCRIPT_NAMES)
def test_a_script_runs_in_the_bare_environment_of_its_stage(script, run, jobs, bare, tmp_path):
    job, pinned = jobs[script], given(jobs[script]["environment"])
    folder, left = (tmp_path, ["config/scans.tsv"]) if script == "tables" else (run, job["output"]["values"])
    python = bare(pinned)
    held = packages_in(python, folder)
    assert {name: held[name] for name in held if not name.startswith(OF_THE_BUILD)} == pinned
    if script in BEFORE and not all((run / path).exists() for path in job["input"]["values"]):
        before = jobs[BEFORE[script]]
        run_job(before, bare(given(before["environment"])), run)
    run_job(job, python, folder)
    for path in (folder / path for path in left):
        assert any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0, path


def test_snakemake_reads_the_workflow_in_the_environment_of_the_rules_that_call_it(run, bare):
    python = bare(given("snakemake"))
    words = ("--snakefile", str(ROOT / "Snakefile"), "--directory", str(run), "--cores", "1", "--dry-run", "--nolock")
    done = run_bare(python, "-m", "snakemake", *words, "--configfile", str(ROOT / "tests/tiny.yaml"), folder=run)
    assert "Job stats" in done.stdout + done.stderr or "Nothing to be done" in done.stdout + done.stderr


def test_the_jobs_are_those_that_leave_no_step_out(jobs):
    assert jobs["register"]["wildcards"]["names"]["session"] != "01"  # a follow-up
    assert Path(jobs["convert"]["params"]["names"]["path"]).suffix == ""  # a DICOM folder


@pytest.mark.parametrize("absent", ["pandas", "pyarrow"])  # pandas needs pyarrow when it writes, at the script's end
def test_a_missing_package_would_be_noticed(absent, run, jobs, bare):
    pinned = {name: version for name, version in given("qc").items() if name != absent}
    done = run_job(jobs["qc"], bare(pinned), run, check=False)
    assert done.returncode != 0 and "Error" in done.stderr and absent in done.stderr
    assert not (run / jobs["qc"]["output"]["names"]["table"]).exists()


def test_pip_makes_of_an_environment_file_what_is_linked_here(bare, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "made"], check=True)
    python = tmp_path / "made/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", *pip_part("convert")], check=True)
    assert {**packages_in(python, tmp_path), **given("convert")}.keys() == {*given("convert"), "pip", "setuptools"}
    linked, made = (files_below(one.parent.parent) for one in (bare(given("convert")), python))
    assert linked == made


def files_below(environment):
    """The code and data of an environment's packages, by size; not what an installer notes, nor Python's own two."""
    site = next(environment.glob("lib/python*/site-packages"))
    files = [path.relative_to(site) for path in site.rglob("*") if path.is_file()]
    own = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
    kept = [file for file in files if ".dist-info" not in file.parts[0] and file.suffix != ".pyc"]
    return {str(file): (site / file).stat().st_size for file in kept if file.parts[0] not in own}
