"""How the processes that train one model together are started, with torch's own launcher.

`launch` runs the script that calls it once more in every rank, where `lung4d.ranks.join` finds out which one it is.
"""

import logging
import os
import subprocess
import sys
import time

logger = logging.getLogger("lung4d")


def launch(count: int, stopper, lock) -> None:
    """Run this script in `count` ranks, on all nodes of the job where SLURM gave several, and end as they end.

    Never returns: raises SystemExit with the launcher's status, or through `stopper` (`lung4d.training.Stopper`) after
    a signal, which the ranks are told of, or RuntimeError where another process has taken `lock` over.
    """
    logger.info("training in %d processes", count)
    process = subprocess.Popen(launch_command(count, sys.argv[0], os.environ))
    while process.poll() is None and not stopper.requested and not lock.lost:
        time.sleep(0.2)
    process.terminate()  # no kill: that would leave the ranks behind
    process.wait()
    lock.check()
    if stopper.requested:
        stopper.leave()
    raise SystemExit(process.returncode)


def launch_command(count: int, script: str, environment: dict[str, str]) -> list[str]:
    """The command line that starts `script` in `count` ranks, spread evenly over the nodes of a SLURM job.

    Raises ValueError where the nodes do not divide the ranks.
    """
    nodes = int(environment.get("SLURM_JOB_NUM_NODES", 1))
    if count % nodes:
        raise ValueError(f"{count} processes cannot be spread evenly over the {nodes} nodes of this job")
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count // nodes}"]
    if nodes == 1:
        return [*torchrun, "--standalone", script]
    job = environment["SLURM_JOB_ID"]
    port = 20000 + int(job) % 20000  # jobs that share a node meet at different ports
    meeting = [
        f"--nnodes={nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={job}",
        f"--rdzv-endpoint={_head(environment)}:{port}",
    ]
    return ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", *torchrun, *meeting, script]


def _head(environment: dict[str, str]) -> str:
    """The first node of a SLURM job, which runs this process."""
    return environment.get("SLURMD_NODENAME") or environment["SLURM_JOB_NODELIST"].split(",")[0]
