"""The methods that the registration benchmark compares, each from the same four files to a dense field.

A method takes the folder of a case and returns the displacement of every voxel of the fixed scan, float32
(D, H, W, 3), (x, y, z) mm, fixed to moving. Imports are inside the functions: ours and the peers live in different
environments. The peers' settings are the best of those tried on the real pair; see README.md.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import SimpleITK as sitk

LOWEST, HIGHEST = -1024.0, 300.0  # HU that the intensity-based peers see: bone and metal do not pull


def _read(folder: Path, name: str) -> sitk.Image:
    image = sitk.ReadImage(str(folder / f"{name}.nii.gz"))
    return image if name.endswith("mask") else sitk.Clamp(image, sitk.sitkFloat32, LOWEST, HIGHEST)


def ours(folder: Path) -> Callable[[], np.ndarray]:
    """The project's own registration with the settings of config/config.yaml."""
    import yaml

    from lung4d.register import registration

    root = Path(__file__).resolve().parents[1]
    section = yaml.safe_load((root / "config/config.yaml").read_text())["register"]
    settings = registration.RegistrationSettings.from_params(SimpleNamespace(**section))
    registration.use_threads(2)
    fixed, moving = (sitk.Cast(_read(folder, name), sitk.sitkInt16) for name in ("fixed", "moving"))
    masks = [_read(folder, name) for name in ("fixed_mask", "moving_mask")]

    def run() -> np.ndarray:
        field = registration.register(fixed, masks[0], moving, masks[1], settings).field
        dense = sitk.Resample(field, fixed, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear)
        return sitk.GetArrayFromImage(dense)

    return run


def greedy(folder: Path) -> Callable[[], np.ndarray]:
    """picsl-greedy (Yushkevich et al. 2016): diffeomorphic, normalised cross-correlation, fixed mask."""
    from picsl_greedy import Greedy3D

    images = {name: _read(folder, name) for name in ("fixed", "moving")}
    lung = sitk.BinaryDilate(_read(folder, "fixed_mask"), [3] * 3)

    def run() -> np.ndarray:
        tool = Greedy3D()
        tool.execute(
            "-d 3 -m NCC 2x2x2 -i fixed moving -gm mask -o warp -n 100x100x60 -s 2.0vox 0.7vox -e 0.5 -threads 2 -V 0",
            fixed=images["fixed"], moving=images["moving"], mask=lung, warp=None,
        )  # fmt: skip
        return sitk.GetArrayFromImage(tool["warp"])

    return run


def elastix(folder: Path) -> Callable[[], np.ndarray]:
    """elastix (Klein et al. 2010): B-spline, normalised correlation, fixed mask."""
    import itk

    fixed, moving = (
        itk.clamp_image_filter(itk.imread(str(folder / f"{name}.nii.gz"), itk.F), bounds=[LOWEST, HIGHEST])
        for name in ("fixed", "moving")
    )
    lung = itk.imread(str(folder / "fixed_mask.nii.gz"), itk.UC)
    parameters = itk.ParameterObject.New()
    settings = parameters.GetDefaultParameterMap("bspline", 4, 10.0)
    for key, value in {
        "Registration": "MultiResolutionRegistration",
        "Metric": "AdvancedNormalizedCorrelation",
        "MaximumNumberOfIterations": "500",
        "NumberOfSpatialSamples": "8000",
        "ErodeMask": "false",
        "WriteResultImage": "false",
    }.items():
        settings[key] = [value]
    parameters.AddParameterMap(settings)

    def run() -> np.ndarray:
        _, found = itk.elastix_registration_method(fixed, moving, fixed_mask=lung, parameter_object=parameters)
        field = itk.transformix_deformation_field(moving, found)
        return np.asarray(itk.array_from_image(field), dtype=np.float32)

    return run


def syn(folder: Path) -> Callable[[], np.ndarray]:
    """ANTs SyN (Avants et al. 2008) through antspyx, cross-correlation of radius 2, fixed mask."""
    import ants

    fixed, moving = (ants.image_read(str(folder / f"{name}.nii.gz")) for name in ("fixed", "moving"))
    fixed, moving = (image.clone("float") for image in (fixed, moving))
    for image in (fixed, moving):
        image[:, :, :] = np.clip(image.numpy(), LOWEST, HIGHEST)
    lung = ants.iMath(ants.image_read(str(folder / "fixed_mask.nii.gz")), "MD", 3)

    def run() -> np.ndarray:
        found = ants.registration(
            fixed, moving, type_of_transform="SyNOnly", initial_transform="identity", mask=lung,
            syn_metric="CC", syn_sampling=2, reg_iterations=(200, 100, 30, 0), flow_sigma=3, total_sigma=0,
        )  # fmt: skip
        name = next(path for path in found["fwdtransforms"] if path.endswith(".nii.gz"))
        return sitk.GetArrayFromImage(sitk.ReadImage(name, sitk.sitkVectorFloat32))

    return run


def demons(folder: Path) -> Callable[[], np.ndarray]:
    """SimpleITK's fast symmetric forces demons on four resolutions; soft tissue is clipped, as only lung counts."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
    fixed, moving = (sitk.Clamp(_read(folder, name), upperBound=-200.0) for name in ("fixed", "moving"))

    def run() -> np.ndarray:
        field = None
        for shrink, steps in ((8, 200), (4, 150), (2, 100), (1, 40)):
            small = [sitk.SmoothingRecursiveGaussian(image, 0.5 * shrink * 1.5) if shrink > 1 else image
                     for image in (fixed, moving)]  # fmt: skip
            small = [sitk.Shrink(image, [shrink] * 3) if shrink > 1 else image for image in small]
            matched = sitk.HistogramMatching(small[1], small[0], 256, 10, True)
            tool = sitk.FastSymmetricForcesDemonsRegistrationFilter()
            tool.SetNumberOfIterations(steps)
            tool.SetStandardDeviations(1.2)
            tool.SetSmoothDisplacementField(True)
            start = sitk.Image(small[0].GetSize(), sitk.sitkVectorFloat64)
            start.CopyInformation(small[0])
            if field is not None:
                start = sitk.Resample(field, start)
            field = tool.Execute(small[0], matched, start)
        return sitk.GetArrayFromImage(field).astype(np.float32)

    return run


def convexadam(folder: Path) -> Callable[[], np.ndarray]:
    """convexAdam (Siebert et al. 2021) with its defaults, without masks."""
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    torch.set_num_threads(2)
    fixed, moving = (sitk.GetArrayFromImage(_read(folder, name)) for name in ("fixed", "moving"))
    spacing = np.array(_read(folder, "fixed_mask").GetSpacing(), dtype=np.float32)

    def run() -> np.ndarray:
        found = convex_adam_pt(torch.from_numpy(fixed), torch.from_numpy(moving), device=torch.device("cpu"))
        return (found[..., ::-1] * spacing).astype(np.float32)

    return run


METHODS = {
    "ours": ours,
    "greedy": greedy,
    "elastix": elastix,
    "SyN": syn,
    "demons": demons,
    "convexAdam": convexadam,
}
