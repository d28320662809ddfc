"""3D-ConvGRU (appendix D.3.2 of the 4D-VQ-GAN paper, after Ballas et al. 2016): visits to one hidden state."""

from collections.abc import Callable

import torch
from torch import nn

from lung4d.ode.convolution import Conv3d


class ConvGRUCell(nn.Module):
    """One update of the hidden state by one visit; every matrix product of a GRU is a 3D convolution.

    inputs: channels of a visit; hidden: channels of the state. The state stays within (-1, 1).
    """

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.gates = Conv3d(inputs + hidden, 2 * hidden)
        self.candidate = Conv3d(inputs + hidden, hidden)

    def forward(self, state: torch.Tensor, visit: torch.Tensor) -> torch.Tensor:
        """state (1, hidden, d, h, w), visit (1, inputs, d, h, w); returns the next state."""
        update, reset = torch.sigmoid(self.gates(torch.cat([visit, state], 1))).chunk(2, 1)
        candidate = torch.tanh(self.candidate(torch.cat([visit, reset * state], 1)))
        return (1 - update) * state + update * candidate


class ConvGRU(nn.Module):
    """Runs a ConvGRUCell over the visits in the order given, from a state of zeros.

    With `time_gap` each visit carries one more channel: the time since the visit read before it (0 for the first).
    Without it two scans three months or three years apart give the same state, as in the paper. `between` moves the
    state over a gap (state, gap of the solver's time) -> state: the ODE-ConvGRU of Vid-ODE (Park et al. 2021).
    """

    def __init__(
        self, channels: int, hidden: int, time_gap: bool, between: Callable[[torch.Tensor, float], torch.Tensor] | None
    ):
        super().__init__()
        self.time_gap, self.between = time_gap, between
        self.cell = ConvGRUCell(channels + int(time_gap), hidden)

    def forward(self, visits: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """visits (n, channels, d, h, w) in reading order, times (n,) in the solver's unit; returns (1, hidden, ...)."""
        state = visits.new_zeros(1, self.cell.hidden, *visits.shape[2:])
        gaps = torch.diff(times, prepend=times[:1])
        for visit, gap in zip(visits, gaps, strict=True):
            channels = visit[None]
            if self.time_gap:
                channels = torch.cat([channels, gap.abs().to(visit).expand_as(visit[None, :1])], 1)
            if self.between is not None and gap != 0:
                state = self.between(state, float(gap))
            state = self.cell(state, channels)
        return state
