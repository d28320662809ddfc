"""Runs a script in a bare environment: `python -I bare_driver.py JOB SCRIPTS`; needs the standard library alone.

JOB is a pickled record of real_jobs.py, with the names of the modules that the script's code imports, SCRIPTS the
folder of the scripts. Takes the place of Snakemake, which would add its own packages to the script's path.
"""

import importlib
import pickle
import runpy
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace


class Named(list):
    """Values by place and, those that have a name, by attribute, as in `snakemake.input`."""

    def __init__(self, values, names):
        super().__init__(values)
        self.__dict__.update(names)

    def get(self, name, default=None):
        return self.__dict__.get(name, default)

    def items(self):
        return self.__dict__.items()


def strangers(scripts):
    """Files of loaded modules that come neither from the environment, nor from Python, nor from the scripts."""
    python = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    files = [Path(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())]
    files = [file for file in files if file.is_absolute() and not file.is_relative_to(sys.prefix)]
    packages = [file for file in files if {"site-packages", "dist-packages"} & set(file.parts)]  # inside Python's own
    others = [file for file in files if not any(file.is_relative_to(home) for home in (scripts, *python))]
    return {str(file) for file in [*packages, *others]} - {__file__}


def main(job_file, scripts):
    job = pickle.loads(Path(job_file).read_bytes())
    assert all(path.startswith(sys.prefix) for path in sys.path if path.endswith("-packages")), sys.path
    sys.path.insert(0, scripts)
    for name in job["imports"]:  # those that this job may not come to, too
        importlib.import_module(name)
    lists = ("input", "output", "params", "log", "wildcards", "resources")
    plain = {"threads": job["threads"], "config": job.get("config", {})}
    snakemake = SimpleNamespace(**{name: Named(**job[name]) for name in lists}, **plain)
    runpy.run_path(str(Path(scripts) / f"{job['script']}.py"), init_globals={"snakemake": snakemake})
    assert not strangers(scripts), strangers(scripts)


if __name__ == "__main__":
    main(*sys.argv[1:])
