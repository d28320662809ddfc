"""Which series of a study is the lung scan, by the rule of `dicom_choice`, and why each of the others is not."""

from collections import defaultdict
from dataclasses import dataclass

from lung4d.convert.dicom.choice import choose_series
from lung4d.convert.tree.headers import Image, slices_of_images
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


def lung_series(images: list[Image]) -> tuple[list[Image], list[TreeSeries]]:
    """Of a study's images those of its lung scan, none where there is none, and all its series."""
    groups: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        groups[_series_of(image)].append(image)
    chosen, refusal = _chosen(images)
    taken, series = set(map(id, chosen)), []
    for group in groups.values():
        if not taken.isdisjoint(map(id, group)):
            series.append(TreeSeries(group, True, TAKEN))
        else:
            alone, why = _chosen(group) if len(groups) > 1 else ([], refusal)
            series.append(TreeSeries(group, False, NOT_PREFERRED if alone and chosen else why or refusal))
    return chosen, series


def _series_of(image: Image) -> str:
    shared = image.shared
    return shared.get("SeriesInstanceUID") or f"{shared.get('SeriesNumber')} {shared.get('SeriesDescription')}"


def _chosen(images: list[Image]) -> tuple[list[Image], str]:
    """What the rule takes of the images, or none and its sentence."""
    slices = slices_of_images(images)
    if not slices:
        return [], NO_PLACE
    try:
        chosen, _ = choose_series(slices)
    except UnusableScan as refusal:
        return [], str(refusal)
    return [item.header.image for item in chosen], ""
