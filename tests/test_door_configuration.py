"""The configuration at the door: read as anybody would read it, or refused in a sentence before the first job."""

import ast
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from hypothesis import given
from hypothesis import strategies as st

from helpers.config_cases import AFTER_VISITS, CLASHES, GIVEN, GIVEN_WRONG, ODD_NAMES, READ, REFUSED, SIMULATIONS, YEARS
from helpers.ct_files import volume
from helpers.running import ROOT, read_json, snakemake
from lung4d.pipeline import job
from lung4d.pipeline.door import contradictions, forecast_times
from lung4d.pipeline.door.configuration import can_be_read_again, config_errors, load_yaml, overlaid, read_layers
from lung4d.pipeline.door.invalid import InvalidInput, together_with
from lung4d.pipeline.door.wanted import as_wanted, number_in
from lung4d.pipeline.door.yaml_file import parse_yaml, read_yaml_file
from lung4d.pipeline.paths import FORMATTED_OR_REFUSED, as_it_is, plain_path, quoted_once, written_double
from lung4d.simulate.cohort import find_problems

SCHEMA = load_yaml(ROOT / "workflow/schemas/config.schema.yaml")
DEFAULTS = ROOT / "config/config.yaml"
USUAL = as_wanted(read_yaml_file(DEFAULTS).values, SCHEMA, SCHEMA)


def read(files, said=None):
    """The merged configuration and everything that is wrong with it."""
    layers, errors = read_layers({"defaults": DEFAULTS, **files}, said or {}, SCHEMA)
    merged = {}
    for layer in layers:
        merged = overlaid(merged, layer.values)
    return merged, errors + config_errors(merged, SCHEMA, layers)


def read_text(folder, text):
    path = folder / "config.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read({"config/config.yaml": path})


def at(config, key):
    for part in key.split("."):
        config = config[part]
    return config


# What is read


@pytest.mark.parametrize("case", READ, ids=lambda case: case.words)
def test_a_value_is_read_as_anybody_would_read_it(tmp_path, case):
    config, errors = read_text(tmp_path, case.text)
    assert errors == []
    assert (at(config, case.key), type(at(config, case.key))) == (case.value, type(case.value))


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.words)
def test_what_cannot_be_meant_is_refused_with_file_line_value_and_remedy(tmp_path, case):
    _, errors = read_text(tmp_path, case.text)
    assert len(errors) == 1 and case.refused in errors[0] and errors[0].startswith("config/config.yaml")


@pytest.mark.parametrize(("said", "key", "value"), GIVEN, ids=str)
def test_what_the_command_line_hands_on_as_text_is_read(said, key, value):
    config, errors = read({}, said)
    assert errors == [] and at(config, key) == value and type(at(config, key)) is type(value)


@pytest.mark.parametrize(("said", "words"), GIVEN_WRONG, ids=str)
def test_what_the_command_line_says_wrong_is_told_with_its_name(said, words):
    _, errors = read({}, said)
    assert len(errors) == 1 and errors[0].startswith(words)


@pytest.mark.parametrize(("said", "words"), YEARS, ids=str)
def test_years_and_what_is_counted_with_them_have_limits_however_they_come(said, words):
    _, errors = read({}, said)
    assert len(errors) == 1 and words in errors[0]


@pytest.mark.parametrize("name", ["config", "demo", "paper"])
def test_a_shipped_file_reads_as_yaml_reads_it(name):
    path = ROOT / f"config/{name}.yaml"
    strict = as_wanted(read_yaml_file(path).values, SCHEMA, SCHEMA)
    assert yaml.safe_dump(strict) == yaml.safe_dump(yaml.safe_load(path.read_text()))


@given(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{!r}", "{:e}", "{:.17g}", "{:+.16e}", " {!r} "])
)
def test_any_number_that_python_writes_is_read_as_that_number(value, form):
    text = form.format(value)
    assert number_in(text) == float(text)


@given(st.integers())
def test_any_whole_number_is_read_as_itself(value):
    assert (number_in(str(value)), type(number_in(str(value)))) == (value, int)
    assert number_in(f"{value:_}") == value


@given(st.text(alphabet="0123456789.eE+-_,:x infaby%", max_size=8))
def test_a_text_is_a_finite_number_of_pythons_or_none(text):
    """Nothing is read as another number than Python reads; what is no number, or not a finite one, is left."""
    value = number_in(text)
    if value is not None:
        assert math.isfinite(value) and value == float(text)


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.integers(), st.booleans(), st.text()), max_size=4))
def test_whatever_yaml_writes_has_its_keys_back(values):
    text = yaml.safe_dump({"top": values}, allow_unicode=True)
    assert list(parse_yaml(text, "written").values["top"]) == list(yaml.safe_load(text)["top"])


def test_all_files_and_the_command_line_are_told_of_at_once(tmp_path):
    for name, text in {
        "one.yaml": "- a\n",
        "two.yaml": "split: {val: 1}\nsplit: {}\n",
        "three.yaml": "qcc: {}",
    }.items():
        (tmp_path / name).write_text(text)
    _, errors = read({name: tmp_path / name for name in ("one.yaml", "two.yaml", "three.yaml")}, {"shard": "few"})
    assert [error.split()[0].rstrip(":,") for error in errors] == ["one.yaml", "two.yaml", "--config", "three.yaml"]


def test_a_value_is_told_of_where_it_was_said_last(tmp_path):
    for name, value in {"one.yaml": "2", "two.yaml": "\n    3"}.items():
        (tmp_path / name).write_text(f"split:\n  val: {value}\n")
    _, errors = read({name: tmp_path / name for name in ("one.yaml", "two.yaml")})
    assert len(errors) == 1 and errors[0].startswith("two.yaml line 2, split, val is 3; give number")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InvalidInput, match=r"no\.yaml cannot be read"):
        read_yaml_file(tmp_path / "no.yaml")


def test_a_template_or_a_pipe_is_left_to_snakemake(tmp_path):
    (tmp_path / "plain.yaml").write_text("split: {}")
    (tmp_path / "template.yaml").write_text("__use_yte__: true")
    os.mkfifo(tmp_path / "pipe")
    assert can_be_read_again([tmp_path / "plain.yaml"])
    assert not any(can_be_read_again([tmp_path / name]) for name in ("template.yaml", "pipe"))


def test_errors_of_two_parts_are_one_error():
    with pytest.raises(InvalidInput, match="2 problems") as caught, together_with(["a"]):
        raise InvalidInput(["b"])
    assert caught.value.errors == ["a", "b"]
    with together_with([]):
        pass


# Keys that contradict each other


@pytest.mark.parametrize("case", CLASHES, ids=lambda case: case.said)
def test_keys_that_contradict_each_other_are_told(case):
    config, errors = read({}, case.settings)
    assert errors == []
    told = contradictions.contradictions(config, USUAL)
    assert [sentence for sentence in told if case.said in sentence] and len(told) <= 2


@pytest.mark.parametrize(("last", "case"), AFTER_VISITS)
def test_times_that_ask_for_too_much_after_the_last_visit_are_told(last, case):
    config, errors = read({}, case.settings)
    assert errors == [] and contradictions.contradictions(config, USUAL) == []
    (told,) = forecast_times.times_of_forecasts(config, last)
    assert case.said in told


@pytest.mark.parametrize("case", SIMULATIONS, ids=lambda case: case.said)
def test_settings_that_make_no_built_in_cohort_are_told(case):
    config, errors = read({}, {"cohort": "simulated", **case.settings})
    assert errors == [] and any(case.said in sentence for sentence in find_problems(config["simulate"]))


@pytest.mark.parametrize("name", ["config/config", "config/demo", "tests/tiny", "tests/real", "benchmarks/forecasting"])
def test_shipped_configurations_contradict_nothing(name):
    config, errors = read({name: ROOT / f"{name}.yaml"})
    assert errors == [] and contradictions.contradictions(config, USUAL) == []


def test_the_paper_s_configuration_lacks_nothing_but_its_weights(tmp_path):
    (tmp_path / "vgg.pth").touch()
    weights = {"train_vqgan": {"perceptual_weights": str(tmp_path / "vgg.pth")}}
    config, _ = read({"paper": ROOT / "config/paper.yaml"}, weights)
    assert contradictions.contradictions(config, USUAL) == []


def test_a_default_that_does_not_fit_a_small_run_is_no_contradiction():
    config, _ = read({}, {"resample": {"shape": [32, 64, 64]}, "train_vqgan": {"steps": 100, "gan_start": 50}})
    assert contradictions.contradictions(config, USUAL) == []


@pytest.mark.parametrize(
    ("said", "table", "words"),
    [
        ({"cohort": "simulated"}, "scans.tsv", "cohort is simulated, but"),
        ({"cohort": "simulated"}, "participants.tsv", "participants.tsv is there and would not be read"),
        ({"cohort": "simulated"}, "qc.tsv", "qc.tsv is there and would not be read"),
        ({"cohort": "simulated"}, "", ""),
        (
            {"cohort": "tables", "simulate": {"patients": 5}},
            "scans.tsv",
            "simulate.patients is set, but cohort is tables",
        ),
        ({"cohort": "tables", "simulate": {"patients": 24}}, "scans.tsv", ""),
        ({"cohort": "tables"}, "scans.tsv", ""),
    ],
)
def test_the_cohort_asked_for_is_that_of_the_tables_and_settings(tmp_path, said, table, words):
    if table:
        (tmp_path / table).touch()
    config, _ = read({}, said)
    told = contradictions.wrong_cohort(config, USUAL, tmp_path / "scans.tsv")
    assert bool(told) == bool(words) and all(words in sentence for sentence in told)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, []),
        ({"LUNG4D_PROCESSES": "3", "LUNG4D_NODES": "3"}, []),
        ({"LUNG4D_PROCESSES": "4"}, ["accumulation is 6, which the 4 processes"]),
        ({"LUNG4D_PROCESSES": "3", "LUNG4D_NODES": "2"}, ["cannot be spread evenly over the 2"]),
        ({"LUNG4D_PROCESSES": "four"}, ["LUNG4D_PROCESSES is 'four' in the environment"]),
        ({"LUNG4D_NODES": "0"}, ["LUNG4D_NODES is '0' in the environment"]),
    ],
)
def test_processes_share_out_a_step(environment, words):
    told = contradictions.uneven_processes(USUAL, environment)
    assert len(told) == len(words) and all(word in sentence for word, sentence in zip(words, told, strict=True))


@pytest.mark.parametrize(
    ("module", "theirs", "ours"),
    [
        ("register/registration", "PER_LEVEL", "PER_LEVEL"),
        ("convert/read", "WIDEST_SPACING", "WIDEST_SPACING"),
        ("metrics", "SSIM_WINDOW", "SSIM_WINDOW"),
        ("evaluate/scoring", "DISEASED", "DISEASED"),
        ("ode/dynamics", "STAGES", "FIXED_SOLVERS"),
        ("ode/dynamics", "FALLBACK", "FALLBACK"),
        ("ode/dynamics", "MAX_STEPS", "MAX_STEPS"),
        ("ode/dynamics", "MOST_EVALUATIONS", "MOST_EVALUATIONS"),
    ],
)
def test_what_is_said_twice_is_said_alike(module, theirs, ours):
    """Read and not imported: the stages need more than the door."""
    tree = ast.parse((ROOT / f"workflow/scripts/lung4d/{module}.py").read_text())
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    named = {node.targets[0].id: node.value for node in assigned if isinstance(node.targets[0], ast.Name)}
    of_times = vars(forecast_times)
    assert ast.literal_eval(named[theirs]) == (of_times[ours] if ours in of_times else getattr(contradictions, ours))


def test_the_largest_block_of_the_low_passed_loss_is_that_of_the_door():
    tree = ast.parse((ROOT / "workflow/scripts/lung4d/ode/losses.py").read_text())
    (blocks,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "SMOOTHED")
    assert max(ast.literal_eval(blocks)) == contradictions.BLOCK


# Paths where something formats them


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_path_reaches_snakemake_without_what_it_would_fill_in(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for place in (f"{name}/scan.nii.gz", f"plain/{name}.nii.gz", f"{name}/{name}"):
        path = Path(place)
        path.parent.mkdir(exist_ok=True)
        path.write_text("a scan")
        os.utime(path, (1e9, 1e9))
        plain = plain_path(place, Path("links"))
        assert plain_path(place, Path("links")) == plain and not set("{}") & set(plain)
        assert (plain == place) == (not set("{}") & set(place))
        assert Path(plain).read_text() == "a scan" and Path(plain).suffix == path.suffix
        assert max(os.lstat(plain).st_mtime, Path(plain).stat().st_mtime) == 1e9
        os.utime(path, (2e9, 2e9))
        assert Path(plain).stat().st_mtime == 2e9


def test_an_image_is_reached_without_white_space_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my tools").mkdir()
    Path("my tools/image.sif").touch()
    plain = plain_path(tmp_path / "my tools/image.sif", Path("links"), FORMATTED_OR_REFUSED)
    assert " " not in plain and not Path(plain).is_absolute() and Path(plain).samefile("my tools/image.sif")


@pytest.mark.parametrize("value", ["plain", ["plain"], 3, None, {"a": "{b}"}])
def test_a_parameter_without_braces_stays_what_it_was(value):
    assert as_it_is(value) is value


@pytest.mark.parametrize("value", ["{subject}", "a {b", ["x", "{y}"]])
def test_a_parameter_with_braces_is_given_by_a_function(value):
    assert as_it_is(value)(None) == value


def test_a_path_whose_braces_are_written_double_is_itself_again():
    assert written_double("/tools{2}/a").format() == "/tools{2}/a"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_python_runs_from_a_folder_of_any_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    quoted = quoted_once(str(folder / "python"))
    assert quoted_once(quoted) == quoted
    assert subprocess.run(["sh", "-c", f"{quoted} -S -c 'print(3)'"], capture_output=True, text=True).stdout == "3\n"


def write_scans(folder, names):
    """A folder whose scans are in folders of these names, with their table."""
    rows = []
    for number, name in enumerate(names, start=1):
        (folder / name).mkdir(parents=True)
        sitk.WriteImage(volume(), str(folder / name / "ct.nii.gz"))
        rows.append({"subject": f"{number:03d}", "session": "01", "years": 0, "path": f"{name}/ct.nii.gz"})
    table = pd.DataFrame(rows)
    (folder / "config").mkdir()
    table.to_csv(folder / "config/scans.tsv", sep="\t", index=False)
    return [f"results/convert/sub-{row['subject']}/sub-{row['subject']}_ses-01_status.json" for row in rows]


def test_it_runs_from_a_repository_in_a_folder_and_with_scans_of_any_name(tmp_path):
    repository, folder = tmp_path / "my tools{2}" / "lung4d", tmp_path / "work 100% $HOME 東京"
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, repository / name, ignore=shutil.ignore_patterns("__pycache__", "*.sif"))
    shutil.copy(ROOT / "Snakefile", repository)
    targets = write_scans(folder, [name.strip() for name in ODD_NAMES])
    (folder / "weights {v1}").mkdir(exist_ok=True)
    (folder / "weights {v1}/unet.pth").touch()
    settings = {"segment": {"method": "lungmask", "weights": "weights {v1}/unet.pth"}, "report": {"title": "CT {a}"}}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings))
    snakemake("--cores", "1", "--dry-run", folder=folder, repository=repository)
    snakemake("--cores", "1", *targets, folder=folder, repository=repository)
    assert all(read_json(folder / target)["ok"] for target in targets)
    again = snakemake("--cores", "1", "--dry-run", *targets, folder=folder, repository=repository)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_working_folder_with_a_brace_is_refused_in_a_sentence(tmp_path):
    """Snakemake's own lock would fail in it, or be that of another folder."""
    folder = tmp_path / "work {1}"
    write_scans(folder, ["a"])
    done = snakemake("--cores", "1", folder=folder, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said and "with a brace in its path, in which Snakemake" in said


# At the door


def test_the_door_tells_of_files_keys_and_tables_at_once_and_starts_nothing(tmp_path):
    write_scans(tmp_path, ["a"])
    with (tmp_path / "config/scans.tsv").open("a") as table:
        table.write("002\t01\t0\tmissing.nii\n")
    (tmp_path / "config/config.yaml").write_text("resample: {shape: [50, 66, 64]}\n")
    (tmp_path / "more.yaml").write_text("split: {val: 0.5, test: 0.6}\ntrain_vqgan:\n")
    done = snakemake(
        "--cores", "1", "--configfile", str(tmp_path / "more.yaml"), "--config", "train_ode={lr: 1e-4}",
        folder=tmp_path, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said and "3 problems in the input; nothing was started" in said
    for words in ("resample.shape is [50, 66, 64]", "split.val is 0.5 and split.test 0.6", "path names no file"):
        assert words in said
    assert not (tmp_path / "results").exists()


def test_a_checksum_and_a_package_that_a_training_would_miss_stop_the_run_first(tmp_path):
    write_scans(tmp_path, ["a"])
    (tmp_path / "vgg.pth").write_bytes(b"weights")
    own = {"perceptual": "vgg", "perceptual_weights": "vgg.pth", "perceptual_sha256": "0" * 64, "tensorboard": True}
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump({"train_vqgan": own}))
    done = snakemake("--cores", "1", "-n", folder=tmp_path, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "vgg.pth has another SHA-256 than perceptual_sha256" in said
    assert ("train_vqgan.tensorboard is true, but the package is missing" in said) == (not find_spec("tensorboard"))


def test_scans_that_do_not_fit_a_row_of_table_3_stop_it_before_the_others_are_trained(tmp_path):
    write_scans(tmp_path, ["a"])
    (tmp_path / "config/config.yaml").write_text("resample: {shape: [44, 64, 64]}\n")
    done = snakemake("--cores", "1", "-n", "table3", folder=tmp_path, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "table3, row compression-8: resample.shape is [44, 64, 64]" in said
    assert snakemake("--cores", "1", "-n", folder=tmp_path).returncode == 0


def test_the_demo_in_a_folder_with_scans_simulates_nothing(tmp_path):
    write_scans(tmp_path, ["a"])
    done = snakemake("--cores", "1", "--configfile", "config/demo.yaml", folder=tmp_path, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "cohort is simulated, but config/scans.tsv is there" in said
    assert not (tmp_path / "results").exists()


def test_a_key_given_twice_in_a_configfile_stops_the_run(tmp_path):
    (tmp_path / "twice.yaml").write_text("cohort: simulated\nsplit: {val: 0.1}\nsplit: {test: 0.1}\n")
    done = snakemake("--cores", "1", "-n", "--configfile", str(tmp_path / "twice.yaml"), folder=tmp_path, check=False)
    assert done.returncode == 1 and "twice.yaml lines 2 and 3 both give split" in done.stdout + done.stderr


# The end after a signal

DEAF = """
import hashlib
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started deaf to it
snakemake = None
from lung4d.pipeline import job
from lung4d.training.stopping import Stopper
job.PATIENCE, job.SOONER = 1.0, 0.5
job.start(sys.argv[1])
print("started", flush=True)
def work():
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2_000_000_000)  # a library's call of many minutes
if sys.argv[2] == "training":
    with Stopper():
        work()
work()
"""


@pytest.mark.parametrize(
    ("kind", "number", "status"),
    [
        ("training", signal.SIGTERM, 75),
        ("training", signal.SIGINT, 75),
        ("stage", signal.SIGINT, 130),
        ("stage", signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_a_job_ends_after_a_signal_though_a_call_does_not_come_back(tmp_path, kind, number, status):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    words = [sys.executable, "-c", textwrap.dedent(DEAF), str(tmp_path / "log"), kind]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout.readline() == "started\n"
        time.sleep(0.3)
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(30) == status
    finally:
        process.kill()
        process.stdout.close()
    assert ("stopped by a signal after 1 s" in (tmp_path / "log").read_text()) == (status > 0)


def test_every_stage_hears_a_signal():
    """By the call with which its log begins, before anything that takes time."""
    for path in sorted((ROOT / "workflow/scripts").glob("*.py")):
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert "job.start" in calls or path.stem == "preflight"
    assert job.PATIENCE < 30


def test_the_processes_of_a_job_are_found_with_theirs():
    words = "import subprocess, time; subprocess.Popen(['sleep', '60']); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    found = job.descendants(process.pid)
    assert len(found) == 1 and {process.pid, *found} <= set(job.descendants(os.getpid()))
    for pid in (process.pid, *found):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
