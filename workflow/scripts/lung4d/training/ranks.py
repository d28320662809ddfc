"""The processes ("ranks") that train one model together, and what they tell each other.

A training is written for any number of ranks, one included. Each computes its share of a step's forward passes; sums
over the ranks then make all of them take the same step. How they are started: `lung4d.training.launch`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Ranks:
    """This process among `count` that train together; the first (`rank` 0) writes the files and the log.

    A context manager: one of several that ends while torch still connects them aborts now and then on its way out. An
    error leaves them connected, because to part may mean to wait for the others.
    """

    rank: int = 0
    count: int = 1

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.count > 1 and (kind is None or issubclass(kind, SystemExit)):
            distributed.destroy_process_group()

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
    if not distributed.is_torchelastic_launched():
        return Ranks()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Ranks(distributed.get_rank(), distributed.get_world_size())
