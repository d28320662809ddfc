"""How well a trained autoencoder reconstructs preprocessed scans, straight from their volumes."""

import pandas as pd
import torch

from lung4d import logs
from lung4d.evaluate.reconstruction import reconstruction_table, score_reconstruction
from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.data import load_scan
from lung4d.vqgan.model import VQGAN


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
