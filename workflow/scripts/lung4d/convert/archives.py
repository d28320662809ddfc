"""What strangers put files in: zips, of which no path leaves the folder and no bomb fills the disk, and folders."""

import errno
import os
import zipfile
import zlib
from pathlib import Path

from lung4d.io.status import UnusableScan

MOST_BYTES = 8 * 2**30  # unpacked
MOST_ENTRIES = 20_000
# A file where another entry needs a folder, or a name that no disk takes.
BAD_NAMES = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


def unpack(archive: Path, folder: Path, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES) -> None:
    """Unpack `archive` into `folder`; raises UnusableScan for a damaged, encrypted, escaping or outsized zip.

    Entries are checked by their names before anything is written, and by the bytes really unpacked while writing.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            entries = [entry for entry in bundle.infolist() if not entry.is_dir()]
            if len(entries) > most_entries:
                raise UnusableScan(f"The zip holds {len(entries)} files; at most {most_entries} are unpacked.")
            for entry in entries:
                _check(entry, folder)
            left = most_bytes
            for entry in entries:
                left = _extract(bundle, entry, folder, left)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno not in {None, *BAD_NAMES}:
            raise  # a full disk is the machine's fault, not the scan's
        raise UnusableScan("The zip is damaged or uses an unknown compression; make it again.") from None


def _check(entry: zipfile.ZipInfo, folder: Path) -> None:
    name = entry.filename.replace("\\", "/")
    target = (folder / name).resolve()
    if name.startswith("/") or ":" in name.split("/")[0] or not target.is_relative_to(folder.resolve()):
        raise UnusableScan("The zip holds a path that leads out of its folder; it was not unpacked.")
    if (entry.external_attr >> 16) & 0o170000 == 0o120000:
        raise UnusableScan("The zip holds a symbolic link; zip the files that it leads to.")
    if entry.flag_bits & 0x1:
        raise UnusableScan("The zip is encrypted; unpack it first.")


def _extract(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, left: int) -> int:
    """Write one entry in chunks and return how many bytes may still be written."""
    target = folder / entry.filename.replace("\\", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    with bundle.open(entry) as source, target.open("wb") as sink:
        while chunk := source.read(2**20):
            left -= len(chunk)
            if left < 0:
                raise UnusableScan("The zip unpacks to more than its limit; give a folder instead.")
            sink.write(chunk)
    return left


def files_below(folder: Path) -> tuple[list[Path], int]:
    """All files below `folder` by name, and how many links lead nowhere.

    Links to files and folders are followed, except back into a folder that was entered or that holds `folder`. A file
    that is reached in two ways counts once. Raises OSError where a folder cannot be read.
    """
    root = Path(os.path.realpath(folder))  # Path.resolve() raises where a link leads to itself
    entered, waiting = {root}, [(folder, root)]
    files: dict[Path, Path] = {}
    dead = 0
    while waiting:
        place, real_place = waiting.pop()
        for path in sorted(place.iterdir()):
            real = Path(os.path.realpath(path)) if path.is_symlink() else real_place / path.name
            if path.is_dir():
                if real not in entered and not root.is_relative_to(real):
                    entered.add(real)
                    waiting.append((path, real))
            elif path.is_file():
                files.setdefault(real, path)
            elif not path.exists():
                dead += 1
    return sorted(files.values()), dead
