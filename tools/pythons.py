"""The package on each Python that it is for: installed in an empty environment, imported, and its code digests
compared; on the newest the tests that need no torch. `make pythons` runs this; a Python that is not installed is told.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "workflow/scripts"
WANTED = ("3.11", "3.12", "3.13")
IMPORTED = ("lung4d.convert.read", "lung4d.register.registration")  # with the package's own requirements alone
# Minutes of registration, segmentation, simulation and Snakemake itself, which `make test` tries on the usual Python.
LEFT_OUT = ("test_pair_check.py", "test_given_masks.py", "test_terminal.py", "test_lungs.py", "test_real_chest.py")
TEST_SECONDS = 1200  # which only a hang reaches; three minutes on two idle cores are the aim, and pytest says the time

# In a version manager's folder each Python has one of its own.
MANAGERS = (
    Path(os.environ.get("PYENV_ROOT", "~/.pyenv"), "versions"),
    Path("~/.asdf/installs/python"),
    Path("~/.local/share/mise/installs/python"),
    Path("~/.local/share/uv/python"),
)
# One without ensurepip makes no environment.
ASK = "import sys, ensurepip; print(*sys.version_info[:2], sep='.')"
DIGESTS = """
import json, sys
from pathlib import Path
from lung4d.pipeline.digest import code_digest
scripts = Path(sys.argv[1])
print(json.dumps({one.stem: code_digest(one, scripts / "lung4d") for one in sorted(scripts.glob("*.py"))}))
"""


def candidates(version: str, path: str, managers: tuple[Path, ...] = MANAGERS) -> list[Path]:
    """Files that are this Python by their name: on the path, then among the version managers' own."""
    folders = [Path(folder) for folder in path.split(os.pathsep) if folder]
    folders += [folder for manager in managers for folder in sorted(manager.expanduser().glob("*/bin"))]
    return [folder / f"python{version}" for folder in folders if (folder / f"python{version}").is_file()]


def starts(python: Path, version: str) -> bool:
    """Whether the file runs and is the Python that its name says: a version manager's shim may be neither."""
    try:
        done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def find(path: str, managers: tuple[Path, ...] = MANAGERS) -> dict[str, Path | None]:
    """The Python of each version of which there is a file; None where no file of it starts."""
    files = {version: candidates(version, path, managers) for version in WANTED}
    return {
        version: next((file for file in files[version] if starts(file, version)), None)
        for version in WANTED
        if files[version]
    }


def usable(found: dict[str, Path | None]) -> dict[str, Path]:
    """Those that start, told one a line.

    Raises SystemExit if none does, or one alone although another version is installed: it was looked for badly then.
    """
    for version in WANTED:
        print(f"Python {version}:", found.get(version) or ("does not start" if version in found else "not installed"))
    pythons = {version: python for version, python in found.items() if python}
    if not pythons or (len(pythons) == 1 and len(found) > 1):
        sys.exit(f"only {len(pythons)} of {len(found)} installed Pythons starts")
    return pythons


def run(folder: Path, *command: str | Path, timeout: float | None = None) -> str:
    """What the command prints; SystemExit with all of it where the command fails or takes longer.

    Python compiles into `folder` what it imports, beside no source file.
    """
    words = [str(word) for word in command]
    own = {"PYTHONPATH": str(ROOT / "tests"), "PYTHONNOUSERSITE": "1", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        done = subprocess.run(words, cwd=ROOT, env={**os.environ, **own}, timeout=timeout, **streams)
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(words)}\ntook longer than {timeout:.0f} s")
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}")
    return done.stdout


def copy_source(folder: Path) -> Path:
    """The files that make the package, in a folder in which setuptools may leave its own."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(SCRIPTS, folder / SCRIPTS.relative_to(ROOT), ignore=left_out)
    return folder


def constraints(folder: Path) -> Path:
    """The pins of requirements.txt without their hashes, which pip would ask of the package too."""
    file = folder / "constraints.txt"
    file.write_text("\n".join(re.findall(r"^[^\s#]+==\S+", (ROOT / "requirements.txt").read_text(), re.M)))
    return file


def install(python: Path, folder: Path, source: str, pins: Path) -> None:
    """Install the package in the environment `folder`, made by `python` if it is not there."""
    if not folder.exists():
        run(folder, python, "-m", "venv", folder)
    # Most of what is installed is never imported here: compiling all of it takes as long as the rest.
    run(folder, folder / "bin/pip", "install", "--quiet", "--no-compile", "--constraint", pins, source)


def try_package(python: Path, folder: Path, source: str, pins: Path) -> dict[str, str]:
    """Install and import the package; the code digest of every script by this Python."""
    install(python, folder, source, pins)
    run(folder, folder / "bin/python", "-c", f"import {', '.join(IMPORTED)}")
    return json.loads(run(folder, folder / "bin/python", "-c", DIGESTS, SCRIPTS))


def try_tests(python: Path, folder: Path, source: str, pins: Path) -> str:
    """Run the tests that need no torch; pytest's last line."""
    install(python, folder, f"{source}[test]", pins)
    options = ["-q", "-m", "not slow", "-p", "without_torch", "-p", "no:cacheprovider"]
    options += [f"--ignore=tests/{name}" for name in LEFT_OUT]
    workers = ["--numprocesses", str(os.cpu_count()), "--dist", "loadfile"]
    command = [folder / "bin/python", "-m", "pytest", *options, *workers]
    return run(folder, *command, timeout=TEST_SECONDS).splitlines()[-1]


def main() -> None:
    pythons = usable(find(os.environ["PATH"]))
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as pool:
        folder = Path(name)
        source, pins = str(copy_source(folder / "source")), constraints(folder)
        jobs = {
            version: pool.submit(try_package, python, folder / version, source, pins)
            for version, python in pythons.items()
        }
        digests = {version: job.result() for version, job in jobs.items()}
        first, *others = digests.values()
        if any(other != first for other in others):
            sys.exit(f"code digests differ: {json.dumps(digests, indent=1)}")
        print(f"installed, imported, {len(first)} equal code digests: {', '.join(pythons)}")
        newest = list(pythons)[-1]
        print(f"tests on {newest}:", try_tests(pythons[newest], folder / newest, source, pins))


if __name__ == "__main__":
    main()
