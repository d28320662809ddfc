"""Vector quantisation: nearest code, straight-through gradient, codebook by moving average or by gradient.

van den Oord 2017 (appendix A.1 for the moving average); 4D-VQ-GAN equations 1 and 2. Everything here is computed in
float32 whatever the autocast precision: counts of a volume overflow fp16, and distances lose codes in bf16.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lung4d.training.ranks import Ranks

CHUNK = 16384  # vectors whose distances to all codes are held at once
RECENT = 4096  # vectors of the current step that are kept to draw restarted codes from
USED_FROM = 1e-4  # share of the lung's latent positions from which a code counts as used
EPSILON = 1e-5  # Laplace smoothing of the counts


@dataclass(frozen=True)
class Quantised:
    """Result for a latent (B, c, d, h, w).

    embeddings (B, c, d, h, w): the nearest codes' vectors, with the gradient of the latent (straight-through).
    codes (B, d, h, w) long. commitment: mean (z - sg[e])^2, codebook: mean (sg[z] - e)^2 (zero unless the codebook
    is trained by gradient), both unweighted. perplexity: exp of the entropy of this latent's code frequencies.
    """

    embeddings: torch.Tensor
    codes: torch.Tensor
    commitment: torch.Tensor
    codebook: torch.Tensor
    perplexity: torch.Tensor


class Quantiser(nn.Module):
    """A codebook of `codes` vectors of length `embedding`.

    In training mode `forward` draws the codebook from the first batch it sees and collects statistics; `update`
    applies them, once per optimiser step however many micro-steps there were. `mode` is "ema" or "gradient".
    """

    def __init__(self, codes: int, embedding: int, mode: str, decay: float, restart_after: int):
        super().__init__()
        if mode not in ("ema", "gradient"):
            raise ValueError(f"train_vqgan.quantiser is '{mode}'; give 'ema' or 'gradient'")
        self.mode, self.decay, self.restart_after = mode, decay, restart_after
        self.codebook: torch.Tensor
        self.count: torch.Tensor
        self.total: torch.Tensor
        self.unused: torch.Tensor
        self.initialised: torch.Tensor
        self.step_count: torch.Tensor
        self.step_total: torch.Tensor
        codebook = torch.zeros(codes, embedding)
        if mode == "gradient":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
        self.register_buffer("count", torch.ones(codes))  # moving average of vectors per code and step
        self.register_buffer("total", torch.zeros(codes, embedding))  # moving average of their sum
        self.register_buffer("unused", torch.zeros(codes, dtype=torch.long))  # steps since a code was last used
        self.register_buffer("initialised", torch.tensor(False))  # in the state: a resumed run keeps its codebook
        # of the current optimiser step; empty between steps, so no part of the state
        self.register_buffer("step_count", torch.zeros(codes, dtype=torch.long), persistent=False)
        self.register_buffer("step_total", torch.zeros(codes, embedding, dtype=torch.double), persistent=False)
        self.recent: torch.Tensor | Any = None

    def forward(self, z: torch.Tensor) -> Quantised:
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            flat = z.movedim(1, -1).reshape(-1, z.shape[1])
            if self.training and not self.initialised:
                self.initialise(z)
            codes = self.nearest(flat.detach())
            counts = torch.bincount(codes, minlength=len(self.codebook))
            if self.training:
                self._collect(flat.detach(), codes, counts)
            nearest = self.embed(codes.reshape(z.shape[0], *z.shape[2:]))
            trained = self.mode == "gradient" and self.training
            return Quantised(
                embeddings=nearest.detach() + (z - z.detach()),  # the exact code forward, the latent's gradient back
                codes=codes.reshape(z.shape[0], *z.shape[2:]),
                commitment=F.mse_loss(z, nearest.detach()),
                codebook=F.mse_loss(nearest, z.detach()) if trained else z.new_zeros(()),
                perplexity=perplexity(counts),
            )

    def embed(self, codes: torch.Tensor) -> torch.Tensor:
        """Vectors (B, c, d, h, w) of the codes (B, d, h, w)."""
        return F.embedding(codes, self.codebook).movedim(-1, 1)

    @torch.no_grad()
    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Code (N,) nearest to each vector (N, c)."""
        squares = self.codebook.square().sum(1)
        found = [
            torch.addmm(squares, chunk, self.codebook.T, alpha=-2).argmin(1)  # |e|^2 - 2 z.e: |z|^2 changes nothing
            for chunk in vectors.split(CHUNK)
        ]
        return torch.cat(found)

    @torch.no_grad()
    def update(self, ranks: Ranks = Ranks()) -> torch.Tensor:  # noqa: B008 - frozen
        """Apply the statistics of one optimiser step over all ranks: moving averages (mode "ema"), then restarts.

        Returns how many codes the step used.
        """
        if self.recent is None:
            return self.step_count.count_nonzero()
        ranks.add([self.step_count, self.step_total])
        self.recent = ranks.gather(self.recent)
        used = self.step_count.count_nonzero()
        if self.mode == "ema":
            self.count.lerp_(self.step_count.float(), 1 - self.decay)
            self.total.lerp_(self.step_total.float(), 1 - self.decay)
            everything = self.count.sum()
            smoothed = (self.count + EPSILON) / (everything + len(self.count) * EPSILON) * everything
            self.codebook.copy_(self.total / smoothed.unsqueeze(1))
        self.unused = torch.where(self.step_count > 0, 0, self.unused + 1)
        self._restart(torch.nonzero(self.unused >= self.restart_after).flatten())
        self.step_count.zero_()
        self.step_total.zero_()
        self.recent = None
        return used

    def initialise(self, z: torch.Tensor) -> None:
        """Draw the codebook from the vectors of a latent z (B, c, d, h, w)."""
        vectors = z.detach().float().movedim(1, -1).reshape(-1, z.shape[1])
        self._draw(torch.arange(len(self.codebook), device=z.device), vectors)
        self.initialised.fill_(True)

    def _restart(self, dead: torch.Tensor) -> None:
        if len(dead):
            self._draw(dead, self.recent)

    @torch.no_grad()
    def _draw(self, codes: torch.Tensor, vectors: torch.Tensor) -> None:
        """Give `codes` vectors drawn from `vectors` (distinct while there are enough) and fresh statistics."""
        order = torch.randperm(len(vectors), device=vectors.device)
        chosen = vectors[order.repeat(-(-len(codes) // len(order)))[: len(codes)]]
        self.codebook[codes] = chosen
        self.total[codes] = chosen
        self.count[codes] = 1.0
        self.unused[codes] = 0

    def _collect(self, vectors: torch.Tensor, codes: torch.Tensor, counts: torch.Tensor) -> None:
        self.step_count += counts
        if self.mode == "ema":
            self.step_total += torch.zeros_like(self.codebook).index_add_(0, codes, vectors)
        chosen = torch.randint(len(vectors), (min(RECENT, len(vectors)),), device=vectors.device)
        self.recent = vectors[chosen] if self.recent is None else torch.cat([self.recent, vectors[chosen]])


def perplexity(counts: torch.Tensor) -> torch.Tensor:
    """exp(entropy) of code counts (K,): how many codes would be in use if all were used equally."""
    share = counts.float() / counts.sum().clamp(min=1)
    return torch.exp(-torch.special.xlogy(share, share).sum())
