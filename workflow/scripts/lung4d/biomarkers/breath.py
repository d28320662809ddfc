"""Density without breath: what the lung weighs at a visit, in the volume that it had at the baseline.

A shallower breath presses the same tissue into less volume: the lung's density rises, and nothing fell ill. Tissue
keeps its mass, so density times the ratio of the volumes, the visit's over the baseline's, does not know the breath (so
emphysema's density is corrected: Staring et al., Med Phys 2014). Of disease that shrinks the lung, what it adds in mass
is left.
"""

import math
from collections.abc import Mapping

import numpy as np

from lung4d.biomarkers.measures import high_attenuation
from lung4d.biomarkers.table import CORRECTED

NO_MASS = -1000.0  # HU of air, which weighs nothing


def corrected_densities(
    hu: np.ndarray, mask: np.ndarray, baseline: float, ratios: Mapping[str, float | None]
) -> dict[str, float]:
    """The columns CORRECTED of one visit, NaN where its mass is not known; of the baseline the densities themselves.

    hu, mask (D, H, W) on the common grid; baseline: mean density there, HU; ratios: `log_mass_ratio` and
    `log_volume_ratio` of the visit, from the status that stage resample left.
    """
    known = {name: math.nan if value is None else value for name, value in ratios.items() if name.endswith("_ratio")}
    mean = corrected_mean(baseline, known["log_mass_ratio"])
    values = mean, corrected_high_attenuation(hu, mask, known["log_volume_ratio"])
    return dict(zip(CORRECTED, values, strict=True))


def corrected_mean(baseline: float, log_mass_ratio: float) -> float:
    """Mean density (HU) of a visit, corrected, from that of the baseline.

    log_mass_ratio: of the mass of the visit's lungs over the baseline's, each weighed as it was scanned, so that the
    total mass is exact: neither registration nor resampling, which carry chest wall over the lung's edge, has a part.
    """
    return float(baseline + (baseline - NO_MASS) * np.expm1(log_mass_ratio))


def corrected_high_attenuation(hu: np.ndarray, mask: np.ndarray, log_volume_ratio: float) -> float:
    """Share of high attenuation in percent, corrected: every voxel's density times the ratio of the lungs' volumes.

    hu, mask (D, H, W). NaN where the mask is empty.
    """
    ratio = np.float32(np.exp(log_volume_ratio))
    return high_attenuation((np.asarray(hu[mask], np.float32) - NO_MASS) * ratio + NO_MASS)
