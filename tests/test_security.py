"""Nothing that a file or a table of the user says is run: weights, names, paths; and what is downloaded is checked."""

import ast
import hashlib
import pickle
import re
import sys
import types
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK as sitk
import torch
import yaml

from helpers.ct_files import volume
from helpers.running import ROOT, snakemake
from lung4d.io.atomic import DamagedFile
from lung4d.ode.ensemble import load_calibration, load_ode
from lung4d.pipeline.door.cohort import read_cohort
from lung4d.pipeline.door.configuration import InvalidInput, load_yaml
from lung4d.segment import network
from lung4d.training.checkpoints import Checkpoints
from lung4d.vqgan.model import load_vqgan
from lung4d.vqgan.perceptual import load_perceptual

SOURCES = [path for folder in ("workflow", "docs", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
RULES = [ROOT / "Snakefile", ROOT / "workflow/Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]
SCHEMAS = {name: load_yaml(ROOT / f"workflow/schemas/{name}.schema.yaml") for name in ("scans", "participants", "qc")}


# Sources


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def unsafe(name, words):
    """Whether a call can run what a file says."""
    last = name.rsplit(".", 1)[-1]
    if name in ("torch.load", "load_state_dict_from_url", "hub.load_state_dict_from_url"):
        return words.get("weights_only") != "True"
    if name in ("np.load", "numpy.load"):
        return "allow_pickle" in words
    unsafe_yaml = ("load", "load_all", "unsafe_load", "full_load")
    return (
        (
            last in ("read_pickle", "eval", "exec", "system", "popen", "getoutput")
            and name not in ("model.eval",)
            and not (last == "eval" and "." in name)
        )  # torch's model.eval()
        or name.startswith(("pickle.", "joblib.", "dill.", "shelve."))
        or name in [f"yaml.{word}" for word in unsafe_yaml]
        or words.get("shell") == "True"
    )


def test_no_source_loads_or_runs_what_a_file_says():
    found = [(path.name, name) for path in SOURCES for name, words in calls(path) if unsafe(name, words)]
    assert len(SOURCES) > 100 and found == []


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)", "eval(text)",
        "pickle.loads(text)", "yaml.load(text)", "subprocess.run(text, shell=True)", "os.system(text)",
        "pd.read_pickle(path)",
    ],
)  # fmt: skip
def test_the_search_finds_what_is_unsafe(tmp_path, code):
    (tmp_path / "a.py").write_text(code)
    assert all(unsafe(*call) for call in calls(tmp_path / "a.py"))


def test_no_rule_has_a_shell_command():
    """Every rule runs a script, to which Snakemake hands paths as values: no text of a table is part of a command."""
    directives = [(path.name, word) for path in RULES for word in re.findall(r"^\s*(\w+):\s*$", path.read_text(), re.M)]
    assert len([word for _, word in directives if word == "script"]) > 15
    assert [found for found in directives if found[1] in ("shell", "run", "wrapper", "notebook", "cwl")] == []
    assert not [path.name for path in RULES if re.search(r"\bshell\(", path.read_text())]


# Weights and checkpoints


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.fixture(params=["zip", "pickle"])
def malicious(request, tmp_path):
    """A file that makes another one when it is unpickled, and that other one."""
    path, target = tmp_path / "weights.pth", tmp_path / "was-run"
    content = {"step": 1, "state_dict": {}, "settings": {}, "calibration": {}, "payload": Malicious(target)}
    if request.param == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    return path, target


@pytest.mark.parametrize("read", [load_vqgan, load_ode, load_calibration])
def test_a_malicious_model_is_refused_and_not_run(malicious, read):
    path, target = malicious
    with pytest.raises(DamagedFile, match=r"weights.pth cannot be used"):
        read(path)
    assert not target.exists()


def test_malicious_weights_of_other_networks_are_refused_and_not_run(malicious, monkeypatch):
    path, target = malicious
    with pytest.raises(Exception, match=r"(?i)weights"):
        load_perceptual("vgg", str(path))
    lungmask = types.ModuleType("lungmask")
    lungmask.LMInferer = lambda **_: pytest.fail("the network was given the file")
    monkeypatch.setitem(sys.modules, "lungmask", lungmask)
    with pytest.raises(ValueError, match=r"segment.weights: .*weights.pth is no plain state dict, and was not loaded"):
        network.segment_by_network(sitk.Image(4, 4, 4, sitk.sitkInt16), path, None)
    assert not target.exists()


def test_a_malicious_checkpoint_is_passed_over_and_not_run(malicious, tmp_path, caplog):
    path, target = malicious
    checkpoints = Checkpoints(tmp_path / "checkpoints", "d")
    checkpoints.save({"step": 1}, 1)
    path.rename(tmp_path / "checkpoints/step-00000002_digest-d.pt")
    assert checkpoints.load_latest() == {"step": 1}
    assert "step-00000002_digest-d.pt cannot be read" in caplog.text and not target.exists()


@pytest.fixture
def own_weights(tmp_path, monkeypatch):
    """lungmask, with an address on this disk and torch's cache in `tmp_path`; returns a function that serves content
    under a checksum."""

    def serve(content, begins):
        source = tmp_path / f"served/unet_r231-{begins}.pth"
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(content)
        names = types.ModuleType("lungmask.mask")
        names.MODEL_URLS = {"R231": (source.as_uri(), 3)}
        monkeypatch.setitem(sys.modules, "lungmask", types.ModuleType("lungmask"))
        monkeypatch.setitem(sys.modules, "lungmask.mask", names)
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
        return tmp_path / "hub/checkpoints" / source.name

    return serve


def test_lungmasks_own_weights_are_checked_when_they_come_and_in_every_run(own_weights):
    content = b"weights"
    begins = hashlib.sha256(content).hexdigest()[:8]
    path = own_weights(content, begins)
    assert network.own_weights() == path and path.read_bytes() == content
    path.write_bytes(b"others")
    with pytest.raises(ValueError, match=rf"lungmask's own weights in {path} .* begin with {begins}: delete the file"):
        network.own_weights()


def test_a_download_with_another_checksum_is_refused_and_not_kept(own_weights):
    path = own_weights(b"others", "d5d2fc3d")
    with pytest.raises(RuntimeError, match=r"hash value.*d5d2fc3d"):
        network.own_weights()
    assert list(path.parent.iterdir()) == []


def test_the_checksum_of_the_config_holds_for_lungmasks_own_weights_too(own_weights):
    content = b"weights"
    own_weights(content, hashlib.sha256(content).hexdigest()[:8])
    sys.modules["lungmask"].LMInferer = lambda **_: pytest.fail("the network was given the file")
    with pytest.raises(ValueError, match="SHA-256"):
        network.segment_by_network(sitk.Image(4, 4, 4, sitk.sitkInt16), None, "0" * 64)


def test_lungmask_names_the_checksum_of_what_it_downloads():
    pytest.importorskip("lungmask")
    from lungmask.mask import MODEL_URLS

    assert re.search(r"-[0-9a-f]{8}\.pth$", MODEL_URLS["R231"][0])


# Names and paths in the tables

EVIL = [
    "; rm -rf ~",
    "../../x",
    "/etc/passwd",
    "a b",
    "ä",
    "١",
    "a\nb",
    'a"b',
    "a'b",
    "$(touch x)",
    "`id`",
    "{x}",
    "-x",
    ".",
]


@pytest.mark.parametrize("column", ["subject", "session"])
@pytest.mark.parametrize("name", EVIL)
def test_names_that_could_be_more_than_names_are_refused_at_the_door(tmp_path, column, name):
    row = {"subject": "01", "session": "02", "years": "0", "path": "a.nii", column: name}
    (tmp_path / "a.nii").touch()
    pd.DataFrame([row]).to_csv(tmp_path / "scans.tsv", sep="\t", index=False)
    with pytest.raises(InvalidInput) as caught:
        read_cohort(tmp_path, SCHEMAS, tmp_path)
    (told,) = caught.value.errors
    remedy = {"subject": "the patient, letters and digits", "session": "the visit, letters and digits"}
    assert told.startswith("scans.tsv row 2") and f"{column} is {name!r}; {remedy[column]}" in told


def test_names_in_the_other_tables_are_refused_too(tmp_path):
    (tmp_path / "a.nii").touch()
    (tmp_path / "scans.tsv").write_text("subject\tsession\tyears\tpath\n01\t01\t0\ta.nii\n")
    (tmp_path / "participants.tsv").write_text("subject\tage\n../01\t60\n")
    (tmp_path / "qc.tsv").write_text("subject\tsession\treason\n$(id)\t01\tx\n")
    with pytest.raises(InvalidInput) as caught:
        read_cohort(tmp_path, SCHEMAS, tmp_path)
    told = "\n".join(caught.value.errors)
    assert "participants.tsv row 2: subject is '../01'" in told and "qc.tsv row 2: subject is '$(id)'" in told


NASTY = [
    "$(touch was-run)", "; touch was-run; ", "`touch was-run`", "a \"b\" 'c'", "-x *?[a]", "& echo | cat > x <y",
    "ä\\n", "%s ~ #", "{subject} {0}", "{{a}",
]  # fmt: skip


@pytest.mark.parametrize("column", ["path", "mask"])
@pytest.mark.parametrize("name", ["a\nb.nii", "a\x1bb.nii"])
def test_paths_that_snakemake_would_not_take_as_they_are_are_refused(tmp_path, column, name):
    row = {"subject": "01", "session": "02", "years": "0", "path": "a.nii", "mask": "", column: name}
    for file in ("a.nii", name):
        (tmp_path / file).touch()
    pd.DataFrame([row]).to_csv(tmp_path / "scans.tsv", sep="\t", index=False)
    with pytest.raises(InvalidInput, match=rf"row 2, patient 01: {column} (holds a control character|is 'a\\nb)"):
        read_cohort(tmp_path, SCHEMAS, tmp_path)


@pytest.mark.slow
def test_paths_are_never_run(tmp_path):
    """Scans in folders with names of every kind are read, through Snakemake, and nothing is run that they say."""
    rows = []
    for number, name in enumerate(NASTY):
        path = tmp_path / "in" / name / "ct.nii.gz"
        path.parent.mkdir(parents=True)
        sitk.WriteImage(volume(), str(path))
        rows.append({"subject": f"{number:02d}", "session": "01", "years": 0, "path": str(path.relative_to(tmp_path))})
    (tmp_path / "config").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "config/scans.tsv", sep="\t", index=False)
    targets = [f"results/convert/sub-{row['subject']}/sub-{row['subject']}_ses-01_status.json" for row in rows]
    snakemake("--cores", "2", *targets, folder=tmp_path)
    for target in targets:
        assert yaml.safe_load((tmp_path / target).read_text())["ok"], target
    assert list(tmp_path.rglob("was-run")) == [] and not (ROOT / "was-run").exists()
