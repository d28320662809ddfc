"""What a scan shows, without its name and its place: what copies of it are found by."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """voxels: digest of all HU and of their number along each axis. slices: digests of the axial slices that are not
    of one value. lungs: int8 (D, H, W), the lungs' looks on a grid in mm about their middle (lung4d.convert.looks), or
    None where no lungs are seen."""

    voxels: str
    slices: tuple[str, ...]
    lungs: np.ndarray | None


def packed(fingerprint: Fingerprint) -> dict[str, Any]:
    """The fingerprint as plain values, for a status; equal ones give equal values."""
    lungs = fingerprint.lungs
    return {
        "voxels": fingerprint.voxels,
        "slices": " ".join(fingerprint.slices),
        "shape": None if lungs is None else list(lungs.shape),
        "lungs": None if lungs is None else base64.b64encode(zlib.compress(lungs.tobytes(), 9)).decode(),
    }


def unpacked(content: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint that `packed` made `content` of. Raises KeyError or ValueError where it is none."""
    lungs = None
    if content["lungs"] is not None:
        lungs = np.frombuffer(zlib.decompress(base64.b64decode(content["lungs"])), np.int8).reshape(content["shape"])
    return Fingerprint(content["voxels"], tuple(content["slices"].split()), lungs)
