"""Whether values are Hounsfield units, told from their distribution: both tails, the air, the tissue, the slices.

What is certain is mended, and said: signs lost in an unsigned export, and padding outside a round field of view. What
cannot be HU is refused. What may be, and is odd, is flagged. Dark padding, one value below -1100 HU, is air as ever.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from lung4d.convert.field_of_view import air_drift, corner_value, rim, room_air, round_padding
from lung4d.io.hounsfield import AIR
from lung4d.io.status import UnusableScan

HIGHEST_HU = 32767
HIGHEST_AIR = -300.0  # HU: a chest CT has values below this, whatever else it shows
LOWEST_TISSUE = -200.0  # and above this
HARD = 700.0  # HU: of bone the cortex alone
USUAL = (-1100.0, 4095.0)  # HU: noise in air, and the densest of 12 bits; metal lies above
PADDING = -32768.0  # HU: stands for what is not in the field of view, until it becomes air
BRIGHT_PADDING = -900.0  # HU: padding above this is not air, nor darker
LIMIT = 70_000  # HU, beyond which values are counted as this
ROOM_AIR = 50.0  # HU that the air of the room may differ from -1000
LEAST_AIR, LEAST_TISSUE = 0.005, 0.002  # of the voxels
MOST_HARD = 0.2  # bone's cortex is 1 to 3 % of a chest
MOST_DARK, FEW_DARK = 0.25, 0.02  # below USUAL: refused, flagged
MOST_BRIGHT, FEW_BRIGHT = 0.01, 0.001  # above USUAL: refused, flagged
CUT_SHARE = 0.001  # of voxels with the very highest or lowest value: others were cut off
CUT_ABOVE, CUT_BELOW = 2000.0, -990.0  # HU: no scanner ends its scale between these
JUMP = 600.0  # HU between the means of neighbouring slices
DARKEST = -1500.0  # HU: no noise in air goes below
LONGEST_BLANK = 3  # slices
SHOWN = 0.01  # of a slice's voxels that differ from the others, where it shows anything
AROUND, UNIFORM = 200.0, 80.0  # HU: from 0, and between the quartiles of what lies around an inverted body
LEAST_BODY = 0.15  # of the voxels
PICTURE_VALUES, PICTURE_VOXELS, PICTURE_RANGE = (64, 256), 100_000, 1000.0  # of 8 bits stretched to HU


@dataclass(frozen=True)
class Census:
    """Voxels by their HU, from -LIMIT on, without padding; how many hold one dark value that is not round padding and
    may be all the air there is; the mean of each slice (NaN where it is empty)."""

    counts: np.ndarray
    dark: int
    means: np.ndarray

    @property
    def ends(self) -> tuple[float, float]:
        found = np.flatnonzero(self.counts)
        return float(found[0] - LIMIT), float(found[-1] - LIMIT)

    def share(self, low: float = -LIMIT, high: float = LIMIT) -> float:
        """Of the voxels from `low` to `high` HU, both included."""
        part = self.counts[int(np.ceil(low)) + LIMIT : int(np.floor(high)) + LIMIT + 1]
        return float(part.sum() / max(self.counts.sum(), 1))

    @property
    def air(self) -> float:
        """Share of air among all that is not round padding."""
        air = self.counts[: int(HIGHEST_AIR) + LIMIT].sum() + self.dark
        return float(air / max(self.counts.sum() + self.dark, 1))


def plausible_hu(image: sitk.Image) -> tuple[sitk.Image, list[str]]:
    """Rounded to int16 HU, clipped to >= -1024 and without metadata, of an axial `image`, and flags.

    Raises UnusableScan for values that are not finite, or that cannot be HU.
    """
    flags: list[str] = []
    spacing = image.GetSpacing()[:2]
    values = _finite(sitk.GetArrayViewFromImage(image), spacing, flags)
    if values.min() == values.max():
        raise UnusableScan(f"Every voxel has the same value, {values.min():g}; export the scan again.")
    values = _signed(values, flags)
    values, ring = _without_round_padding(values, spacing, flags)
    census = _census(values, *ring)
    if not census.counts.any():
        raise UnusableScan("The scan holds nothing but padding; export the scan again.")
    _check(census, values)
    flags += [*_blank_slices(values), *_scattered(values), *_oddities(census, values)]
    clipped = np.clip(values, AIR, HIGHEST_HU)
    hu = sitk.GetImageFromArray((np.rint(clipped) if values.dtype.kind == "f" else clipped).astype(np.int16))
    hu.CopyInformation(image)  # geometry only: the metadata dictionary, where names hide, stays behind
    return hu, flags


def _percent(share: float) -> str:
    return f"{100 * share:.1f} % of the voxels"


def _finite(values: np.ndarray, spacing: tuple[float, float], flags: list[str]) -> np.ndarray:
    """`values` with padding where they are not finite outside a circle; raises UnusableScan for such ones elsewhere."""
    if values.dtype.kind != "f" or (finite := np.isfinite(values)).all():
        return values
    bad = int((~finite).sum())
    columns = round_padding(values, np.nan, spacing)
    if columns is None or not finite[:, ~columns].all():
        raise UnusableScan(f"{bad} voxels are not finite numbers; export the scan again.")
    flags.append(f"Nothing outside a circle is a number ({_percent(bad / values.size)}): taken as padding, made air.")
    return np.where(finite, values, values.dtype.type(PADDING))


def _signed(values: np.ndarray, flags: list[str]) -> np.ndarray:
    """`values` with the signs that an unsigned export of 16 or 32 bits lost: no other HU lies above 32767."""
    top = values.max()
    bits = next((bits for bits in (16, 32) if 2 ** (bits - 1) <= top < 2**bits), None)
    exact = values.dtype.kind != "f" or values.dtype.itemsize == 8 or bits == 16
    if bits is None or not exact:
        return values
    wrapped = values >= 2 ** (bits - 1)
    if values.dtype.kind == "f" and (values[wrapped] % 1).any():
        return values
    flags.append(f"The sign of negative values was lost in the export ({_percent(wrapped.mean())}); it was put back.")
    wide = values if values.dtype.kind == "f" else values.astype(np.int64 if bits == 32 else np.int32)
    return np.where(wrapped, wide - 2**bits, wide)


def _without_round_padding(
    values: np.ndarray, spacing: tuple[float, float], flags: list[str]
) -> tuple[np.ndarray, tuple[float, int]]:
    """`values` with round padding that is not air made dark; its value now, and the number of its voxels."""
    value, share = corner_value(values)
    if share < 0.5:
        return values, (0.0, 0)
    columns = round_padding(values, value, spacing)
    if columns is None:
        if share == 1 and BRIGHT_PADDING < value <= USUAL[1]:
            flags.append(f"All corners of the slices hold {value:g} HU, which is not air: padding, left as it is.")
        return values, (0.0, 0)
    ring = (values == value) & columns
    if value <= BRIGHT_PADDING:
        return values, (value, int(ring.sum()))
    flags.append(f"All outside a circle is {value:g} HU ({_percent(ring.mean())}): taken as padding, made air.")
    wide = values if values.dtype.kind == "f" else values.astype(np.int32)
    return np.where(ring, wide.dtype.type(PADDING), wide), (PADDING, int(ring.sum()))


def _census(values: np.ndarray, padding: float, ring: int) -> Census:
    """Counted slice by slice, without the `ring` of so many voxels of `padding`, and without the commonest value below
    -1100 HU."""
    counts, means = np.zeros(2 * LIMIT + 1, np.int64), np.full(len(values), np.nan)
    for index, plane in enumerate(values):
        whole = np.rint(plane) if plane.dtype.kind == "f" else plane.astype(np.int64)
        whole = np.clip(whole, -LIMIT, LIMIT).astype(np.int64)
        counts += np.bincount(whole.ravel() + LIMIT, minlength=len(counts))
        if whole.min() < whole.max() and (shown := np.clip(whole, AIR, USUAL[1])).mean() > -990:
            means[index] = shown.mean()
    counts[int(np.clip(np.rint(padding), -LIMIT, LIMIT)) + LIMIT] -= ring
    commonest = counts[: int(USUAL[0]) + LIMIT].argmax()
    dark, counts[commonest] = int(counts[commonest]), 0
    return Census(counts, dark, means)


def _check(census: Census, values: np.ndarray) -> None:
    """Raise UnusableScan for a distribution that no chest has in HU."""
    again = "export the scan again."
    if (air := census.air) < LEAST_AIR:
        exact = (float(values.min()), float(values.max()))
        low, high = (e if round(e) == c else c for e, c in zip(exact, census.ends, strict=True))
        raise UnusableScan(
            f"The values lie between {low:g} and {high:g}, with {'hardly any' if air else 'no'} air: they are not "
            f"Hounsfield units. Apply the rescale slope and intercept and {again}"
        )
    means = census.means[~np.isnan(census.means)]
    if len(means) > 1 and (jump := np.abs(np.diff(means)).max()) > JUMP:
        raise UnusableScan(
            f"The values jump by {jump:.0f} HU from a slice to the next: not all have the same rescale; {again}"
        )
    if (dark := census.share(high=USUAL[0] - 1)) > MOST_DARK:
        raise UnusableScan(
            f"{_percent(dark)} lie below {USUAL[0]:g} HU, where not even air is: the rescale was applied twice, "
            f"the values are scaled, or bytes are swapped; {again}"
        )
    if (bright := census.share(low=USUAL[1] + 1)) > MOST_BRIGHT:
        raise UnusableScan(
            f"{_percent(bright)} lie above {USUAL[1]:g} HU, where metal alone is: padding that is not round, or "
            f"swapped bytes; {again}"
        )
    if (hard := census.share(low=HARD)) > MOST_HARD:
        raise UnusableScan(
            f"{_percent(hard)} lie above {HARD:g} HU, as hard bone does: the values are shifted, scaled or "
            f"inverted; {again}"
        )
    low, middle, high = np.percentile(rim(values), [25, 50, 75])
    if abs(middle) < AROUND and 0 < high - low < UNIFORM and census.share(high=CUT_BELOW + 40) > LEAST_BODY:
        raise UnusableScan(f"What lies around the body measures {middle:.0f} HU: the values are inverted; {again}")
    if (tissue := census.share(low=LOWEST_TISSUE)) < LEAST_TISSUE:
        raise UnusableScan(
            f"Only {_percent(tissue)} lie above {LOWEST_TISSUE:g} HU, as tissue does: the values are shifted or "
            f"scaled; {again}"
        )


def _blank_slices(values: np.ndarray) -> list[str]:
    """A flag where slices between others hold one value, but for a few voxels; raises UnusableScan where many do one
    after another."""
    shown = np.flatnonzero([np.mean(plane != np.median(plane)) > SHOWN for plane in values])
    gaps = np.diff(shown) - 1
    if not gaps.any():
        return []
    if (longest := int(gaps.max())) > LONGEST_BLANK:
        raise UnusableScan(f"{longest} slices within the scan hold one value alone; export the scan again.")
    return [f"Slices within the scan that hold one value alone: {gaps.sum()}; they show nothing."]


def _scattered(values: np.ndarray) -> list[str]:
    """A flag where voxels far darker than air lie alone in their rows, as no padding does; raises UnusableScan where
    many do."""
    alone = 0
    for plane in values:
        brighter = np.pad(plane > USUAL[0], ((0, 0), (1, 1)))
        alone += int(np.count_nonzero((plane < DARKEST) & brighter[:, :-2] & brighter[:, 2:]))
    if (share := alone / values.size) > MOST_BRIGHT:
        raise UnusableScan(f"{_percent(share)} are single ones below {DARKEST:g} HU: damage; export the scan again.")
    return [f"{_percent(share)} are single ones below {DARKEST:g} HU: damage."] if share > FEW_BRIGHT else []


def _oddities(census: Census, values: np.ndarray) -> list[str]:
    """Flags of a distribution that may be a chest's."""
    flags, (low, high) = [], census.ends
    if (dark := census.share(high=USUAL[0] - 1)) > FEW_DARK:
        flags.append(f"{_percent(dark)} lie below {USUAL[0]:g} HU, darker than air.")
    if (bright := census.share(low=USUAL[1] + 1)) > FEW_BRIGHT:
        flags.append(f"{_percent(bright)} lie above {USUAL[1]:g} HU: metal, or damage.")
    if high < CUT_ABOVE and (share := census.share(low=high)) > CUT_SHARE:
        flags.append(f"{_percent(share)} hold the highest value, {high:g} HU: denser ones were cut off (a window?).")
    if low > CUT_BELOW and (share := census.share(high=low)) > CUT_SHARE:
        flags.append(f"{_percent(share)} hold the lowest value, {low:g} HU: emptier ones were cut off (a window?).")
    fewest, most = PICTURE_VALUES
    voxels, different = census.counts.sum(), np.count_nonzero(census.counts)
    if fewest < different <= most and voxels > PICTURE_VOXELS and high - low > PICTURE_RANGE:
        flags.append(f"The scan holds only {different} different values: was it a picture of 8 bits?")
    if (drift := air_drift(values)) > 2 * ROOM_AIR:
        flags.append(f"The air around the body differs by {drift:.0f} HU between slices: not all have one rescale.")
    air = room_air(values)
    if air is not None and abs(air + 1000) > ROOM_AIR:
        flags.append(f"The air around the body measures {air:.0f} HU and not -1000: the rescale is not right.")
    return flags
