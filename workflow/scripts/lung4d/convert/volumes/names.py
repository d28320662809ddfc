"""Volume files by their names, and the files that belong to one."""

from pathlib import Path

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
VOXEL_SUFFIXES = (".raw", ".zraw", ".raw.gz")  # of the voxels beside a header of their own


def volume_suffix(path: Path) -> str | None:
    """The suffix of a volume format, None for other names (a `.gz` alone is none)."""
    return next((suffix for suffix in VOLUME_SUFFIXES if path.name.lower().endswith(suffix)), None)


def sidecar_path(path: Path) -> Path:
    """Where the JSON sidecar of the volume file at `path` is, if it has one."""
    return path.with_name(path.name[: len(path.name) - len(volume_suffix(path) or "")] + ".json")


def companions(path: str) -> list[str]:
    """The files beside the volume file at `path` that its reading depends on: its sidecar, and voxels of their own."""
    suffix = volume_suffix(Path(path))
    if suffix is None or not Path(path).is_file():
        return []
    stem = path[: -len(suffix)]
    others = VOXEL_SUFFIXES if suffix in (".mhd", ".nhdr") else ()
    return [stem + other for other in (".json", *others) if Path(stem + other).is_file()]
