"""The processes ("ranks") that train one model together: what they tell each other, and how they are started.

A training is written for any number of ranks, one included. Each computes its share of a step's forward passes; sums
over the ranks then make all of them take the same step. torch's own launcher starts them: `launch` runs the script
that calls it once more in every rank, where `join` finds out which one it is.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import distributed, nn

logger = logging.getLogger("lung4d")


@dataclass(frozen=True)
class Ranks:
    """This process among `count` that train together; the first (`rank` 0) writes the files and the log."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, passes: int) -> range:
        """The forward passes of a step that fall to this rank, of 0, ..., `passes` - 1."""
        return range(self.rank * passes // self.count, (self.rank + 1) * passes // self.count)

    def add(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by their sums over all ranks, which pass as many of the same shapes."""
        if self.count == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # one message for all of a kind
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            message = torch.cat([tensor.flatten() for tensor in alike])
            distributed.all_reduce(message)
            for tensor, part in zip(alike, message.split([tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The ranks' tensors (n, ...) in their order as one (ranks * n, ...)."""
        if self.count == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether `flag` is true on any rank."""
        votes = torch.tensor(float(flag), device=device)
        self.add([votes])
        return bool(votes)

    def share_state(self, module: nn.Module) -> None:
        """Give every rank the first one's parameters and buffers."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, src=0)


def join() -> Ranks:
    """This process's place among those that `launch` started; the only one where none were."""
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        return Ranks()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Ranks(distributed.get_rank(), count)


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
