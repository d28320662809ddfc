"""The codebook code by code: how often each code occurs in the lungs, which density it stands for, and where to see it.

After the visualisation of the codebook in 4D-VQ-GAN (Zhao et al., appendix D.5, Fig. 9), which decodes each code; use
and real places are ours. Scans are added one at a time, so that memory does not grow with the cohort.
"""

import numpy as np
import pandas as pd

from lung4d.codebook.shown import EXEMPLARS
from lung4d.visits.split import SETS
from lung4d.vqgan.quantiser import USED_FROM

PLACE = ["code", "subject", "session", "z", "y", "x", "draw"]


class Tally:
    """Counts of `codes` codes in the lungs of each set, their density in training lungs, and places of each.

    `compression` is voxels per latent position. What is kept does not depend on the order of the scans.
    """

    def __init__(self, codes: int, compression: int):
        self.codes, self.compression = codes, compression
        self.counts = {name: np.zeros(codes, np.int64) for name in SETS}
        self.hu_sum, self.hu_squares = np.zeros(codes), np.zeros(codes)
        self.places = pd.DataFrame(columns=PLACE)

    def add(self, scan: tuple[str, str], split: str, codes: np.ndarray, mask: np.ndarray, hu: np.ndarray) -> None:
        """Count one scan (subject, session): codes int and mask bool (d, h, w), hu the volume (D, H, W).

        The volume is read for training scans only: densities and places are what the codebook was learnt on.
        """
        inside = codes[mask].astype(np.int64)
        self.counts[split] += np.bincount(inside, minlength=self.codes)
        if split != "train":
            return
        density = block_means(hu, self.compression)[mask]
        self.hu_sum += np.bincount(inside, density, self.codes)
        self.hu_squares += np.bincount(inside, density**2, self.codes)
        self.places = spread_over_patients(_draw_places(scan, codes, mask, self.compression), self.places)


def block_means(hu: np.ndarray, factor: int) -> np.ndarray:
    """Mean HU of every block of `factor`^3 voxels, float64 (d, h, w), of a volume (D, H, W) of whole blocks."""
    d, h, w = (size // factor for size in hu.shape)
    return hu.reshape(d, factor, h, factor, w, factor).mean(axis=(1, 3, 5), dtype=np.float64)


def usage_table(tally: Tally) -> pd.DataFrame:
    """codebook.tsv, a row per code, without what the codes decode to.

    rank (1 is the most common) and used (at least 1e-4) are of the training lungs; share_<set> is the share of the
    set's lung positions that hold the code; mean_hu and sd_hu are of the CT at its positions in training lungs, each
    position the mean of its block of voxels. A share is missing where the set has no scan.
    """
    seen = tally.counts["train"]
    order = np.argsort(-seen, kind="stable")
    rank = np.empty(tally.codes, np.int64)
    rank[order] = np.arange(1, tally.codes + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = {f"share_{name}": count / count.sum() for name, count in tally.counts.items()}
        mean = tally.hu_sum / seen
        spread = np.sqrt(np.maximum(tally.hu_squares / seen - mean**2, 0))
    columns = {"code": np.arange(tally.codes), "rank": rank, "used": shares["share_train"] >= USED_FROM}
    return pd.DataFrame(columns | shares | {"mean_hu": mean, "sd_hu": spread})


def with_decoded(table: pd.DataFrame, codes: np.ndarray, blocks: np.ndarray) -> pd.DataFrame:
    """The table with decoded_hu, the mean HU of the blocks (n, r, r, r) that the codes (n,) decode to."""
    means = pd.Series(blocks.mean(axis=(1, 2, 3), dtype=np.float64), index=codes)
    return table.assign(decoded_hu=table["code"].map(means))


def spread_over_patients(*places: pd.DataFrame) -> pd.DataFrame:
    """At most `EXEMPLARS` places of every code, from as many patients as there are; the smallest draws win."""
    every = pd.concat([part for part in places if len(part)] or [places[0]], ignore_index=True)
    every = every.sort_values(["code", "draw"])
    every = every.assign(nth=every.groupby(["code", "subject"]).cumcount()).sort_values(["code", "nth", "draw"])
    return every[every.groupby("code").cumcount() < EXEMPLARS][PLACE].reset_index(drop=True)


def _draw_places(scan: tuple[str, str], codes: np.ndarray, mask: np.ndarray, factor: int) -> pd.DataFrame:
    """Up to `EXEMPLARS` random places of every code in one scan; z, y, x are voxels at the middle of the position.

    The draw depends on the names of patient and visit alone, so that a larger cohort moves few of them.
    """
    positions = np.argwhere(mask)
    inside = codes[mask].astype(np.int64)
    draw = np.random.default_rng(list("/".join(scan).encode())).random(len(inside))
    order = np.lexsort((draw, inside))
    nth = np.arange(len(inside)) - np.searchsorted(inside[order], inside[order])
    kept = order[nth < EXEMPLARS]
    z, y, x = (positions[kept] * factor + factor // 2).T
    of_scan = {"subject": scan[0], "session": scan[1]}
    return pd.DataFrame({"code": inside[kept], "z": z, "y": y, "x": x, "draw": draw[kept]}).assign(**of_scan)[PLACE]


def cut_patch(hu: np.ndarray, centre: tuple[int, int, int], side: int) -> np.ndarray:
    """The axial patch (side, side) of a volume (D, H, W) around voxel `centre` (z, y, x); its border is repeated."""
    z, *inplane = centre
    rows, columns = (
        np.clip(np.arange(middle - side // 2, middle - side // 2 + side), 0, size - 1)
        for middle, size in zip(inplane, hu.shape[1:], strict=True)
    )
    return np.asarray(hu[z][np.ix_(rows, columns)])
