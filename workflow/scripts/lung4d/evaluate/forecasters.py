"""The trained models as the plain functions that the judge calls: a decoder of latents and a forecaster of volumes."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from lung4d.evaluate.forecasting import Forecaster
from lung4d.evaluate.reconstruction import Decode
from lung4d.ode.decoding import MODES, SHARES, decode_forecast
from lung4d.ode.dynamics import named
from lung4d.ode.ensemble import Ensemble
from lung4d.visits.patient import PatientVisits
from lung4d.vqgan.model import VQGAN

REMEMBERED = 16  # decoded volumes; a patient's visits and one year's forecasts


class CachedDecoder:
    """A VQGAN's decoder that knows the volumes it decoded last.

    The three decodings of the model, the autoencoder's baseline and the floor ask for the same latents again and
    again; nearly all time on a CPU goes into decoding.
    """

    def __init__(self, vqgan: VQGAN):
        self._vqgan = vqgan
        self._known: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        return self._vqgan.parameters()

    @torch.no_grad()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """As VQGAN.decode, kept on the CPU: volumes (B, 1, D, H, W) of latents (B, c, d, h, w)."""
        key = hashlib.sha256(z.cpu().contiguous().numpy().data).digest()
        if key not in self._known:
            self._known[key] = self._vqgan.decode(z).float().cpu()
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


def decoder_of(vqgan: VQGAN | CachedDecoder) -> Decode:
    """A function from embeddings (c, d, h, w) to the decoded volume (D, H, W) on the unit scale, not clipped."""
    device = next(vqgan.parameters()).device

    @torch.no_grad()
    def decode(embeddings: np.ndarray) -> np.ndarray:
        z = torch.as_tensor(embeddings, dtype=torch.float32, device=device)[None]
        return vqgan.decode(z)[0, 0].float().cpu().numpy()

    return decode


def decodings_of(ode: Ensemble) -> list[str]:
    """All decodings that the model can."""
    return [mode for mode in MODES if mode in SHARES or ode.settings.maps]


def forecaster_of(vqgan: VQGAN | CachedDecoder, ode: Ensemble, decodings: Sequence[str] | None = None) -> Forecaster:
    """A function from given visits and years (q,) to volumes (q, D, H, W) by decoding: by default all that it can.

    Mix decoding keeps the share it is told of the given scan's own detail; told None, it is left out.
    """
    modes = decodings_of(ode) if decodings is None else decodings

    def forecast(given: PatientVisits, years: np.ndarray, mix: float | None) -> dict[str, np.ndarray]:
        visits = ode.observe(given)
        with named(given.subject):
            made = ode.forecast(visits, years)
        return {
            mode: decode_forecast(vqgan, made, visits, years, mode, mix or 0.0).numpy()
            for mode in modes
            if mode != "mix" or mix is not None
        }

    return forecast
