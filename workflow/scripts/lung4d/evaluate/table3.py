"""Table 3 of 4D-VQ-GAN (Zhao et al., appendix D.4): reconstruction by size of the codebook, compression and lr."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

SETS = {"test": "internal", "external": "external"}  # our name of a set and the paper's
REGIONS = ("whole", "lung")


@dataclass(frozen=True)
class Row:
    """A row of the table: what it sets in `train_vqgan`, and the paper's MSE on its internal and external test set."""

    name: str
    codes: int
    compression: int
    lr: float
    internal: float
    external: float

    @property
    def settings(self) -> dict[str, Any]:
        return {"codes": self.codes, "compression": self.compression, "lr": self.lr}

    def is_own(self, section: Mapping[str, Any]) -> bool:
        """Whether a `train_vqgan` section has this row's settings already, so that its model is the row's."""
        return all(section.get(key) == value for key, value in self.settings.items())


ROWS = (
    Row("codes-1024", 1024, 4, 3.0e-4, 3.76e-3, 6.84e-3),
    Row("codes-4096", 4096, 4, 3.0e-4, 3.54e-3, 6.64e-3),
    Row("lr-1e-4", 256, 4, 1.0e-4, 4.88e-3, 8.67e-3),
    Row("codes-256", 256, 4, 3.0e-4, 4.23e-3, 8.10e-3),
    Row("compression-8", 256, 8, 3.0e-4, 6.17e-3, 11.5e-3),
)


def fill_table(scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """table3.tsv from each row's scores (split, region, mse; a row per scan and region): means over scans.

    scans_<set>, mse_<set>_whole and mse_<set>_lung of the sets test and external, missing where a set has no scan,
    beside paper_<set>, the paper's MSE.
    """
    lines = []
    for row in ROWS:
        line = {"row": row.name, **row.settings}
        for name, in_paper in SETS.items():
            part = scores[row.name].query("split == @name")
            line[f"scans_{name}"] = int((part["region"] == "whole").sum())
            for region in REGIONS:
                line[f"mse_{name}_{region}"] = part.loc[part["region"] == region, "mse"].mean()
            line[f"paper_{name}"] = getattr(row, in_paper)
        lines.append(line)
    return pd.DataFrame(lines)


def as_page(table: pd.DataFrame) -> str:
    """The table as Markdown, MSE times 1000, and how to compare; external columns only where there are such scans."""
    sets = [name for name in SETS if name == "test" or table[f"scans_{name}"].any()]
    heads = ["codes", "compression", "learning rate"]
    for name in sets:
        heads += [f"{name}, whole volume", f"{name}, lung", f"paper, {SETS[name]}"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " ---: |" * len(heads)]
    for row in table.to_dict("records"):
        cells = [str(row["codes"]), str(row["compression"]), f"{row['lr']:g}"]
        for name in sets:
            values = (row[f"mse_{name}_whole"], row[f"mse_{name}_lung"], row[f"paper_{name}"])
            cells += ["–" if pd.isna(value) else f"{1000 * value:.2f}" for value in values]
        lines.append("| " + " | ".join(cells) + " |")
    counts = ", ".join(f"{table[f'scans_{name}'].max()} {name}" for name in sets)
    return PAGE.format(counts=counts, table="\n".join(lines))


PAGE = """\
# Table 3: reconstruction by size of the codebook, compression and learning rate

Mean squared error times 1000 on intensities from 0 to 1, over the whole volume and in the lung alone; means over scans
({counts}). Each row is the run's own `train_vqgan` section with the three settings named. The paper's numbers are of
its own patients and of a window of intensities that it does not state: compare the order of the rows, not the values.

{table}
"""
