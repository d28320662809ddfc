"""The usable scans of the split table: their order in time, the baselines, and where the files of each lie."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lung4d.io.names import LATENTS, LUNG_MASK, VOLUME, scan_file

Known = Mapping[tuple[str, str], Mapping[str, float]]
NOTHING: Known = {}


@dataclass(frozen=True)
class PreparedScan:
    """A usable scan as stage resample left it: files of its volume (int16 HU) and of its lung mask.

    years since baseline as the split table has them, and the set that the patient belongs to; site "" where that is
    not told.
    """

    subject: str
    session: str
    years: float
    split: str
    site: str
    volume: Path
    mask: Path

    @property
    def key(self) -> tuple[str, str]:
        return self.subject, self.session

    def beside(self, ending: str) -> Path:
        """Another file that stage resample left of the scan."""
        return scan_file(self.volume.parents[1], *self.key, ending)


@dataclass(frozen=True)
class EncodedScan(PreparedScan):
    """The same after stage extract_latents, with the file of its latents; `known`: numbers that are known of it."""

    latents: Path
    known: Mapping[str, float] = field(default_factory=dict)


def in_time_order(scans: pd.DataFrame) -> pd.DataFrame:
    """The rows (subject, years, session) of a table of scans by patient, each patient's in the order of time."""
    return scans.sort_values(["subject", "years", "session"])


def baselines(scans: Sequence[EncodedScan]) -> dict[str, EncodedScan]:
    """The baseline of every patient, by subject: the first of its scans, which are in the order of time."""
    return {scan.subject: scan for scan in reversed(scans)}


def prepared_scans(split: pd.DataFrame, resampled: str | Path) -> list[PreparedScan]:
    """The scans of the split table (subject, session, years, split, maybe site) in its order, with their files.

    resampled: the folder of stage resample. Raises FileNotFoundError naming the files that are not there.
    """
    scans = [
        PreparedScan(
            subject=row.subject,
            session=row.session,
            years=float(row.years),
            split=row.split,
            site=getattr(row, "site", "") or "",
            volume=scan_file(resampled, row.subject, row.session, VOLUME),
            mask=scan_file(resampled, row.subject, row.session, LUNG_MASK),
        )
        for row in split.itertuples()
    ]
    _check_there((scan, path) for scan in scans for path in (scan.volume, scan.mask))
    return scans


def encoded_scans(
    split: pd.DataFrame, resampled: str | Path, latents: str | Path, known: Known = NOTHING
) -> list[EncodedScan]:
    """As `prepared_scans`, with the latents in the folder of stage extract_latents; known: numbers by scan and name."""
    scans = [
        EncodedScan(**vars(scan), latents=scan_file(latents, *scan.key, LATENTS), known=known.get(scan.key, {}))
        for scan in prepared_scans(split, resampled)
    ]
    _check_there((scan, scan.latents) for scan in scans)
    return scans


def _check_there(files: Iterable[tuple[PreparedScan, Path]]) -> None:
    missing = [
        f"{path} is not there, though split.tsv has patient {scan.subject} session {scan.session}"
        for scan, path in files
        if not path.is_file()
    ]
    if missing:
        raise FileNotFoundError(f"{'; '.join(missing)}; run its stage again")
