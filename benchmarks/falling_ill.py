"""Registration of lungs of which a part falls ill between two scans: how far disease pulls the field.

    python benchmarks/falling_ill.py --data ../shared/data --work results/benchmark > benchmarks/falling_ill.md

What is already in the work folder is not run again; `--work` of another version of the code is another folder.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import SimpleITK as sitk
import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow/scripts"))
from cases import SPACING, chest
from illness import Course, IllPair, fall_ill
from lung4d.register import fields, quality
from lung4d.register.registration import RegistrationSettings, register, use_threads

CHESTS = ("thorax_full", "lung2_5mm", "chest_5mm", "ct64")
COURSES = {
    "nothing new": Course(0.1, 0.1, False, 0.0),
    "a front, slow": Course(0.05, 0.09, False, -0.07),
    "a front, fast": Course(0.08, 0.2, False, -0.15),
    "a jump": Course(0.05, 0.2, True, -0.07),
    "a large jump": Course(0.05, 0.3, True, -0.15),
}
SEEDS = (1, 2)
GRIDS = (1.5, 2.5)  # mm, of the registration: the default and the demo's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real CT")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is done")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    use_threads(2)
    rows = []
    for name in CHESTS:
        scan, lung = chest(name, arguments.data)
        for course in COURSES:
            for seed in SEEDS:
                done = arguments.work / f"{name}_{course.replace(', ', '_').replace(' ', '_')}_{seed}.csv"
                if not done.exists():
                    pair = fall_ill(scan, lung, SPACING, COURSES[course], seed)
                    measured = [measure(pair, lung, grid) | {"grid": grid} for grid in GRIDS]
                    pd.DataFrame(measured).to_csv(done, index=False)
                rows.append(pd.read_csv(done).assign(chest=name, course=course, seed=seed))
                print(rows[-1].round(3).to_string(header=len(rows) == 1), file=sys.stderr, flush=True)
    print(page(pd.concat(rows)))


def measure(pair: IllPair, lung: np.ndarray, grid: float) -> dict[str, float]:
    """Errors in mm, the rise of density that the found field keeps in percent of what the true one does, and the bias
    of the log-Jacobian; of tissue that fell ill NaN where there is none."""
    images = [_image(scan.clip(-1024, 3000).round().astype(np.int16)) for scan in (pair.fixed, pair.moved.scan)]
    masks = [_image(mask.astype(np.uint8)) for mask in (lung, pair.moved.mask)]
    found = register(images[0], masks[0], images[1], masks[1], dataclasses.replace(_settings(), spacing=grid))
    vectors = sitk.GetArrayFromImage(sitk.Resample(found.field, images[0], sitk.Transform(3, sitk.sitkIdentity)))
    field = np.ascontiguousarray(vectors[..., ::-1] / SPACING, dtype=np.float32)
    error = SPACING * np.linalg.norm(field - pair.moved.truth, axis=-1)
    numbers = dict.fromkeys(("ill", "kept", "bias", "share", "true"), np.nan)
    numbers |= {"all": error[lung].mean(), "well": error[pair.well].mean()}
    if pair.fell_ill.any():
        rise, wanted = (
            (fields.warp(pair.moved.scan, one) - pair.fixed)[pair.fell_ill].mean() for one in (field, pair.moved.truth)
        )
        logs = [np.log(np.maximum(fields.jacobian(one), 1e-3))[pair.fell_ill] for one in (field, pair.moved.truth)]
        numbers |= {"ill": error[pair.fell_ill].mean(), "kept": 100 * rise / wanted, "bias": (logs[0] - logs[1]).mean()}
        numbers |= {"share": 100 * pair.fell_ill.sum() / lung.sum(), "true": logs[1].mean()}
    signs = ("keypoint_asymmetry_mm", "log_jacobian_sd", "dice_after")
    return numbers | {sign: found.metrics[sign] for sign in signs} | {"flagged": len(quality.warnings(found.metrics))}


def page(table: pd.DataFrame) -> str:
    """The Markdown page of the table of all pairs."""
    lines = [PAGE.format(pairs=len(table) // len(GRIDS), chests=len(CHESTS), seeds=len(SEEDS))]
    for grid in GRIDS:
        part = table[table["grid"] == grid]
        ill = part[part["share"].notna()]
        lines += ["", f"## Grid of {grid} mm", "", "| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        lines += [_row(course, part[part["course"] == course]) for course in COURSES]
        lines += [_row("all in which some fell ill", ill)]
    return "\n".join(lines)


def _row(name: str, rows: pd.DataFrame) -> str:
    ratio = rows["ill"].mean() / rows["well"].mean()
    numbers = [(rows["share"].mean(), ".0f"), (rows["ill"].mean(), ".2f"), (rows["well"].mean(), ".2f"), (ratio, ".1f")]
    numbers += [(rows["kept"].mean(), ".0f"), (rows["true"].mean(), ".3f"), (rows["bias"].mean(), "+.3f")]
    return f"| {name} | " + " | ".join("" if np.isnan(value) else f"{value:{form}}" for value, form in numbers) + " |"


def _settings() -> RegistrationSettings:
    section = yaml.safe_load((HERE.parent / "config/config.yaml").read_text())["register"]
    return RegistrationSettings.from_params(SimpleNamespace(**section))


def _image(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([SPACING] * 3)
    return image


COLUMNS = (
    "between the scans", "fell ill, % of the lung", "error there, mm", "elsewhere, mm", "ratio",
    "rise of density kept, %", "true log-Jacobian there", "bias",
)  # fmt: skip
PAGE = """\
# Registration of lungs that fall ill

Written by `benchmarks/falling_ill.py`: {pairs} pairs, {chests} real chests with {seeds} seeds each, in which a part of
the lung falls ill and shrinks between the scans ([illness.py](illness.py)). The rise of density is that of the tissue
that fell ill, as the registered scan shows it, in percent of what it shows under the true motion. The log-Jacobian is
the logarithm of the local change of volume; its bias is found minus true."""

if __name__ == "__main__":
    main()
