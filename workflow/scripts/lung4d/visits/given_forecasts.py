"""Forecasts that somebody else made, as a row of every table: volumes in a folder, HU on the patient's grid.

A file is named by whom it forecasts, from which visits and for which one, as forecast.tsv names them:
`sub-001_given-01+02_ses-03_ct.nii.gz`. A file for the last given visit, `sub-001_given-01+02_ses-02_ct.nii.gz`, is what
that method makes of that day, from which its change is counted; without it, the last scan stands for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from lung4d.io.atomic import reading
from lung4d.io.names import parse_name, volumes_below
from lung4d.io.volumes import open_volume, to_unit
from lung4d.visits.patient import PatientVisits
from lung4d.visits.tasks import forecast_tasks

GRID_TOLERANCE = 1e-2  # mm, of the corners

Asked = tuple[str, tuple[str, ...], str]  # subject, sessions of the given visits, session


@dataclass(frozen=True)
class GivenForecasts:
    """The files by what they forecast; `strangers` are names in the folder that forecast nothing."""

    files: Mapping[Asked, Path] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()

    def volume(self, given: PatientVisits, session: str) -> np.ndarray | None:
        """The forecast (D, H, W) on the unit scale of a visit from the given ones; None where there is none."""
        path = self.files.get((given.subject, given.sessions, session))
        return None if path is None else to_unit(open_volume(path), given.window)

    def volumes(self, given: PatientVisits, sessions: Iterable[str]) -> Iterator[tuple[int, np.ndarray]]:
        """Those that there are, as (index into `sessions`, volume)."""
        for index, session in enumerate(sessions):
            if (unit := self.volume(given, session)) is not None:
                yield index, unit


def read_given(folder: str | Path | None, patients: Iterable[PatientVisits]) -> GivenForecasts:
    """What a folder forecasts of the patients.

    Raises ValueError that names every file with another grid than its patient's, and every second file of a forecast.
    """
    known = {patient.subject: patient for patient in patients}
    files: dict[Asked, Path] = {}
    problems, strangers = [], []
    for path in volumes_below(folder):
        name = parse_name(path)
        if not {"sub", "given", "ses"} <= name.keys() or not _is_asked(name, known.get(name["sub"])):
            strangers.append(path.name)
            continue
        asked = name["sub"], tuple(name["given"].split("+")), name["ses"]
        if asked in files:
            problems.append(f"{path.name}: {files[asked].name} is a forecast of the same visit; leave one of them")
        elif problem := _grid_problem(path, known[name["sub"]].baseline.volume):
            problems.append(f"{path.name}: {problem}")
        files.setdefault(asked, path)
    if problems:
        raise ValueError("evaluate.forecasts:\n" + "\n".join(problems))
    return GivenForecasts(files, tuple(strangers))


def _is_asked(name: Mapping[str, str], patient: PatientVisits | None) -> bool:
    """Whether the evaluation asks for this forecast, or for what its method makes of a given visit."""
    if patient is None:
        return False
    given = tuple(name["given"].split("+"))
    tasks = forecast_tasks(len(patient))
    return (
        any(tuple(patient.sessions[i] for i in task.given) == given for task in tasks)
        and name["ses"] in patient.sessions
    )


def _grid_problem(path: Path, like: str | Path) -> str:
    """How the file's grid differs from the patient's, or ""."""
    with reading(path):
        image = nib.load(path)
    with reading(like):
        grid = nib.load(like)
    if image.shape != grid.shape:
        shape, wanted = ("x".join(map(str, one.shape[::-1])) for one in (image, grid))
        return f"has {shape} voxels, the patient's preprocessed ones have {wanted}; resample it to their grid"
    corners = np.array(np.meshgrid(*([0, size - 1] for size in grid.shape), indexing="ij")).reshape(3, -1)
    moved = (image.affine - grid.affine) @ np.vstack([corners, np.ones(corners.shape[1])])
    if np.abs(moved).max() > GRID_TOLERANCE:
        off = f"{np.abs(moved).max():.1f} mm"
        return f"lies up to {off} off the patient's preprocessed volumes; give it their affine"
    return ""
