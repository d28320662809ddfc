"""Other Pythons than the tests' own: how they are found, and what is left out of the tests where there is no torch."""

import subprocess
import sys

import pytest

from helpers.running import ROOT
from tools.pythons import find, usable


def put_python(folder, version, *, says=None, fails=False):
    """A stand-in for an interpreter: it prints a version as if asked for its own, or fails as a shim does."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"python{version}"
    file.write_text("#!/bin/sh\n" + ("exit 127\n" if fails else f"echo {says or version}\n"))
    file.chmod(0o755)
    return file


def test_a_python_is_found_on_the_path_before_a_version_managers_own(tmp_path):
    on_path = put_python(tmp_path / "bin", "3.11")
    put_python(tmp_path / "versions/3.11.7/bin", "3.11")
    managed = put_python(tmp_path / "versions/3.13.0/bin", "3.13")
    found = find(f"{tmp_path / 'nothing'}:{tmp_path / 'bin'}", (tmp_path / "versions", tmp_path / "no manager"))
    assert found == {"3.11": on_path, "3.13": managed}


def test_a_shim_that_does_not_start_is_none(tmp_path):
    put_python(tmp_path / "shims", "3.12", fails=True)
    managed = put_python(tmp_path / "versions/3.12.1/bin", "3.12")
    assert find(str(tmp_path / "shims"), (tmp_path / "versions",)) == {"3.12": managed}
    assert find(str(tmp_path / "shims"), ()) == {"3.12": None}


def test_a_file_that_is_another_python_or_no_program_is_none(tmp_path):
    put_python(tmp_path / "bin", "3.12", says="3.11")
    put_python(tmp_path / "bin", "3.13").chmod(0o644)
    assert find(str(tmp_path / "bin"), ()) == {"3.12": None, "3.13": None}


def test_a_python_that_is_not_installed_is_told_and_no_error(tmp_path, capsys):
    python = tmp_path / "python3.11"
    assert usable({"3.11": python}) == {"3.11": python}
    assert capsys.readouterr().out.splitlines() == [
        f"Python 3.11: {python}",
        "Python 3.12: not installed",
        "Python 3.13: not installed",
    ]


def test_one_python_alone_although_another_is_installed_is_an_error(tmp_path):
    python = tmp_path / "python3.11"
    with pytest.raises(SystemExit, match="only 1 of 2 installed Pythons starts"):
        usable({"3.11": python, "3.12": None})
    assert set(usable({"3.11": python, "3.12": None, "3.13": python})) == {"3.11", "3.13"}
    with pytest.raises(SystemExit, match="only 0 of 0"):
        usable({})


TESTS = {
    "test_whole.py": "import torch\ndef test_one(): pass\n",
    "test_part.py": "def test_one(): import torch\ndef test_two(): pass\ndef test_three(): import missing\n",
    "test_other.py": "import missing\ndef test_one(): pass\n",
}
NO_TORCH = """
import sys
class NoTorch:
    def find_spec(name, *rest):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch)
from without_torch import *
"""


def test_without_torch_only_what_asks_for_torch_is_skipped(tmp_path):
    for name, text in {**TESTS, "no_torch.py": NO_TORCH, "pytest.ini": "[pytest]"}.items():
        (tmp_path / name).write_text(text)
    options = ["-p", "no_torch", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=tmp_path, env=path, text=True, capture_output=True
    )
    assert "1 failed, 1 passed, 2 skipped, 1 error in" in done.stdout, done.stdout
