"""Which series of a study is the lung scan, by the rule of `dicom_choice`, and why each of the others is not."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from lung4d.convert.dicom.choice import choose_series
from lung4d.convert.tree.headers import Image, in_processes, slices_of_images
from lung4d.io.status import UnusableScan

TAKEN = "taken: the lung series of the study"
NOT_PREFERRED = "it could be taken; the rule prefers another series of the study"
NO_PLACE = "no image with a position and a pixel size"


@dataclass(frozen=True)
class TreeSeries:
    """The images of a series, whether it was taken (in part, too), and why or why not."""

    images: list[Image]
    taken: bool
    why: str


def lung_series(studies: list[list[Image]], processes: int) -> Iterator[tuple[list[Image], list[TreeSeries]]]:
    """For the images of each study those of its lung scan, none where there is none, and all its series."""
    for images, (chosen, series) in zip(studies, in_processes(_choose, studies, processes), strict=True):
        yield (
            [images[number] for number in chosen],
            [TreeSeries([images[number] for number in group], taken, why) for group, taken, why in series],
        )


def _choose(images: list[Image]) -> tuple[list[int], list[tuple[list[int], bool, str]]]:
    """The same of one study, with the numbers of images in place of them."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        groups[_series_of(image)].append(number)
    chosen, refusal = _chosen(images, list(range(len(images))))
    taken, series = set(chosen), []
    for group in groups.values():
        if taken & set(group):
            series.append((group, True, TAKEN))
        else:
            alone, why = _chosen(images, group) if len(groups) > 1 else ([], refusal)
            series.append((group, False, NOT_PREFERRED if alone and chosen else why or refusal))
    return chosen, series


def _series_of(image: Image) -> str:
    shared = image.shared
    return shared.get("SeriesInstanceUID") or f"{shared.get('SeriesNumber')} {shared.get('SeriesDescription')}"


def _chosen(images: list[Image], numbers: list[int]) -> tuple[list[int], str]:
    """What the rule takes of the images with these numbers, or none and its sentence."""
    slices = slices_of_images([images[number] for number in numbers])
    if not slices:
        return [], NO_PLACE
    try:
        chosen, _ = choose_series(slices)
    except UnusableScan as refusal:
        return [], str(refusal)
    number_of = {id(images[number]): number for number in numbers}
    return [number_of[id(item.header.image)] for item in chosen], ""
