"""The container image: its definition names no version of its own, and `--sdm apptainer` runs jobs in it."""

import os
import re

import pytest
import yaml

from helpers.pins import ENVIRONMENTS, STAGES, dependencies, pins
from helpers.running import ROOT, snakemake

DEFINITION = ENVIRONMENTS / "lung4d.def"
IMAGE = ENVIRONMENTS / "lung4d.sif"


def sections():
    """The definition's parts by name, the lines before the first of them as "header"."""
    name, found = "header", {}
    for line in DEFINITION.read_text().splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
        elif not line.startswith("#"):
            found.setdefault(name, []).append(line.strip())
    return {name: [line for line in lines if line] for name, lines in found.items()}


def test_the_image_has_the_python_of_the_environments():
    header = dict(line.split(": ") for line in sections()["header"])
    version = re.fullmatch(r"python:(\d+\.\d+)-slim-bookworm", header["From"]).group(1)
    assert header["Bootstrap"] == "docker"
    assert {dependencies(stage)[0] for stage in STAGES} == {f"python={version}"}


def test_the_image_takes_its_packages_from_the_requirements():
    parts = sections()
    copied = dict(line.split() for line in parts["files"])
    assert list(copied) == ["requirements-torch.txt", "requirements.txt"]
    assert all((ROOT / source).is_file() for source in copied)
    installed = [line.split("--requirement ")[1] for line in parts["post"]]
    assert installed == list(copied.values())  # torch first
    assert not pins(DEFINITION.read_text()) and not re.search(r"==\s*\d", DEFINITION.read_text())
    assert {"help", "labels", "environment", "test"} < set(parts)


def test_the_help_says_how_to_make_the_image_that_the_rules_name():
    image, definition = (path.relative_to(ROOT).as_posix() for path in (IMAGE, DEFINITION))
    assert f"apptainer build {image} {definition}" in "\n".join(sections()["help"])
    assert f"apptainer build {image} {definition}" in (ROOT / "README.md").read_text()


STAND_IN = """#!/bin/bash
[ "$1" = --version ] && echo "apptainer version 1.4.0" && exit
printf '%s\\n' "$@" > {given}
exec bash -c "${{@: -1}}"
"""


@pytest.mark.slow
def test_apptainer_is_told_the_image_the_scripts_and_the_card(tmp_path, monkeypatch):
    stand_in, given = tmp_path / "bin/apptainer", tmp_path / "given"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN.format(given=given))
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(stand_in.parent), str(ROOT / ".venv/bin"), os.environ["PATH"]]))
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    arguments = ("--cores", "1", "--configfile", str(ROOT / "tests/tiny.yaml"), "--sdm", "apptainer")
    passed = f"--apptainer-args={profile['apptainer-args']}"
    snakemake(*arguments, passed, "--", "results/simulate/scans.tsv", folder=tmp_path / "run")
    words = given.read_text().splitlines()
    assert (words[0], words[words.index("--home") + 1]) == ("exec", str(tmp_path / "run"))
    assert "--nv" in words and str(IMAGE) in words
    assert any(word.startswith(f"{ROOT / 'workflow/scripts'}:/mnt/") for word in words)
    assert (tmp_path / "run/results/simulate/scans.tsv").stat().st_size > 0
