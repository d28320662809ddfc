"""The environments of the stages: one source of versions, and nothing missing in any of them."""

import re

import pytest
import yaml
from packaging.utils import canonicalize_name

from helpers.code_imports import CALL_SNAKEMAKE, SCRIPT_NAMES, modules_of, modules_of_rules, outside
from helpers.pins import (
    ENVIRONMENTS,
    STAGES,
    asked,
    asked_names,
    brought_by,
    dependencies,
    given,
    locked,
    pins,
    pip_part,
)
from helpers.running import ROOT

# Import names whose package is called otherwise.
PACKAGES = {
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "llvmlite": "numba",
}


def scripts_of(stage: str) -> list[str]:
    """The scripts that run in an environment: the stage's own, as a rule."""
    several = {
        "convert": ["convert", "tables"],
        "simulate": ["simulate", "simulate_tables"],
    }
    return {**several, "snakemake": sorted(CALL_SNAKEMAKE)}.get(stage, [stage])


def packages_of(stage: str) -> set[str]:
    """Packages that the stage's code imports; for scripts that call Snakemake, those of the rules as well."""
    modules = {module for script in scripts_of(stage) for module in modules_of(script)}
    modules |= {"snakemake", *modules_of_rules()} if stage == "snakemake" else set()
    return packages(modules)


def packages(modules: set[str]) -> set[str]:
    names = {module.split(".")[0] for module in modules}
    return {canonicalize_name(PACKAGES.get(name, name)) for name in names}


def test_every_rule_has_an_environment_and_every_environment_a_script():
    assert sorted(script for stage in STAGES for script in scripts_of(stage)) == sorted(
        [*SCRIPT_NAMES, *CALL_SNAKEMAKE]
    )
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    used = re.findall(r'conda:\n\s+"\.\./envs/(\w+)\.yaml"', rules)
    assert set(used) == set(STAGES) and len(used) == rules.count("script:\n")
    outside = re.findall(r'envs/snakemake\.yaml"\n\s+container:\n\s+None\n', rules)  # of the image
    assert len(outside) == used.count("snakemake")


def test_requirements_hold_what_is_asked_for_and_all_that_it_brings():
    held = locked()
    assert [str(one) for one in asked() if held[canonicalize_name(one.name)] not in one.specifier] == []
    assert brought_by(asked_names()) == set(held)


def test_every_pin_but_torch_has_hashes():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    named = [number for number, line in enumerate(lines) if "==" in line]
    assert len(named) == len(locked()) - 1
    assert [lines[number] for number in named if not lines[number + 1].startswith("    --hash=sha256:")] == []
    assert list(pins((ROOT / "requirements-torch.txt").read_text())) == ["torch"]


def test_the_package_asks_for_what_its_modules_import():
    library = sorted((ROOT / "workflow/scripts/lung4d").rglob("*.py"))
    assert packages(outside(set(library))) - asked_names() == set()


@pytest.mark.parametrize("stage", STAGES)
def test_versions_come_from_one_place(stage):
    held, pinned = locked(), given(stage)
    assert pinned == {name: held.get(name) for name in pinned}
    assert len(pinned) == len(pip_part(stage))  # every line has an exact version, none stands twice


@pytest.mark.parametrize("stage", STAGES)
def test_an_environment_has_what_the_stage_imports(stage):
    assert packages_of(stage) - (set(given(stage)) & asked_names()) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_an_environment_has_what_its_packages_need_and_no_more(stage):
    pinned = set(given(stage))
    assert brought_by(pinned & asked_names()) == pinned


@pytest.mark.parametrize("stage", STAGES)
def test_conda_gives_python_alone(stage):
    assert [entry for entry in dependencies(stage) if isinstance(entry, str)] == ["python=3.11", "pip"]
    assert yaml.safe_load((ENVIRONMENTS / f"{stage}.yaml").read_text())["channels"] == ["conda-forge"]


@pytest.mark.parametrize("stage", ["biomarkers", "convert", "qc", "register", "resample", "simulate", "split"])
def test_the_environments_of_small_jobs_have_no_torch(stage):
    assert "torch" not in given(stage)
