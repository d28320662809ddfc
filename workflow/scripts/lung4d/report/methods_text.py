"""A methods text from the settings of a run: a paragraph per stage, with numbered references."""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from lung4d.report.deviations import DEVIATIONS, Deviation, in_this_run
from lung4d.report.references import REFERENCES

__all__ = ["DEVIATIONS", "Deviation", "MethodsText", "describe", "in_this_run", "software"]

PACKAGES = (
    "snakemake", "torch", "monai", "torchdiffeq", "SimpleITK", "nibabel", "pydicom", "scikit-image", "scipy", "numpy",
    "pandas", "lifelines", "matplotlib", "Jinja2",
)  # fmt: skip


@dataclass(frozen=True)
class MethodsText:
    """Paragraphs with numbers like [3], and the references in that order."""

    paragraphs: list[str]
    references: list[str]


def describe(config: Mapping[str, Any], simulated: bool) -> MethodsText:
    """The methods of a run with this resolved `config`; references are numbered as they are first cited."""
    stages = (_cohort, _segment, _register, _resample, _split, _autoencoder, _disease, _generate, _evaluate, _survival)
    raw = [stage(config, simulated) for stage in stages]
    order: list[str] = []

    def number(match: re.Match) -> str:
        keys = match.group(1).split(",")
        order.extend(key for key in keys if key not in order)
        return "[" + ", ".join(str(order.index(key) + 1) for key in keys) + "]"

    paragraphs = [re.sub(r"\{\{([a-z0-9,]+)\}\}", number, text) for text in raw]
    return MethodsText(paragraphs, [REFERENCES[key] for key in order])


def software() -> list[tuple[str, str]]:
    """(package, version) of Python and of those of the workflow's packages that are installed here."""
    found = [("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return found


def _cohort(config: Mapping[str, Any], simulated: bool) -> str:
    text = (
        "The method follows 4D-VQ-GAN {{zhao2025}}: an autoencoder with a codebook, and an ODE of disease in its "
        "latents. "
    )
    if simulated:
        settings = config.get("simulate", {})
        text += (
            f"The cohort is simulated (seed {settings.get('seed')}): thoraxes with lungs, vessels and airways, growing "
            "fibrosis, breathing, noise and reconstruction kernels, irregular visits and survival times from a known "
            "hazard."
        )
        return text + _judges(settings)
    return text + "CT scans were read from DICOM, NIfTI, MetaImage or NRRD files to HU with their geometry."


def _judges(settings: Mapping[str, Any]) -> str:
    """The patients of the built-in cohort that only judge."""
    arms = {
        "in whom nothing changes": settings.get("no_disease_patients", 0),
        "with this fibrosis in the chests of real CT": settings.get("real_anatomy", {}).get("patients", 0),
    }
    parts = [
        f" {number} more patients, {what}, judge and are never trained on." for what, number in arms.items() if number
    ]
    return "".join(parts)


def _segment(config: Mapping[str, Any], simulated: bool) -> str:
    if config.get("segment", {}).get("method") == "lungmask":
        return "Lungs were segmented with the lungmask network R231 {{hofmanninger2020}}."
    return (
        "Lungs were segmented by intensity: threshold, largest components, airways removed, diseased pleura closed in."
    )


def _register(config: Mapping[str, Any], simulated: bool) -> str:
    part = config.get("register", {})
    return (
        "Every follow-up was registered to the patient's baseline with a CorrField method {{heinrich2015,hansen2021}}, "
        "after an alignment of the lung masks: Förstner keypoints {{foerstner1987}} in the lung, self-similarity "
        "descriptors {{heinrich2013}} compared over a dense space of displacements, belief propagation on a minimum "
        "spanning tree, symmetric in both directions, from coarse to fine on a grid of "
        f"{part.get('spacing')} mm"
        + (", then refined below a voxel on locally normalised intensities." if part.get("refine_steps") else ".")
    )


def _resample(config: Mapping[str, Any], simulated: bool) -> str:
    part = config.get("resample", {})
    shape = " x ".join(map(str, part.get("shape", [])))
    view = "the lung box with a margin" if part.get("field_of_view") == "lung" else "the whole scan"
    return (
        f"Original scans were low-passed and sampled once, through the displacement field, to {shape} voxels over "
        f"{view}; "
        "outside the lung the baseline's values were used."
    )


def _split(config: Mapping[str, Any], simulated: bool) -> str:
    part = config.get("split", {})
    return (
        f"Patients were divided at random (seed {part.get('seed')}) into training, validation "
        f"({100 * part.get('val', 0):.0f} %) and test ({100 * part.get('test', 0):.0f} %) sets, unless the table of "
        "participants "
        "assigned them."
    )


def _autoencoder(config: Mapping[str, Any], simulated: bool) -> str:
    part = config.get("train_vqgan", {})
    backbone = {"vgg": "VGG", "efficientnet": "EfficientNet"}.get(part.get("perceptual"), "")
    perceptual = f"a perceptual loss on {backbone} features {{{{zhang2018}}}}" if backbone else "no perceptual loss"
    return (
        f"A 3D-VQ-GAN {{{{oord2017,esser2021,ge2022}}}} with {part.get('codes')} codes of {part.get('embedding')} "
        f"numbers and a compression of {part.get('compression')} per axis was trained for {part.get('steps')} steps of "
        f"{part.get('accumulation')} volumes with an absolute error, {perceptual}, and from step "
        f"{part.get('gan_start')} on "
        "discriminators of slices and of volumes."
    )


def _disease(config: Mapping[str, Any], simulated: bool) -> str:
    part = config.get("train_ode", {})
    return (
        "A convolutional recurrent network {{ballas2015}} reads the given visits, and a neural ODE "
        "{{chen2018,park2021}} "
        f"(solver {part.get('solver')}) carries its state to any year; it was trained for {part.get('epochs')} epochs "
        f"on the {part.get('latents')} latents inside the lung, with the autoencoder frozen."
        + (
            f" From the state and the scan at hand a small U-Net draws the change at the scan's own resolution. "
            f"{part.get('members')} such models, each trained without a part of the patients, are averaged."
            if part.get("maps")
            else ""
        )
    )


def _generate(config: Mapping[str, Any], simulated: bool) -> str:
    part = config.get("generate_trajectories", {})
    years = part.get("years")
    when = (
        f"at {', '.join(map(str, years))} years"
        if years
        else f"every {part.get('interval')} years up to {part.get('horizon')} years after the last given visit"
    )
    own = {"baseline": "the baseline's", "last": "the last given visit's", "given": "every given visit's"}
    native = own.get(part.get("native"))
    return f"Scans were generated {when} with {part.get('decoding')} decoding, in HU on the baseline's geometry" + (
        f" and, through the inverse displacement field, on {native} own grid." if native else "."
    )


def _evaluate(config: Mapping[str, Any], simulated: bool) -> str:
    draws = config.get("evaluate", {}).get("bootstrap")
    return (
        "Forecasts of visits that were withheld from the model in test patients were scored by squared error, PSNR and "
        f"SSIM {{{{wang2004}}}} in the baseline's lung, with 95 % intervals from {draws} bootstrap samples of patients."
        + (
            " Lung volume was foretold from the mean of the given volumes by the years and by the change of "
            "high-attenuation area that the model draws, with coefficients of least absolute deviation on withheld "
            "visits."
            if config.get("train_ode", {}).get("maps")
            else ""
        )
    )


def _survival(config: Mapping[str, Any], simulated: bool) -> str:
    part = config.get("survival", {})
    covariates = ", ".join(part.get("covariates", []))
    return (
        "Biomarkers are the frequencies of the codes in the lung, with mean lung density and high-attenuation area "
        f"{{{{lederer2009}}}} for comparison. One Cox model {{{{cox1972}}}} per code with "
        f"{covariates or 'no covariates'} ranked the codes; the best {part.get('top_codes')} entered one model with a "
        "ridge penalty, scored once by Harrell's "
        "C-index {{harrell1996}} on held-out patients; false discovery rates by Benjamini and Hochberg "
        "{{benjamini1995}}; computed with lifelines {{davidson2019}}."
    )
