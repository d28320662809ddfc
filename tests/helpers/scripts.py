"""Running one script without Snakemake: the object that Snakemake would put there, with plain attributes."""

import runpy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"


class Named:
    """Stands in for Snakemake's named lists: by attribute, `get` and `items`, and the values in turn."""

    def __init__(self, named: Mapping[str, Any] | None = None, **more: Any):
        vars(self).update(named or {}, **more)

    def __iter__(self) -> Iterator[Any]:
        return iter(vars(self).values())

    def get(self, name: str, default: Any = None) -> Any:
        return vars(self).get(name, default)

    def items(self) -> Iterable[tuple[str, Any]]:
        return vars(self).items()


def run_script(stage: str, inputs: Mapping, outputs: Mapping, params: Mapping, log: Path, **wildcards: str) -> None:
    """Run `workflow/scripts/<stage>.py` with these inputs, outputs, params, log file and wildcards."""
    named = {"input": inputs, "output": outputs, "params": params, "wildcards": wildcards}
    run_job(stage, log=[str(log)], **{name: Named(values) for name, values in named.items()})


def run_job(stage: str, **job: Any) -> None:
    """The same, with the parts of the object that Snakemake would put there as they are."""
    snakemake = SimpleNamespace(**{"threads": 1, "resources": Named(), **job})
    runpy.run_path(str(SCRIPTS / f"{stage}.py"), init_globals={"snakemake": snakemake})
