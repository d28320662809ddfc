"""Which codes are decoded and shown, and in which order. Nothing here needs torch."""

import pandas as pd

DECODED = 256  # codes that are decoded, at most
WITH_PATCHES = 100  # codes of which real patches are shown, at most
EXEMPLARS = 4  # places kept per code
PATCH = 5  # latent positions along the side of a patch: the code's own and two on each side


def most_used(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The `most` most common codes of a usage table as they are shown: from air to tissue, those not in use last.

    A code that training lungs do not hold has the density it decodes to.
    """
    chosen = table[table["rank"] <= most]
    density = chosen["mean_hu"].fillna(chosen["decoded_hu"])
    return chosen.assign(density=density, unused=~chosen["used"]).sort_values(["unused", "density", "code"])
