"""Asks the code in a folder of scripts for its version and, by stage, for its digests and what counts for them.

`python ask.py SCRIPTS` prints them as JSON. It runs by itself, with that folder's own library.
"""

import importlib
import inspect
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.dont_write_bytecode = True


def answer(scripts: Path) -> dict:
    sys.path.insert(0, str(scripts))
    library, table = scripts / "lung4d", scripts.parent / "code_equivalents.tsv"
    digest = _digest_module()
    stages = {}
    with TemporaryDirectory() as folder:
        known = [scripts, library, Path(folder) / "digests.json"]
        takes_table = "equivalents" in inspect.signature(digest.Digests).parameters
        digests = digest.Digests(*known, *([table] if takes_table else []))
        for script in sorted(scripts.glob("*.py")):
            stage = script.stem
            raw = digests.raw(stage) if hasattr(digests, "raw") else digests.of(stage)
            files = sorted(str(path) for path in _counted(digest, script, library))
            stages[stage] = {
                "raw": raw,
                "recorded": digests.of(stage),
                "files": files,
                "left_out": sorted(_left_out(digest, stage)),
            }
    return {"version": importlib.import_module("lung4d").__version__, "stages": stages}


def _digest_module():
    """It has had two places."""
    try:
        return importlib.import_module("lung4d.pipeline.digest")
    except ModuleNotFoundError:
        return importlib.import_module("lung4d.digest")


def _counted(digest, script: Path, library: Path) -> set[Path]:
    if hasattr(digest, "counted_files"):
        return digest.counted_files(script, library)
    seen, queue = set(), [script]  # before 0.2.0 every imported module counted
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(digest.imported_modules(path, library))
    return seen | {file for path in seen for file in digest._data_files(path)}


def _left_out(digest, stage: str) -> set[str]:
    """Places in the library that never count for the stage."""
    return set(getattr(digest, "NOT_COUNTED", {})) - set(getattr(digest, "COUNTED_THERE", {}).get(stage, ()))


if __name__ == "__main__":
    print(json.dumps(answer(Path(sys.argv[1]))))
