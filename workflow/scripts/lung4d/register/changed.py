"""Where the tissue itself changed between two scans: by its density, beyond what motion explains.

A lung that is squeezed grows denser as its volume falls, since its mass stays, and a whole scan may be denser than the
other. What is left of the change of density over some millimetres is disease that came or went. There the scans look
different wherever they are laid, so that a match would turn disease into motion; such places get less say, and the
field is led by vessels, airways and the lung's surface around them.
"""

import numpy as np
from scipy import ndimage

from lung4d.register import fields

AIR = np.float32(1000)  # HU are counted from it, so that they go with mass
SOFT = np.float32(20)  # HU beyond what is tolerated, at which a place has half its say
LEAST = np.float32(0.002)  # say that every place keeps
KNOWN = 0.25  # share of the lung in a window that both scans show, from which on its density tells of disease
MOST_SQUEEZED = np.float32(0.2)  # of the volume; less is a field that folds


def unexplained_change(
    baseline: np.ndarray, followup: np.ndarray, lungs: tuple[np.ndarray, np.ndarray], flow: np.ndarray, window: int
) -> np.ndarray:
    """Change of the local mean density that neither the local change of volume nor a factor for all explains, HU.

    baseline, followup: float32 (D, H, W) HU; lungs: bool (D, H, W) of both; flow: (D, H, W, 3) voxels, baseline to
    follow-up; window: voxels of the local mean, over lung that both scans show. Returns float32 (D, H, W), 0 or more; 0
    where most of the window is not lung in both, of which nothing is known.
    """
    both = lungs[0] & (fields.warp(lungs[1], flow) >= 0.5)
    if not both.any():
        return np.zeros(both.shape, np.float32)
    inside = lungs[0].astype(np.float32)
    share = np.maximum(ndimage.uniform_filter(inside, window), np.float32(1e-3))
    known = ndimage.uniform_filter(both.astype(np.float32), window) > KNOWN * share
    here, there = (
        ndimage.uniform_filter((image + AIR) * inside, window) / share
        for image in (baseline, fields.warp(followup, flow))
    )
    there *= ndimage.uniform_filter(np.maximum(fields.jacobian(flow), MOST_SQUEEZED), window)
    factor = np.median(there[both] / np.maximum(here[both], 1))
    return np.abs(there - np.float32(factor) * here) * known


def say(change: np.ndarray, tolerated: float) -> np.ndarray:
    """Weight, LEAST to 1, of places by their unexplained change (HU), of which `tolerated` HU cost nothing."""
    beyond = np.maximum(change - np.float32(tolerated), 0) / SOFT
    return np.maximum(1 / (1 + beyond * beyond), LEAST)
