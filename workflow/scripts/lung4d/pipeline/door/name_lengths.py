"""Lengths of the names that a run will make of subjects and sessions: longer ones than the disk takes end it late."""

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path

from lung4d.io.names import forecast_stem

BEING_WRITTEN = f".tmp-{2**22}-"  # before a file is renamed: the highest number of a process (lung4d.io.atomic)
YEARS = -9999.0  # as long as any
OF_A_SCAN = "desc-reconstruction_ct.nii.gz", "from-baseline_to-native_xfm.nii.gz"  # the longest endings
LONGEST_STAGE = "results/generate_trajectories"
RECORDS = ".snakemake/incomplete"  # where Snakemake keeps a record a result, named by its path in base64
ARGUMENTS = 3 * 2**19  # bytes of a command line: Linux takes 2**21 with the environment


def longest_names(subject: str, sessions: list[str]) -> list[str]:
    """The longest names of files that a patient with these visits may have, on every grid and while being written."""
    longest = max(sessions, key=len)
    generated = f"{forecast_stem(subject, sessions, YEARS)}_space-{longest}_desc-generated_ct.nii.gz"
    return [BEING_WRITTEN + generated, *(f"{BEING_WRITTEN}sub-{subject}_ses-{longest}_{end}" for end in OF_A_SCAN)]


def check_lengths(visits: Mapping[str, list[str]], table: str, folder: Path) -> list[str]:
    """What is too long: file names of patients with these sessions, and paths below the working `folder`."""
    name_most, path_most = _limit(folder, "PC_NAME_MAX", 255), _limit(folder, "PC_PATH_MAX", 4096)
    home = len(os.fsencode(folder.resolve()))
    errors, paths = [], [0]
    for subject, sessions in visits.items():
        name = max(longest_names(subject, sessions), key=len)
        if len(name) > name_most:
            errors.append(
                f"{table}: patient {subject}: subject and {len(sessions)} sessions make file names of {len(name)} "
                f"bytes, and the disk takes {name_most}; shorten them by {len(name) - name_most}, as 01, 02, ..."
            )
        path = f"{LONGEST_STAGE}/sub-{subject}/{name}"
        paths += [home + 1 + len(path), home + 2 + len(f"{RECORDS}/@{urlsafe_b64encode(path.encode()).decode()}")]
    if home and (longest := max(paths)) >= path_most:
        errors.append(
            f"{folder.resolve()}: its name of {home} bytes makes paths of {longest}, and the system takes "
            f"{path_most - 1}; work in a folder nearer to the root, or shorten subjects and sessions"
        )
    return errors


def _limit(folder: Path, name: str, usual: int) -> int:
    try:
        limit = os.pathconf(folder, name)
    except (OSError, ValueError):
        return usual
    return limit if limit > 0 else usual


def check_commands(targets: Mapping[str, Iterable[str]], size: int) -> list[str]:
    """Whether a command line can name every result of a shard, which has `size` patients on average."""
    longest = max((sum(len(target) + 9 for target in named) for named in targets.values()), default=0)  # end, pointer
    if longest <= ARGUMENTS:
        return []
    return [
        f"config, shard is {size}: a job's results have names of {longest:,} bytes together, and a command line takes "
        f"{ARGUMENTS:,}; give {max(1, size * ARGUMENTS // longest)} or less"
    ]
