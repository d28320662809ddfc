"""What the checks of headers share: when two numbers differ, and how it is said."""

from collections.abc import Iterable, Sequence

import numpy as np

from lung4d.io.status import UnusableScan

ROUNDING = 0.01  # of a length: what differs by less was rounded
OTHER_MODALITIES = set(
    ["MR", "PT", "PET", "NM", "SPECT", "US", "CR", "DX", "MG", "XA", "RF", "SEG", "RTSTRUCT", "RTDOSE"]
)


class DamagedVolume(UnusableScan):
    """A file that its format's reader cannot read."""


def damaged(name: str) -> DamagedVolume:
    return DamagedVolume(f"The file cannot be read as {name}: it is cut short or damaged; copy it again.")


def no_orientation(name: str, why: str) -> str:
    """The flag of a file whose header does not say where the patient's left is."""
    return f"The {name} header has no orientation ({why}): left and right may be swapped; look at the pictures."


def by(values: Iterable[float]) -> str:
    """Lengths in words: 0.7 x 0.7 x 2.5."""
    return " x ".join(f"{value:.4g}" for value in values)


def differ(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> bool:
    """Whether lengths differ by more than rounding; also where one of them is no number."""
    return len(first) != len(second) or not np.allclose(first, second, rtol=ROUNDING, atol=0)


def check_modality(told: object, where: str) -> None:
    """Raise UnusableScan where `told` names another kind of image than CT; words that name none are passed over."""
    word = str(told).strip().upper().removeprefix("MET_MOD_")
    if word in OTHER_MODALITIES:
        raise UnusableScan(f"{where} says that the images are {word}, not CT; give the CT, or correct it.")


def check_once(fields: Iterable[tuple[str, str]], name: str, synonyms: Iterable[tuple[str, ...]] = ()) -> None:
    """Raise UnusableScan where a field, or two that mean the same, stand twice in a header and differ."""
    meaning = {word: group[0] for group in synonyms for word in group}
    seen: dict[str, tuple[str, str]] = {}
    for field, value in fields:
        first, told = seen.setdefault(meaning.get(field, field), (field, value))
        if told.split() != value.split():
            twice = f"{field} twice" if field == first else f"{first} and {field}"
            raise UnusableScan(
                f"The {name} header has {twice}, with different values; which one is right cannot be known: "
                "correct the header."
            )
