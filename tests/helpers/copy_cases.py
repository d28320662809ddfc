"""Scans that are copies of a scan, scans that are not, and one file named in two ways, for "identity by content"."""

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

SHAPE, SPACING = (96, 84, 108), (3.0, 3.0, 3.0)  # z, y, x
CUBES = (2.5, 2.5, 2.5)


def chest(person: int, visit: int = 0) -> sitk.Image:
    """A chest whose lungs, heart and vessels are the person's, and whose breath, pose and noise are the visit's."""
    rng, at_visit = (np.random.default_rng(seed) for seed in (person, [person, visit]))
    grid = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")
    breath, shift = 1 - 0.06 * visit, at_visit.uniform(-6, 6, 3)
    z, y, x = ((g - s) / (breath if axis == 0 else 1) for axis, (g, s) in enumerate(zip(grid, shift, strict=True)))
    width, depth, height = rng.uniform((40, 62, 95), (50, 74, 115))
    hu = np.full(SHAPE, -1000.0)
    hu[(x / 150) ** 2 + (y / 105) ** 2 < 1] = 40
    sides = ((-62, height), (64, height - 6))
    lung = sum(((x - c) / width) ** 2 + (y / depth) ** 2 + (z / h) ** 2 < 1 for c, h in sides)
    lung = (lung > 0) & (((x - 22) / 45) ** 2 + ((y + 30) / 42) ** 2 + ((z + 45) / 50) ** 2 > 1)
    texture = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.8)  # vessels lie where the person has them
    at = np.stack([z, y, x]) / np.array(SPACING)[:, None, None, None]
    at += (np.array(SHAPE)[:, None, None, None] - 1) / 2
    texture = ndimage.map_coordinates(texture / texture.std(), at, order=1, mode="nearest")
    hu[lung] = np.where(texture > 1.3, 20, -850)[lung]
    hu[(x / 18) ** 2 + ((y - 82) / 14) ** 2 < 1] = 400
    hu = ndimage.gaussian_filter(hu, 0.5) + at_visit.normal(0, 20, SHAPE)
    return image_of(hu, SPACING)


def image_of(hu: np.ndarray, spacing: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(np.clip(np.rint(hu), -1024, 3000).astype(np.int16))
    image.SetSpacing(spacing[::-1])
    return image


def values(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).astype(float)


def resampled(image: sitk.Image, spacing: tuple[float, ...]) -> sitk.Image:
    """On voxels of other sizes (z, y, x mm), as a viewer exports it."""
    size = [round(n * s / t) for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing[::-1], strict=True)]
    origin = [(t - s) / 2 for s, t in zip(image.GetSpacing(), spacing[::-1], strict=True)]
    place = (origin, spacing[::-1], image.GetDirection())
    return sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, *place, -1000)


def sharpened(image: sitk.Image) -> sitk.Image:
    hu = values(image)
    hu += 0.8 * (hu - ndimage.gaussian_filter(hu, 1.0)) + np.random.default_rng(7).normal(0, 40, hu.shape)
    return image_of(hu, SPACING)


# What makes another file, but no other scan, of a scan.
NEAR_COPIES = {
    "finer voxels": lambda image: resampled(image, (2.0, 1.7, 1.7)),
    "slices of 5 mm": lambda image: resampled(image, (5.0, 3.0, 3.0)),
    "coarser in the plane": lambda image: resampled(image, (3.0, 4.0, 4.0)),
    "a smaller field of view": lambda image: image[8:-10, 9:-6, :],
    "room above and below cut off, and turned into cubes": lambda image: resampled(image[:, :, 4:-5], CUBES),
    "a sharp kernel with its noise": sharpened,
    "a soft kernel": lambda image: image_of(ndimage.gaussian_filter(values(image), 1.0), SPACING),
    "40 HU more": lambda image: image + 40,
    "5 % more contrast": lambda image: image_of(1.05 * values(image), SPACING),
    "noise": lambda image: image_of(values(image) + np.random.default_rng(8).normal(0, 60, SHAPE), SPACING),
    "left and right swapped": lambda image: image_of(values(image)[:, :, ::-1], SPACING),
    "head and feet swapped, on other voxels": lambda image: image_of(values(resampled(image, CUBES))[::-1], CUBES),
    "turned on its belly": lambda image: image_of(values(image)[:, ::-1, ::-1], SPACING),
}
MIRRORED = ("left and right swapped", "head and feet swapped, on other voxels", "turned on its belly")

# Parts of a scan whose slices were left as they are.
SHARED_SLICES = {
    "the apex cut off": lambda image: image[:, :, :-30],
    "the bases cut off": lambda image: image[:, :, 30:],
    "every other slice": lambda image: image[:, :, ::2],
    "the middle alone": lambda image: image[:, :, 30:60],
    "slices in the other order": lambda image: image_of(values(image)[::-1], SPACING),
    "a slice twice": lambda image: image_of(np.repeat(values(image), 2, axis=0), (1.5, 3.0, 3.0)),
}

# What changes no voxel.
SAME_VOXELS = {
    "another origin": lambda image: placed(image, origin=(10.0, -20.0, 300.0)),
    "another voxel size in the header": lambda image: placed(image, spacing=(1.0, 1.0, 1.0)),
    "metadata": lambda image: placed(image, note="a name"),
    "another type of number": lambda image: sitk.Cast(sitk.Cast(image, sitk.sitkFloat32), sitk.sitkInt16),
    "read from another file": lambda image: sitk.Image(image),
    "another direction": lambda image: placed(image, direction=(0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1)),
}


def placed(image: sitk.Image, origin=None, spacing=None, direction=None, note="") -> sitk.Image:
    """The same voxels at another place, or with a note."""
    copy = sitk.Image(image)
    for value, place in ((origin, copy.SetOrigin), (spacing, copy.SetSpacing), (direction, copy.SetDirection)):
        if value:
            place(value)
    if note:
        copy.SetMetaData("note", note)
    return copy


def linked(folder: Path) -> str:
    (folder / "link.nii").symlink_to("a.nii")
    return "link.nii"


def hard_linked(folder: Path) -> str:
    os.link(folder / "a.nii", folder / "hard.nii")
    return "hard.nii"


def through_a_linked_folder(folder: Path) -> str:
    (folder / "elsewhere").symlink_to(folder, target_is_directory=True)
    return "elsewhere/a.nii"


def chain_of_links(folder: Path) -> str:
    (folder / "one").symlink_to("a.nii"), (folder / "two").symlink_to("one")
    return "two"


# Other ways to write `a.nii` in the folder of the tables.
WRITTEN_OTHERWISE = {
    "./ before it": lambda folder: "./a.nii",
    "through its parent": lambda folder: f"../{folder.name}/a.nii",
    "absolute": lambda folder: str(folder / "a.nii"),
    "two slashes": lambda folder: ".//a.nii",
    "a link": linked,
    "a hard link": hard_linked,
    "a folder that is a link": through_a_linked_folder,
    "links to links": chain_of_links,
}
# The same of the folder `series`.
FOLDER_OTHERWISE = {
    "a slash at its end": lambda folder: "series/",
    "a dot at its end": lambda folder: "series/.",
    "a link": lambda folder: (folder / "again").symlink_to("series", target_is_directory=True) or "again",
}
