"""The jobs of one shard's patients, run by a Snakemake inside this job; what is up to date already is left alone.

A job that was stopped by a time limit therefore goes on with the scans that are not done.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from lung4d.io.atomic import write_json, write_text
from lung4d.pipeline import job
from lung4d.pipeline.shards import result_digest

logger = job.start(snakemake.log[0])
params, threads = snakemake.params, snakemake.threads
# What the Snakemake inside says names the user's files, which stay out of results/.
said = Path(".snakemake/log") / f"{snakemake.rule}_{snakemake.wildcards.shard}.log"


def command(settings: Path) -> list[str]:
    # The locks and settings are those of the run that started this job, as for all its jobs; the folder's own settings
    # may be those of a workflow that has this one as a module:.
    snakefile = Path(snakemake.scriptdir).resolve().parents[1] / "Snakefile"
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--configfile", str(settings)]
    words += ["--replace-workflow-config", "--cores", str(threads), "--nolock", "--no-hooks", "--keep-going"]
    words += ["--allowed-rules", *params.rules]
    if params.alone:
        words += ["--set-threads", *(f"{rule}={threads}" for rule in params.rules)]
    if snakemake.resources.software:
        words += ["--software-deployment-method", *snakemake.resources.software.split(",")]
        words += [f"--apptainer-args={snakemake.resources.apptainer_args}"]
    return [*words, "--", *params.targets]


def pass_on(number: int, _: object) -> None:
    """Tell all processes of this job: Snakemake alone would wait until its own jobs have come to their end."""
    for process in job.descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(process, number)


environment = {key: value for key, value in os.environ.items() if key != "SNAKEMAKE_PROFILE"}
environment["LUNG4D_TERMINAL"] = "snakemake"  # in full: it goes to a file
said.parent.mkdir(parents=True, exist_ok=True)
with TemporaryDirectory() as temporary, said.open("wb") as output:
    settings = Path(temporary) / "config.json"
    write_json(params.config, settings)
    inside = subprocess.Popen(command(settings), stdout=output, stderr=output, env=environment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    status = inside.wait()
if status:
    missing = [target for target in params.targets if not Path(target).exists()]
    logger.error("could not be made: %s", ", ".join(missing) or "no result is missing, but one is out of date")
    raise SystemExit(f"the logs of the stages say why, in results/logs; what Snakemake says is in {said}")

rows = [f"{target}\t{result_digest(target)}\n" for target in params.targets]
write_text("".join(["target\tdigest\n", *rows]), snakemake.output.table)
logger.info("%d results", len(rows))
