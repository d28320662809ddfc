"""The frozen autoencoder on held-out scans: reconstruction error, and how many of its codes are in use."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch

from lung4d import logs, metrics
from lung4d.visits.patient import PatientVisits
from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.data import load_scan
from lung4d.vqgan.model import VQGAN
from lung4d.vqgan.quantiser import USED_FROM

Decode = Callable[[np.ndarray], np.ndarray]  # embeddings (c, d, h, w) -> unit volume (D, H, W)

HELD_OUT = ("val", "test", "external")
COLUMNS = ["subject", "session", "split", "region", "mse", "psnr", "ssim", "nrmse"]
CODE_COLUMNS = ["split", "code", "count", "frequency", "used", "perplexity"]


def score_reconstructions(visits: PatientVisits, decode: Decode) -> list[dict[str, object]]:
    """Rows of reconstruction.tsv of one patient: every scan through the autoencoder, quantised, lung and whole."""
    rows = []
    for session, target, latents in zip(visits.sessions, visits.unit, visits.latents, strict=True):
        keys = {"subject": visits.subject, "session": session, "split": visits.split}
        scores = score_reconstruction(decode(latents.embeddings), target, visits.region)
        rows += [keys | scored for scored in scores]
    return rows


def score_reconstruction(decoded: np.ndarray, target: np.ndarray, lung: np.ndarray) -> list[dict[str, object]]:
    """Scores of one decoded volume (D, H, W) against the scan, both in [-0.5, 0.5]: in the lung, and of the whole."""
    prediction = np.clip(decoded, -0.5, 0.5).astype(np.float32) + 0.5
    similarity = metrics.ssim_map(prediction, target + 0.5)
    return [
        {
            "region": region,
            "mse": metrics.mse(prediction, target + 0.5, mask),
            "psnr": metrics.psnr(prediction, target + 0.5, mask),
            "ssim": metrics.ssim(prediction, target + 0.5, mask, similarity),
            "nrmse": metrics.nrmse(prediction, target + 0.5, mask),
        }
        for region, mask in (("lung", lung), ("whole", None))
    ]


@torch.no_grad()
def score_autoencoder(model: VQGAN, scans: list[PreparedScan]) -> pd.DataFrame:
    """Rows of reconstruction.tsv, lung and whole volume of every scan; one scan is in memory at a time."""
    device = next(model.parameters()).device
    rows = []
    for scan in logs.progress(scans, len(scans), "scans"):
        volume, lung = load_scan(scan, model.settings.window)
        drawn = model(volume.to(device))[0][0, 0].float().cpu().numpy()
        keys = {"subject": scan.subject, "session": scan.session, "split": scan.split}
        rows += [keys | scores for scores in score_reconstruction(drawn, volume[0, 0].numpy(), lung)]
    return reconstruction_table(rows)


def reconstruction_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """reconstruction.tsv; columns are there even without a row."""
    types = dict.fromkeys(COLUMNS[:4], str) | dict.fromkeys(COLUMNS[4:], float)
    return pd.DataFrame(rows, columns=COLUMNS).astype(types)


def count_codes(visits: PatientVisits, codes: int) -> np.ndarray:
    """How often each code occurs in the lung's latent voxels of a patient's visits, int (codes,)."""
    inside = [latents.codes[latents.mask] for latents in visits.latents]
    return np.bincount(np.concatenate(inside).astype(np.int64), minlength=codes)


def code_perplexity(counts: np.ndarray) -> float:
    """exp(entropy) of the code frequencies: as many codes as would be in use if all were equally frequent."""
    if not counts.sum():
        return float("nan")
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def code_table(counts: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """codes.tsv from the counts (codes,) of each split; `used` is a frequency of at least 1e-4."""
    frames = [
        pd.DataFrame(
            {
                "split": split,
                "code": np.arange(len(count)),
                "count": count,
                "frequency": count / count.sum(),
                "used": count / count.sum() >= USED_FROM,
                "perplexity": code_perplexity(count),
            }
        )
        for split, count in counts.items()
        if count.sum()
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=CODE_COLUMNS)
