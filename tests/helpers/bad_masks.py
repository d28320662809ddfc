"""Lung masks as users really have them, and what each must give: the cases of test_given_masks.py.

Each is made from the scan and the true labels (1 right, 2 left) of `thorax_phantom.thorax`; a handled one must give
these labels again, with exactly the flags named here, a refused one a sentence that begins as here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

SOFT = "The mask given holds values between lung and not lung: from {} on, they count as lung."


@dataclass(frozen=True)
class MaskCase:
    """`words` for the table; `write` makes the mask in a folder from scan and labels and returns its path; `handled`
    says how, or `refused` is the start of the sentence. `near` where some voxels on the surface may differ."""

    words: str
    write: Callable[[Path, sitk.Image, np.ndarray], Path]
    handled: str = ""
    refused: str = ""
    flags: tuple[str, ...] = ()
    near: bool = False


MASKS: list[MaskCase] = []


def mask_case(words: str, **expected):
    """Add the decorated function of scan and labels to MASKS; it may return an array on the scan's grid, or a path."""

    def add(make):
        def write(folder: Path, scan: sitk.Image, truth: np.ndarray) -> Path:
            made = make(folder, scan, truth)
            return made if isinstance(made, Path) else on_grid(made, scan, folder / "mask.nii.gz")

        write.__name__ = make.__name__
        MASKS.append(MaskCase(words, write, **expected))
        return make

    return add


def on_grid(array: np.ndarray, scan: sitk.Image, path: Path) -> Path:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(scan)
    sitk.WriteImage(image, str(path))
    return path


def distances(truth: np.ndarray) -> np.ndarray:
    """Signed distance to the lungs' surface, voxels, above 0 inside."""
    inside = truth > 0
    return ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)


def aerated(scan: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(scan) < -500


def body(scan: sitk.Image) -> np.ndarray:
    """Lungs and tissue: all that the air around does not reach."""
    outside, _ = ndimage.label(np.pad(sitk.GetArrayFromImage(scan) < -300, ((0, 0), (1, 1), (1, 1)), constant_values=1))
    return outside[:, 1:-1, 1:-1] != outside[0, 0, 0]


@mask_case("-1 where no lung is", handled="below 0 is no lung")
def minus_one(folder, scan, truth):
    return np.where(truth > 0, 1, -1).astype(np.int16)


@mask_case("-1000 where no lung is, 1 right and 2 left", handled="below 0 is no lung")
def far_below(folder, scan, truth):
    return np.where(truth > 0, truth.astype(np.int16), -1000)


@mask_case("signed distances in mm", handled="above 0 is lung")
def signed_distances(folder, scan, truth):
    return (4.0 * distances(truth) - np.where(truth > 0, 0.1, -0.1)).astype(np.float32)


@mask_case("signed distances in whole mm", handled="above 0 is lung")
def whole_distances(folder, scan, truth):
    return np.rint(4 * distances(truth)).astype(np.int16)


@mask_case(
    "a mask resampled by splines, which swing below 0 and above it",
    handled="from the middle on, and flagged",
    flags=(SOFT.format("0.5"),),
    near=True,
)
def splines(folder, scan, truth):
    coarse = ndimage.zoom((truth > 0).astype(np.float32), 0.5, order=1)
    factors = np.array(truth.shape) / coarse.shape
    return ndimage.zoom(coarse, factors, order=3).astype(np.float32)


@mask_case(
    "probabilities from 0 to 1", handled="from the middle on, and flagged", flags=(SOFT.format("0.5"),), near=True
)
def probabilities(folder, scan, truth):
    return (1 / (1 + np.exp(-2 * distances(truth)))).astype(np.float32)


@mask_case("0 and 255", handled="255 is lung")
def bytes_of_two_values(folder, scan, truth):
    return np.where(truth > 0, 255, 0).astype(np.uint8)


@mask_case(
    "0 to 255, with a soft edge", handled="from the middle on, and flagged", flags=(SOFT.format("128"),), near=True
)
def bytes_with_a_soft_edge(folder, scan, truth):
    return np.rint(255 / (1 + np.exp(-2 * distances(truth)))).astype(np.uint8)


@mask_case(
    "labels 1 and 2 between which was interpolated",
    handled="from 0.5 on, and flagged",
    flags=(SOFT.format("0.5"),),
    near=True,
)
def interpolated_labels(folder, scan, truth):
    return ndimage.gaussian_filter(truth.astype(np.float32), 0.5)


@mask_case(
    "what is no number where no lung is",
    handled="no lung, and flagged",
    flags=("330150 voxels of the mask given are not numbers; they count as no lung.",),
)
def not_a_number(folder, scan, truth):
    return np.where(truth > 0, 1, np.nan).astype(np.float32)


@mask_case("1 right and 2 left, as floating point numbers", handled="labels are lung")
def floating_labels(folder, scan, truth):
    return truth.astype(np.float64)


@mask_case(
    "2 right and 1 left",
    handled="labels are lung, the sides are the scan's",
    flags=(
        "Label 1 of the mask given lies on the scan's left lung, and label 2 on the right one. Where the mask was made "
        "with 1 for the right lung, the scan or the mask is mirrored: look at the pictures.",
    ),
)
def other_sides(folder, scan, truth):
    return np.where(truth > 0, 3 - truth, 0).astype(np.uint8)


@mask_case("five lobes, 10 to 14", handled="labels are lung")
def lobes(folder, scan, truth):
    z = np.arange(len(truth))[:, None, None]
    upper = z > len(truth) / 2
    return np.select([(truth == 2) & upper, truth == 2, (truth == 1) & upper, truth == 1], [10, 11, 12, 14]).astype(
        np.uint8
    )


@mask_case("NIfTI-2", handled="read")
def in_nifti_2(folder, scan, truth):
    affine = np.diag([*(np.array(scan.GetSpacing()) * [-1, -1, 1]), 1])
    affine[:3, 3] = np.array(scan.GetOrigin()) * [-1, -1, 1]
    nib.save(nib.Nifti2Image((truth > 0).astype(np.uint8).T, affine), folder / "mask.nii")
    return folder / "mask.nii"


@mask_case("an inverted mask", refused="The mask given holds the air around the body: is it inverted?")
def inverted(folder, scan, truth):
    return (truth == 0).astype(np.uint8)


@mask_case("an inverted mask of -1 and 1", refused="The mask given holds the air around the body: is it inverted?")
def inverted_signs(folder, scan, truth):
    return np.where(truth > 0, -1, 1).astype(np.int8)


@mask_case(
    "the background as a label of its own",
    refused="The mask given has labels that are not lung (3: ",
)
def labelled_background(folder, scan, truth):
    return np.where(truth > 0, truth, 3).astype(np.uint8)


@mask_case("an empty mask", refused="The mask given is empty; give one whose lungs are above 0, or none.")
def empty(folder, scan, truth):
    return np.zeros(truth.shape, np.uint8)


@mask_case("nothing above 0", refused="The mask given is empty; give one whose lungs are above 0, or none.")
def all_below(folder, scan, truth):
    return np.where(truth > 0, 0, -1).astype(np.int16)


@mask_case("probabilities below 0.5 alone", refused="The mask given is empty: no value is above 0.5.")
def no_probability(folder, scan, truth):
    return np.where(truth > 0, 0.3, 0).astype(np.float32)


@mask_case("a few voxels", refused="The mask given holds 0.2 ml of the scan, which is no lung.")
def few_voxels(folder, scan, truth):
    array = np.zeros(truth.shape, np.uint8)
    array[tuple(np.argwhere(truth == 1)[len(np.argwhere(truth == 1)) // 2])] = 1
    array[0, 0, :4] = 1
    return array


@mask_case("the scan itself", refused="The mask given ")
def the_scan(folder, scan, truth):
    return sitk.GetArrayFromImage(scan)


@mask_case("the body", refused="The mask given holds most of the body, not the lungs alone; give the lungs alone.")
def of_the_body(folder, scan, truth):
    return body(scan).astype(np.uint8)


@mask_case("labels of organs, where 1 is no lung", refused="The mask given has labels that are not lung (1, 5: ")
def organs(folder, scan, truth):
    array = body(scan).astype(np.uint8)
    array[(sitk.GetArrayFromImage(scan) > 300) & (array > 0)] = 5
    array[truth == 1], array[truth == 2] = 10, 12
    return array


@mask_case(
    "a mask that lies 60 mm too low",
    handled="taken, and flagged",
    flags=(
        "The mask given and the lungs that the scan shows overlap with a Dice of 0.54 only: is the mask of another "
        "scan, or moved? Look at the pictures.",
    ),
    near=True,
)
def moved(folder, scan, truth):
    return np.roll(truth, -15, axis=0)


@mask_case("a mask of another place", refused="The mask given does not ")
def elsewhere(folder, scan, truth):
    path = on_grid(truth, scan, folder / "mask.nii.gz")
    image = sitk.ReadImage(str(path))
    image.SetOrigin([value + 150 for value in image.GetOrigin()])
    sitk.WriteImage(image, str(path))
    return path


@mask_case(
    "a mask whose header was lost (voxels of 1 mm)",
    refused="The mask given does not fit the scan and its voxels, as many, lie otherwise: voxels of 1 x 1 x 1 mm, ",
)
def lost_header(folder, scan, truth):
    image = sitk.GetImageFromArray(truth)
    image.SetOrigin([-40.0, -30.0, -35.0])
    sitk.WriteImage(image, str(folder / "mask.nii.gz"))
    return folder / "mask.nii.gz"


@mask_case(
    "a mask whose qform and sform swap the patient's sides",
    refused="The mask given cannot be used. The NIfTI header contradicts itself: the axes run to RPS by the qform and "
    "to LPS by the sform",
)
def swapped(folder, scan, truth):
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    file = nib.Nifti1Image(truth.T, affine)
    file.set_sform(affine, 1), file.set_qform(np.diag([4.0, -4.0, 4.0, 1.0]), 1)
    nib.save(file, folder / "mask.nii.gz")
    return folder / "mask.nii.gz"


@mask_case(
    "a MetaImage without voxel size",
    refused="The mask given cannot be used. The MetaImage header has no distance of voxels (ElementSpacing); add it.",
)
def without_size(folder, scan, truth):
    size = " ".join(map(str, truth.shape[::-1]))
    text = f"ObjectType = Image\nNDims = 3\nDimSize = {size}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (folder / "mask.mha").write_bytes(text.encode() + truth.astype(np.uint8).tobytes())
    return folder / "mask.mha"


@mask_case("a mask that is cut short", refused="The mask given is cut short or damaged; copy it again.")
def cut_short(folder, scan, truth):
    path = on_grid(truth, scan, folder / "mask.nii")
    path.write_bytes(path.read_bytes()[:-5000])
    return path


@mask_case(
    "a mask whose header lies one slice higher than the scan's",
    handled="taken, and flagged",
    flags=(
        "The mask given has as many voxels as the scan, and they lie otherwise: voxels of 4 x 4 x 4 mm, the first at "
        "-163 x -128 x -134 mm, against voxels of 4 x 4 x 4 mm, the first at -163 x -128 x -138 mm of the scan; look "
        "at the pictures.",
    ),
    near=True,
)
def a_slice_higher(folder, scan, truth):
    path = on_grid(truth, scan, folder / "mask.nii.gz")
    image = sitk.ReadImage(str(path))
    x, y, z = image.GetOrigin()
    image.SetOrigin((x, y, z + 4))
    sitk.WriteImage(image, str(path))
    return path
