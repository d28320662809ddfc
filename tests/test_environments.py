"""The environments of the stages: one source of versions, and nothing missing in any of them."""

import re

import pytest
import yaml
from packaging.utils import canonicalize_name

from code_imports import CALL_SNAKEMAKE, SCRIPT_NAMES, modules_of, modules_of_rules
from pins import ENVIRONMENTS, STAGES, asked, brought_by, dependencies, given, locked, pip_part
from running import ROOT

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
    return {"simulate": ["simulate", "simulate_tables"], "snakemake": sorted(CALL_SNAKEMAKE)}.get(stage, [stage])


def packages_of(stage: str) -> set[str]:
    """Packages that the stage's code imports; for scripts that call Snakemake, those of the rules as well."""
    modules = {module for script in scripts_of(stage) for module in modules_of(script)}
    modules |= {"snakemake", *modules_of_rules()} if stage == "snakemake" else set()
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
    assert {name: held.get(name) for name in asked()} == asked()
    assert brought_by(asked()) - set(held) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_versions_come_from_one_place(stage):
    held, pinned = locked(), given(stage)
    assert pinned == {name: held.get(name) for name in pinned}
    assert len(pinned) == len(pip_part(stage))  # every line has an exact version, none stands twice


@pytest.mark.parametrize("stage", STAGES)
def test_an_environment_has_what_the_stage_imports(stage):
    assert packages_of(stage) - (set(given(stage)) & set(asked())) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_an_environment_has_what_its_packages_need_and_no_more(stage):
    pinned = set(given(stage))
    assert brought_by(pinned & set(asked())) == pinned


@pytest.mark.parametrize("stage", STAGES)
def test_conda_gives_python_alone(stage):
    assert [entry for entry in dependencies(stage) if isinstance(entry, str)] == ["python=3.11", "pip"]
    assert yaml.safe_load((ENVIRONMENTS / f"{stage}.yaml").read_text())["channels"] == ["conda-forge"]


@pytest.mark.parametrize("stage", ["biomarkers", "convert", "qc", "register", "resample", "simulate", "split"])
def test_the_environments_of_small_jobs_have_no_torch(stage):
    assert "torch" not in given(stage)
