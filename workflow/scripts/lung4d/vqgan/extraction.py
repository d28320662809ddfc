"""From a preprocessed scan to its latents, and back to what the autoencoder keeps of it."""

import numpy as np
import torch

from lung4d.io.latents import Latents, pool_mask
from lung4d.io.volumes import from_unit
from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.data import load_scan
from lung4d.vqgan.model import VQGAN


@torch.no_grad()
def extract_latents(model: VQGAN, scan: PreparedScan) -> tuple[Latents, np.ndarray]:
    """Latents of one scan, and its reconstruction (D, H, W) in HU.

    Codes are (d, h, w), quantised and continuous embeddings (c, d, h, w) float32, the mask is pooled to (d, h, w).
    """
    volume, mask = load_scan(scan, model.settings.window)
    continuous = model.encode(volume.to(next(model.parameters()).device))
    quantised = model.quantise(continuous)
    reconstruction = model.decode(quantised.embeddings)[0, 0].float().cpu().numpy()
    latents = Latents(
        codes=quantised.codes[0].cpu().numpy().astype("int16"),
        embeddings=quantised.embeddings[0].cpu().numpy(),
        continuous=continuous[0].cpu().numpy(),
        mask=pool_mask(mask, model.settings.compression),
    )
    return latents, from_unit(reconstruction, model.settings.window)
