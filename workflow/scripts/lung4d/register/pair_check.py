"""The independent check of a registered pair, and what a doubtful one might be."""

import dataclasses
from itertools import product

import numpy as np
import SimpleITK as sitk

from lung4d.io.status import UnusableScan
from lung4d.register import pair_score
from lung4d.register.grid import grid_of
from lung4d.register.registration import PER_LEVEL, Registration, RegistrationSettings, register

COARSE = 4.0  # mm, at which the other signs of the axes are tried
BETTER = 2.0  # log odds by which a sign must fit better than the scan as it lies
WORDS = ("mirrored left to right", "turned front to back", "turned head to foot")  # of the axes x, y, z
USUAL = pair_score.TERMS["surroundings_agreement"].usual


def check_pair(
    found: Registration,
    baseline: sitk.Image,
    baseline_mask: sitk.Image,
    followup: sitk.Image,
    followup_mask: sitk.Image,
    settings: RegistrationSettings,
) -> Registration:
    """`found` with the numbers of `pair_score.evidence`, their score as `wrong_pair_score` (log odds), and a flag
    where the pair is doubtful, which says whether other signs of the follow-up's axes would fit.

    Scans in HU, masks 0, 1 (right lung), 2 (left lung).
    """
    numbers = score_pair(found, baseline, baseline_mask, followup, followup_mask)
    flags = list(found.flags)
    if pair_score.is_doubtful(numbers):
        signs = find_signs(baseline, baseline_mask, followup, followup_mask, settings)
        flags.append(sentence(numbers, signs))
    return dataclasses.replace(found, metrics=numbers, flags=flags)


def score_pair(found: Registration, baseline, baseline_mask, followup, followup_mask) -> dict:
    """The registration's metrics, the numbers of `pair_score.evidence`, and their score, as in `check_pair`."""
    field = sitk.DisplacementFieldTransform(sitk.Cast(found.field, sitk.sitkVectorFloat64))
    numbers = found.metrics | pair_score.evidence(baseline, baseline_mask, followup, followup_mask, field)
    return numbers | {"wrong_pair_score": pair_score.wrong_pair_score(numbers)}


def find_signs(baseline, baseline_mask, followup, followup_mask, settings: RegistrationSettings) -> tuple[bool, ...]:
    """Which axes (x, y, z) of the follow-up to reverse, so that it fits: none where nothing fits clearly better.

    All eight are registered coarsely, and judged by the same score.
    """
    first_level = {name: getattr(settings, name)[:1] for name in PER_LEVEL}
    coarse = dataclasses.replace(settings, spacing=max(COARSE, settings.spacing), refine_steps=0, **first_level)
    scores = {}
    for signs in product((False, True), repeat=3):
        scan, mask = reverse_axes(followup, signs), reverse_axes(followup_mask, signs)
        if signs[0]:
            mask = sitk.Cast(mask == 1, mask.GetPixelID()) * 2 + sitk.Cast(mask == 2, mask.GetPixelID())
        try:
            found = register(baseline, baseline_mask, scan, mask, coarse)
        except UnusableScan:
            continue
        scores[signs] = score_pair(found, baseline, baseline_mask, scan, mask)["wrong_pair_score"]
    as_it_lies = (False, False, False)
    best = min(scores, key=scores.__getitem__, default=as_it_lies)
    fits = scores.get(best, np.inf) < min(pair_score.MOST_SCORE, scores.get(as_it_lies, np.inf) - BETTER)
    return best if fits else as_it_lies


def reverse_axes(image: sitk.Image, signs: tuple[bool, ...]) -> sitk.Image:
    """The image with its voxels in reverse along the axes nearest to the world's x, y, z, in the same place."""
    nearest = np.abs(grid_of(image).direction).argmax(axis=1)  # the image's axis for each of the world's
    backwards = tuple(int(2 - nearest[axis]) for axis in range(3) if signs[axis])
    voxels = np.flip(sitk.GetArrayFromImage(image), backwards)
    reversed_image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    reversed_image.CopyInformation(image)
    return reversed_image


def sentence(numbers: dict, signs: tuple[bool, ...]) -> str:
    """The flag of a doubtful pair."""
    agreement = numbers.get("surroundings_agreement")
    around = "" if agreement is None else f": bones and airways agree by {agreement:.2f}, where {USUAL:.1f} is usual"
    turned = " and ".join(word for word, sign in zip(WORDS, signs, strict=True) if sign)
    advice = (
        f"It would fit if it were {turned}; export it anew, or mend its header"
        if turned
        else "Reversed along its axes it fits no better, so it may be another person's; look at both scans"
    )
    return f"This scan and the baseline do not look like one chest in one position{around}. {advice}."
