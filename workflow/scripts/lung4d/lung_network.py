"""Lung masks from the lungmask network, for which alone torch is needed."""

import hashlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lung4d.files import UnusableScan
from lung4d.lungs import Segmentation


def segment_by_network(scan: sitk.Image, weights: str | Path | None, sha256: str | None) -> Segmentation:
    """Both lungs by the U-Net R231 of lungmask (Hofmanninger et al. 2020), on the GPU where there is one.

    `weights` is a local state dict, None lets lungmask download its own. Raises ValueError where the file's SHA-256
    is not `sha256`, and UnusableScan where the network finds nothing.
    """
    if weights is not None and sha256 is not None:
        check_weights(weights, sha256)
    from lungmask import LMInferer  # torch takes seconds to import; the intensity segmenter does without

    network = LMInferer(modelname="R231", modelpath=None if weights is None else str(weights), tqdm_disable=True)
    labels = network.apply(scan)  # (z, y, x): 1 right, 2 left
    if not labels.any():
        raise UnusableScan("No lungs found by the network.")
    mask = sitk.GetImageFromArray(labels.astype(np.uint8))
    mask.CopyInformation(scan)
    return Segmentation(mask)


def check_weights(path: str | Path, sha256: str) -> None:
    """Raise ValueError unless the file at `path` has this SHA-256."""
    with Path(path).open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256.lower():
        raise ValueError(f"segment.weights: the file's SHA-256 is {found}, not {sha256}; get it again or correct it")
