"""Do the headers of a patient's scans name one person? Told by keyed hashes in `private/`, so that no result names any.

`convert` leaves the hashes of a scan; where they or their key are lost the answer is "unknown". They are no inputs and
no outputs of a rule: nothing runs again for their sake.
"""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from lung4d.convert.patient_headers import contradiction, odd_ones
from lung4d.io.atomic import DamagedFile, read_json, write_json
from lung4d.pipeline.private import PRIVATE, read_key

FLAG = "The headers of this patient's scans do not name one person: look whose scan this is."
Scan = tuple[str, str]


def leave_hashes(folder: Path, scan: Any, person: Mapping[str, str]) -> bool:
    """Leave hashes of the person that the headers of `scan` (with subject and session, as a job's wildcards) name,
    instead of older ones; False where there is no key for them, or no room."""
    key = read_key(folder)
    if key is None:
        return False
    record = {"key": _hash(key, "key", ""), **{field: _hash(key, field, value) for field, value in person.items()}}
    try:
        write_json(record, _file(folder, (scan.subject, scan.session)))
    except OSError:
        return False
    return True


def compare_hashes(folder: Path, scans: Iterable[Scan]) -> dict[Scan, str]:
    """For each (subject, session) agree, disagree, or unknown, as to the other scans of the same patient."""
    patients: dict[str, list[Scan]] = defaultdict(list)
    for scan in scans:
        patients[scan[0]].append(scan)
    key = read_key(folder)
    return {scan: word for of_patient in patients.values() for scan, word in _compare(folder, key, of_patient).items()}


def with_identity(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The quality table with a column `identity` (agree, disagree, unknown), and a flag where headers disagree."""
    scans = list(zip(table["subject"], table["session"], strict=True))
    told = compare_hashes(folder, scans)
    table = table.assign(identity=[told[scan] for scan in scans])
    odd = table["identity"] == "disagree"
    table.loc[odd, "flags"] = (table.loc[odd, "flags"] + f" {FLAG}").str.strip()
    return table


def _compare(folder: Path, key: bytes | None, scans: list[Scan]) -> dict[Scan, str]:
    people = [_read(folder, scan, key) for scan in scans]
    words = {}
    for scan, person, odd in zip(scans, people, odd_ones(people), strict=True):
        others = [other for other in people if other is not person and other.keys() & person.keys()]
        if odd:
            words[scan] = "disagree"
        else:
            words[scan] = "agree" if any(not contradiction(person, other) for other in others) else "unknown"
    return words


def _read(folder: Path, scan: Scan, key: bytes | None) -> dict[str, str]:
    """The hashes of a scan by field; none where they are lost or of another key."""
    record: dict[str, str] = {}
    with suppress(OSError, DamagedFile):
        record = read_json(_file(folder, scan))
    if key is None or record.pop("key", None) != _hash(key, "key", ""):
        return {}
    return record


def _file(folder: Path, scan: Scan) -> Path:
    return folder / PRIVATE / "identity" / f"sub-{scan[0]}_ses-{scan[1]}.json"


def _hash(key: bytes, field: str, value: str) -> str:
    return hmac.new(key, f"{field}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
