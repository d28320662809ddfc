"""The versions: what pyproject.toml asks for, what requirements.txt pins, what each environment gives."""

import re
import tomllib
from importlib import metadata

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.running import ROOT

ENVIRONMENTS = ROOT / "workflow/envs"
STAGES = sorted(path.stem for path in ENVIRONMENTS.glob("*.yaml"))
# torch's build for NVIDIA cards brings libraries that its CPU build lacks, in the versions that it names itself.
OF_THE_BUILD = ("nvidia-", "cuda-", "triton")


def pins(lines: str) -> dict[str, str]:
    """Versions by package, from lines such as `numpy==2.4.6`; names as Python's packaging compares them."""
    found = re.findall(r"^\s*([A-Za-z0-9._-]+)==(\S+)(?: \\)?\s*$", lines, re.M)
    return {canonicalize_name(name): version for name, version in found}


def asked() -> list[Requirement]:
    """What pyproject.toml names, with all its extras; two of them may name the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return [one for one in map(Requirement, texts) if one.name != project["name"]]


def asked_names() -> set[str]:
    return {canonicalize_name(one.name) for one in asked()}


def locked() -> dict[str, str]:
    return pins("\n".join((ROOT / name).read_text() for name in ("requirements-torch.txt", "requirements.txt")))


def dependencies(stage: str) -> list:
    return yaml.safe_load((ENVIRONMENTS / f"{stage}.yaml").read_text())["dependencies"]


def pip_part(stage: str) -> list[str]:
    return next(entry["pip"] for entry in dependencies(stage) if isinstance(entry, dict))


def given(stage: str) -> dict[str, str]:
    return pins("\n".join(pip_part(stage)))


def requirements_of(name: str) -> list[str]:
    """Packages that the installed package needs on this machine, without extras."""
    needed = [Requirement(text) for text in metadata.distribution(name).requires or []]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [canonicalize_name(one.name) for one in needed]


def brought_by(names) -> set[str]:
    """The packages with all that they need, directly or not, in an environment that has all that is locked."""
    metadata.distribution("torch")  # without it this is another environment, and another Python's answer
    seen, queue = set(), list(names)
    while queue:
        name = queue.pop()
        if name not in seen and not name.startswith(OF_THE_BUILD):
            seen.add(name)
            queue.extend(requirements_of(name))
    return seen
