"""Volume files of a tree: which is a scan, which is a mask and of which scan, from headers and names alone."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from lung4d.convert.read import FEWEST_SLICES, WIDEST_SPACING
from lung4d.convert.volumes.names import sidecar_path, volume_suffix

FORMATS = {
    ".nii": ("NIfTI", ""),
    ".nii.gz": ("NIfTI", ""),
    ".mha": ("MetaImage", "MetaImageIO"),
    ".mhd": ("MetaImage", "MetaImageIO"),
    ".nrrd": ("NRRD", "NrrdImageIO"),
    ".nhdr": ("NRRD", "NrrdImageIO"),
}
FEWEST_VOXELS = 32  # along the sides of a slice
MASK_WORD = re.compile(r"mask|masq|masc|m[aá]sc|seg|label|roi|contour|annot", re.IGNORECASE)
# LUNG1-001 is a patient of a data set.
LUNG_WORD = re.compile(r"(?:lung|pulm|poumon|polmon)(?![ _-]?\d)", re.IGNORECASE)
# A mask of these is no mask of the lungs, whatever else its name says.
PART_WORD = re.compile(
    r"nodul|tumou?r|lesion|vessel|airway|trach|bronch|lobe|lobul|fissur|left|right|gtv|emphys|fibros|heart|no.?lung",
    re.IGNORECASE,
)
LUNG_OR_KERNEL = "its name says lung, and it has the grid of another scan: a mask, or the scan by another kernel"
NARROW = {sitk.sitkUInt8, sitk.sitkInt8}
UNSIGNED = {sitk.sitkUInt16, sitk.sitkUInt32, sitk.sitkUInt64}


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """Path in the tree, size (x, y, z), affine of the grid (mm, LPS), kind of its values; `problem` where it is no
    scan that could be used."""

    path: str
    size: tuple[int, ...] = ()
    affine: np.ndarray | None = None
    pixel: int = 0
    problem: str = ""

    def on_grid_of(self, other: "VolumeHeader") -> bool:
        if self.affine is None or other.affine is None or self.size != other.size:
            return False
        return bool(np.allclose(self.affine, other.affine, atol=0.01))


@dataclass(frozen=True)
class TreeScan:
    """A scan of a visit, with the mask of its lungs where there is one."""

    path: str
    mask: str


@dataclass(frozen=True)
class VisitVolumes:
    """The scans of a visit's volume files, and what each of the others is, in a sentence."""

    scans: list[TreeScan]
    others: dict[str, str]


def volumes_of_visit(root: Path, paths: list[str]) -> VisitVolumes:
    """Scans and masks among volume files that belong together, from their headers."""
    headers = [read_volume_header(root, path) for path in paths]
    others = {header.path: header.problem for header in headers if header.problem}
    usable = [header for header in headers if not header.problem]
    labels = [header for header in usable if _is_label(header, usable)]
    scans = [header for header in usable if header not in labels]
    doubtful = [header for header in scans if _is_lung_of(header, scans)]
    others |= {header.path: LUNG_OR_KERNEL for header in doubtful}
    scans = [header for header in scans if header not in doubtful]
    masks: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        scan = _scan_of(label, scans) if LUNG_WORD.search(_name(label)) and not PART_WORD.search(_name(label)) else None
        if scan is None:
            others[label.path] = "it looks like a mask or labels, and it does not say that it is that of a scan's lungs"
        else:
            masks[scan.path].append(label.path)
    found = []
    for scan in scans:
        of_scan = masks[scan.path]
        if len(of_scan) > 1:
            others |= dict.fromkeys(of_scan, "the scan has several masks whose names say lung")
        found.append(TreeScan(scan.path, of_scan[0] if len(of_scan) == 1 else ""))
    return VisitVolumes(found, others)


def thinnest_first(root: Path, scans: list[TreeScan]) -> list[TreeScan]:
    """Scans in the order of their slices' distance, then of their number of slices, most first."""

    def rank(scan: TreeScan) -> tuple[float, int]:
        header = read_volume_header(root, scan.path)
        assert header.affine is not None  # it was read before
        return round(float(np.linalg.norm(header.affine[:3, 2])), 1), -header.size[2]

    return sorted(scans, key=rank)


def read_volume_header(root: Path, path: str) -> VolumeHeader:
    """The header alone of a NIfTI, NRRD or MetaImage file."""
    name, reader = FORMATS[volume_suffix(Path(path)) or ""]
    try:
        if not reader:
            size, affine, pixel = _nifti(root / path)
        else:
            detached_data(root, path)
            size, affine, pixel = _itk(root / path, reader)
    except Exception:  # damage has many forms
        return VolumeHeader(path, problem=f"it cannot be read as {name}")
    return VolumeHeader(path, size, affine, pixel, _problem(size, affine))


def _problem(size: tuple[int, ...], affine: np.ndarray) -> str:
    if len(size) != 3:
        return "it holds no single volume"
    if size[2] < FEWEST_SLICES or min(size[:2]) < FEWEST_VOXELS:
        return f"it has only {size[0]} x {size[1]} x {size[2]} voxels"
    if not np.isfinite(affine).all() or np.linalg.norm(affine[:3, :3], axis=0).max() > WIDEST_SPACING:
        return f"its voxels are more than {WIDEST_SPACING:g} mm apart"
    return ""


def _nifti(path: Path) -> tuple[tuple[int, ...], np.ndarray, int]:
    file = nib.load(path)
    size = tuple(int(side) for side in file.shape)
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    kind = file.header.get_data_dtype()
    slope, intercept = file.header.get_slope_inter()
    plain = slope in (None, 1.0) and intercept in (None, 0.0)
    pixel = {"uint8": sitk.sitkUInt8, "int8": sitk.sitkInt8, "uint16": sitk.sitkUInt16}.get(kind.name, sitk.sitkInt16)
    return size, np.diag([-1.0, -1, 1, 1]) @ file.affine, pixel if plain else sitk.sitkInt16


def _itk(path: Path, reader: str) -> tuple[tuple[int, ...], np.ndarray, int]:
    file = sitk.ImageFileReader()
    file.SetFileName(str(path))
    file.SetImageIO(reader)
    file.ReadImageInformation()
    if file.GetNumberOfComponents() != 1:
        return (), np.eye(4), 0
    count, size = file.GetDimension(), tuple(file.GetSize())
    if count == 4 and size[3] == 1:
        size = size[:3]
    affine = np.eye(4)
    direction = np.array(file.GetDirection()).reshape(count, count)[:3, :3]
    affine[: len(direction), : len(direction)] = direction * np.array(file.GetSpacing()[:3])
    affine[: len(direction), 3] = file.GetOrigin()[:3]
    return size, affine, file.GetPixelID()


def _name(header: VolumeHeader) -> str:
    return PurePosixPath(header.path).name


def _is_label(header: VolumeHeader, usable: list[VolumeHeader]) -> bool:
    """A mask says so, has values of 8 bits, or of 16 without sign beside a scan on its grid that has one."""
    if MASK_WORD.search(_name(header)) or header.pixel in NARROW:
        return True
    signed = [other for other in usable if other.pixel not in NARROW | UNSIGNED]
    return header.pixel in UNSIGNED and any(header.on_grid_of(other) for other in signed)


def _is_lung_of(header: VolumeHeader, scans: list[VolumeHeader]) -> bool:
    """Whether its name says lung, and it lies on the grid of a scan whose name does not."""
    if not LUNG_WORD.search(_name(header)):
        return False
    return any(header.on_grid_of(other) and not LUNG_WORD.search(_name(other)) for other in scans)


def _scan_of(label: VolumeHeader, scans: list[VolumeHeader]) -> VolumeHeader | None:
    """The one scan whose grid a mask has; of several that with the mask's name without its last words."""
    found = [scan for scan in scans if scan.on_grid_of(label)]
    if len(found) > 1:
        found = [scan for scan in found if _name(label).startswith(_name(scan).split(".")[0])]
    return found[0] if len(found) == 1 else None


# Files that belong together


def links_of_volume(root: Path, path: str) -> tuple[dict[str, str], dict[str, str]]:
    """Under which name each file that reading the volume at `path` takes is to be linked, and small files that are to
    be written instead: a header whose voxels are in a file of their own names that file's link."""
    links, texts = {}, {}
    name = f"ct{volume_suffix(Path(path))}"
    detached = detached_data(root, path)
    if detached is None:
        links[name] = path
    else:
        data, before, after = detached
        link = f"ct-data{PurePosixPath(data).suffix.lower()}"
        links[link], texts[name] = data, f"{before}{link}{after}"
    sidecar = sidecar_path(Path(path))
    if (root / sidecar).is_file():
        links["ct.json"] = sidecar.as_posix()
    return links, texts


DATA_LINE = re.compile(r"^(ElementDataFile\s*=\s*|data ?file\s*:\s*)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def detached_data(root: Path, path: str) -> tuple[str, str, str] | None:
    """Where a header (.mhd, .nhdr) has its voxels in another file: that file's path in the tree, and the header's text
    before and after its name; else None. Raises ValueError where there is no such file, or more than one."""
    if not path.lower().endswith((".mhd", ".nhdr")):
        return None
    text = (root / path).read_bytes()[:100_000].decode("latin-1")
    match = DATA_LINE.search(text)
    named = match[2].strip() if match else ""
    if not match or named.upper() == "LOCAL":
        return None
    data = (PurePosixPath(path).parent / named).as_posix()
    if named.upper().startswith("LIST") or "%" in named or not (root / data).is_file():
        raise ValueError("the voxels are not in one file")
    return data, text[: match.start(2)], text[match.end(2) :]
