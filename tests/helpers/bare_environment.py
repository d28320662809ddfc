"""A bare virtual environment: Python, the packages that a list of pins names, and nothing else.

The packages' files are those that pip installed beside the tests, linked into place: sixteen environments, half of
them with torch, cost seconds each, where installing would take minutes and gigabytes. A package that the list lacks
is absent, a package in another version than the list's is an error.
"""

import os
import shutil
import subprocess
import venv
from importlib import metadata
from pathlib import Path

from packaging.version import Version

from helpers.pins import OF_THE_BUILD, pins


def make_bare(folder: Path, pinned: dict[str, str]) -> Path:
    """Make the environment in `folder`; its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in pinned:
        link_files(metadata.distribution(name), site)
    if "torch" in pinned:
        for installed in metadata.distributions():
            if installed.name.startswith(OF_THE_BUILD):
                link_files(installed, site)
    return folder / "bin" / "python"


def link_files(installed: metadata.Distribution, site: Path) -> None:
    """Link the files of an installed package into `site`; commands and what else lies outside it are left out."""
    made = set()
    for file in installed.files:
        source, place = Path(file.locate()), site / file
        if ".." in file.parts or not source.exists():
            continue
        if place.parent not in made:
            place.parent.mkdir(parents=True, exist_ok=True)
            made.add(place.parent)
        try:
            os.link(source, place)
        except OSError:  # another file system
            shutil.copy2(source, place)


def run_bare(python: Path, *arguments: str, folder: Path, check: bool = True) -> subprocess.CompletedProcess:
    """Run `python` in `folder` with its own packages alone, the user's and those of PYTHONPATH left out."""
    # -B: the packages' files are shared, no compiled Python is written beside them nor beside the scripts.
    environment = {**os.environ, "MPLCONFIGDIR": str(folder / ".matplotlib")}
    command = [str(python), "-I", "-B", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


LIST = "from importlib import metadata\nfor one in metadata.distributions(): print(f'{one.name}=={one.version}')"


def packages_in(python: Path, folder: Path) -> dict[str, str]:
    """Versions of the packages that `python` has, without the part that names a build (`+cpu`)."""
    held = pins(run_bare(python, "-c", LIST, folder=folder).stdout)
    return {name: Version(version).public for name, version in held.items()}
