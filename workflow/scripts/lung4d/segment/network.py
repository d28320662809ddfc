"""Lung masks from the lungmask network, for which alone torch is needed."""

from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import SimpleITK as sitk

from lung4d.io.atomic import digest_of_file
from lung4d.io.status import UnusableScan
from lung4d.segment.masks import Segmentation


def segment_by_network(scan: sitk.Image, weights: str | Path | None, sha256: str | None) -> Segmentation:
    """Both lungs by the U-Net R231 of lungmask (Hofmanninger et al. 2020), on the GPU where there is one.

    `weights` is a local state dict, None stands for lungmask's own, which is downloaded once. Raises ValueError where
    the file's SHA-256 is not `sha256` or, of lungmask's own, does not begin as its name says, or where it holds
    anything but numbers; UnusableScan where the network finds nothing.
    """
    if weights is not None and sha256 is not None:
        verify_weights(weights, sha256)
    from lungmask import LMInferer  # torch takes seconds to import; the intensity segmenter does without

    if weights is None:
        weights = own_weights()
        if sha256 is not None:
            verify_weights(weights, sha256)
    check_plain(weights)
    network = LMInferer(modelname="R231", modelpath=str(weights), tqdm_disable=True)
    labels = network.apply(scan)  # (z, y, x): 1 right, 2 left
    if not labels.any():
        raise UnusableScan("No lungs found by the network.")
    mask = sitk.GetImageFromArray(labels.astype(np.uint8))
    mask.CopyInformation(scan)
    return Segmentation(mask)


def own_weights() -> Path:
    """lungmask's R231 weights in torch's cache, downloaded where they are not there yet; the file's name ends with the
    first eight digits of its SHA-256, which lungmask itself does not look at."""
    from lungmask.mask import MODEL_URLS
    from torch import hub

    address, _ = MODEL_URLS["R231"]
    path = Path(hub.get_dir()) / "checkpoints" / Path(urlparse(address).path).name
    begins = path.stem.rsplit("-", 1)[-1]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(address, str(path), hash_prefix=begins, progress=False)
    found = digest_of_file(path)
    if not found.startswith(begins):
        raise ValueError(
            f"segment.weights is null, and lungmask's own weights in {path} have the SHA-256 {found}, which does not "
            f"begin with {begins}: delete the file and run again, or give one of your own"
        )
    return path


def check_plain(path: str | Path) -> None:
    """Raise ValueError where a file of weights holds more than numbers: loading such a file can run any program."""
    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"segment.weights: {path} is no plain state dict, and was not loaded ({type(error).__name__}); get it again"
        ) from error


def verify_weights(path: str | Path, sha256: str) -> None:
    """Raise ValueError unless the file at `path` has this SHA-256."""
    found = digest_of_file(path)
    if found != sha256.lower():
        raise ValueError(f"segment.weights: the file's SHA-256 is {found}, not {sha256}; get it again or correct it")
