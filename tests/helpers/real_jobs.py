"""What Snakemake would hand to the scripts: `python real_jobs.py RUN CONFIGFILE TARGET...` writes a pickle to stdout.

The pickle holds a record for every job behind the targets, of plain values alone: it is read where Snakemake is not.
"""

import pickle
import sys
from contextlib import redirect_stdout
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

ROOT = Path(__file__).resolve().parents[2]


def find_jobs(run, configfile, targets):
    """The jobs of the workflow below `run`, finished or not."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(configfiles=[Path(configfile).resolve()]),
            snakefile=ROOT / "Snakefile",
            workdir=Path(run),
        )
        dag = workflow.dag(dag_settings=DAGSettings(targets=set(targets)))
        inner = dag.workflow_api._workflow
        inner._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        inner._build_dag()
        return [record(job) for job in inner.dag.jobs if job.rule.script]


def record(job):
    return {
        "rule": job.rule.name,
        "script": Path(job.rule.script).stem,
        "environment": Path(str(job.conda_env_spec.file.get_path_or_uri(secret_free=True))).stem,
        "threads": job.threads,
        "input": named(job.input),
        "output": named(job.output),
        "params": named(job.params),
        "log": named(job.log),
        "wildcards": {"values": [], "names": dict(job.wildcards_dict)},
        "resources": {"values": [], "names": dict(job.resources.items())},
    }


def named(given):
    """The values of a list whose entries may have names, and those that have, a name for one or for several."""
    return {"values": [plain(value) for value in given], "names": {key: plain(value) for key, value in given.items()}}


def plain(value):
    """`value` without Snakemake's own classes."""
    if isinstance(value, str):
        return "".join(value)
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        found = find_jobs(*sys.argv[1:3], sys.argv[3:])
    pickle.dump(found, sys.stdout.buffer)
