"""The visit that a patient's others are registered to: the first of them that can be used."""

from collections.abc import Iterable
from dataclasses import dataclass

from lung4d.io.status import Status


@dataclass(frozen=True)
class Baseline:
    """session: of the baseline, or None where no visit of the patient can be used. before: the sessions that come
    earlier and cannot be used."""

    session: str | None
    before: tuple[str, ...]


def choose_baseline(segmented: Iterable[tuple[str, Status]]) -> Baseline:
    """The baseline of a patient with these (session, status after segmentation), which are in the order of time.

    It is the same for all visits of the patient that come with it or later.
    """
    before: list[str] = []
    for session, status in segmented:
        if status.ok and status.metrics.get("volume_ml") != 0:  # a mask without a voxel aligns nothing
            return Baseline(session, tuple(before))
        before.append(session)
    return Baseline(None, tuple(before))
