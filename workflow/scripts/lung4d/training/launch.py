"""How the processes that train one model together are started, with torch's own launcher.

`launch` runs the script that calls it once more in every rank, where `lung4d.training.ranks.join` finds out which one
it is.
"""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

logger = logging.getLogger("lung4d")


def launch(count: int, nodes: int, stopper, lock) -> None:
    """Run this script in `count` ranks, on the `nodes` nodes that SLURM gave this job, and end as they end.

    Never returns: raises SystemExit with the launcher's status, or through `stopper` (`training.stopping`) after
    a signal, which the ranks are told of, or RuntimeError where another process has taken `lock` over.
    """
    logger.info("training in %d processes", count)
    # The list names the one node of Snakemake's step, in which this runs; without it, srun asks SLURM for the job's.
    environment = {key: value for key, value in os.environ.items() if key != "SLURM_JOB_NODELIST"}
    process = subprocess.Popen(launch_command(count, nodes, sys.argv[0], environment), env=environment)
    while process.poll() is None and not stopper.requested and not lock.lost:
        time.sleep(0.2)
    process.terminate()  # no kill: that would leave the ranks behind
    process.wait()
    lock.check()
    if stopper.requested:
        stopper.leave()
    raise SystemExit(process.returncode)


def launch_command(count: int, nodes: int, script: str, environment: Mapping[str, str]) -> list[str]:
    """The command line that starts `script` in `count` ranks, spread evenly over the nodes of a SLURM job.

    `nodes` is what the rule asks for: a job of Snakemake's is not told by SLURM how many nodes it has. Raises
    ValueError where they do not divide the ranks, KeyError for several nodes outside SLURM.
    """
    if count % nodes:
        raise ValueError(f"{count} processes cannot be spread evenly over the {nodes} nodes of this job")
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count // nodes}"]
    if nodes == 1:
        return [*torchrun, "--standalone", script]
    job = environment["SLURM_JOB_ID"]
    port = 20000 + int(job) % 20000  # jobs that share a node meet at different ports
    # Snakemake's step holds the job's CPUs and GPUs: without --overlap, this one would wait for ever.
    srun = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    meeting = [
        f"--nnodes={nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={job}",
        f"--rdzv-endpoint={socket.gethostname()}:{port}",  # a node of the job, and what torch calls it, too
    ]
    return [*srun, *torchrun, *meeting, script]
