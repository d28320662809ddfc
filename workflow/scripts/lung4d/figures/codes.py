"""Pictures of the codebook: every code decoded (Fig. 9 of 4D-VQ-GAN), and real patches that each code stands for."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lung4d.codebook.shown import DECODED, EXEMPLARS, PATCH, WITH_PATCHES, most_used
from lung4d.figures.mosaic import sheet
from lung4d.figures.slices import LUNG_WINDOW, Tile, grey

GAP = 1  # voxels between the patches of one code


def decoded_figure(table: pd.DataFrame, blocks: Mapping[int, np.ndarray]) -> bytes:
    """The most common codes of a usage table as they decode, from air to tissue; blocks HU (r, r, r), repeated."""
    rows = most_used(table, DECODED).itertuples()
    tiles = [Tile(grey(_repeated(blocks[row.code])), (1, 1), label=_name(row)) for row in rows]
    return sheet(tiles, columns=16, width=54)


def exemplar_figure(table: pd.DataFrame, patches: Mapping[int, list[np.ndarray]]) -> bytes:
    """Real patches (side, side) in HU of the most common codes, up to four in a square each, from air to tissue.

    A yellow frame marks the voxels at the middle of a patch that the code itself stands for.
    """
    rows = [row for row in most_used(table, WITH_PATCHES).itertuples() if patches.get(row.code)]
    tiles = []
    for row in rows:
        own = [_framed(patch) for patch in patches[row.code]]
        square, frames = _square(patches[row.code], LUNG_WINDOW[0]), _square(own, 0) > 0
        tiles.append(Tile(grey(square), (1, 1), outline=frames, label=_name(row)))
    return sheet(tiles, columns=10, width=89)


def _name(row) -> str:
    return str(row.code) if row.used else f"({row.code})"


def _repeated(block: np.ndarray) -> np.ndarray:
    """The middle axial slice of a block (r, r, r), as large as a patch of a scan, (`PATCH` r, `PATCH` r)."""
    return np.tile(block[len(block) // 2], (PATCH, PATCH))


def _framed(patch: np.ndarray) -> np.ndarray:
    """1 at the voxels of the code's own position, 0 around them."""
    frame = np.zeros(patch.shape)
    size = len(patch) // PATCH
    middle = slice(PATCH // 2 * size, (PATCH // 2 + 1) * size)
    frame[middle, middle] = 1
    return frame


def _square(patches: list[np.ndarray], empty: float) -> np.ndarray:
    """Up to four patches of one size in two rows, `empty` between them and where there is none."""
    side = patches[0].shape[0]
    square = np.full((2 * side + GAP,) * 2, empty)
    for number, patch in enumerate(patches[:EXEMPLARS]):
        top, left = ((side + GAP) * place for place in divmod(number, 2))
        square[top : top + side, left : left + side] = patch
    return square
