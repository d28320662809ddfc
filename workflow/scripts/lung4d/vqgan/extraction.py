"""From a preprocessed scan to its latents."""

import torch

from lung4d.latents import Latents, pool_mask
from lung4d.vqgan.data import Scan, read_scan
from lung4d.vqgan.model import VQGAN


@torch.no_grad()
def extract_latents(model: VQGAN, scan: Scan) -> Latents:
    """Codes (d, h, w), quantised and continuous embeddings (c, d, h, w) and pooled lung mask of one scan, float32."""
    volume, mask = read_scan(scan, model.settings.window)
    continuous = model.encode(volume.to(next(model.parameters()).device))
    quantised = model.quantise(continuous)
    return Latents(
        codes=quantised.codes[0].cpu().numpy().astype("int16"),
        embeddings=quantised.embeddings[0].cpu().numpy(),
        continuous=continuous[0].cpu().numpy(),
        mask=pool_mask(mask, model.settings.compression),
    )
