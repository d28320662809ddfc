"""The visit that a patient's others are registered to: the first of them that can be used."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lung4d.io.atomic import DamagedFile, read_json, reading, write_json
from lung4d.io.records import as_data, as_record
from lung4d.io.status import Status


@dataclass(frozen=True)
class Baseline:
    """session: of the baseline, or None where no visit of the patient can be used. before: the sessions that come
    earlier and cannot be used. digest: stands for the baseline's files up to its lung mask (Status.digest).

    Nothing in it tells of later visits, so that it stays as it is when one is added.
    """

    session: str | None
    before: tuple[str, ...]
    digest: str


def choose_baseline(segmented: Iterable[tuple[str, Status]]) -> Baseline:
    """The baseline of a patient with these (session, status after segmentation), which are in the order of time."""
    before: list[str] = []
    for session, status in segmented:
        if status.ok and status.metrics.get("volume_ml") != 0:  # a mask without a voxel aligns nothing
            return Baseline(session, tuple(before), status.digest)
        before.append(session)
    return Baseline(None, tuple(before), "")


def write_baseline(baseline: Baseline, path: str | Path) -> None:
    write_json(as_data(baseline), path)


def read_baseline(path: str | Path) -> Baseline:
    """The baseline named at `path`; raises DamagedFile where the file names none."""
    with reading(path):
        return as_record(Baseline, read_json(path))


def named_session(path: str | Path) -> str | None:
    """The session that the file names, None where there is no such file, or none that can be read."""
    try:
        return read_baseline(path).session
    except (FileNotFoundError, DamagedFile):
        return None
