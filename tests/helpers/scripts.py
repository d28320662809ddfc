"""Running one script without Snakemake: the object that Snakemake would put there, with plain attributes."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"


class Named(SimpleNamespace):
    """Attributes by name, `get` for those that may be absent, and their values in turn, as in `snakemake.input`."""

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)

    def __iter__(self):
        return iter(vars(self).values())


def run_script(stage: str, inputs: Mapping, outputs: Mapping, params: Mapping, log: Path, **wildcards: str) -> None:
    """Run `workflow/scripts/<stage>.py` with these inputs, outputs, params, log file and wildcards."""
    fake = SimpleNamespace(
        input=Named(**inputs),
        output=Named(**outputs),
        params=Named(**params),
        wildcards=Named(**wildcards),
        log=[str(log)],
        threads=1,
    )
    runpy.run_path(str(SCRIPTS / f"{stage}.py"), init_globals={"snakemake": fake})
