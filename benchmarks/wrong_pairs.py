"""Does the check of registered pairs tell right pairs from wrong ones? Pairs of the built-in cohort and of real CT.

    python benchmarks/wrong_pairs.py --data ../shared/data --work results/wrong_pairs --develop   # coefficients
    python benchmarks/wrong_pairs.py --data ../shared/data --work results/wrong_pairs             # wrong_pairs.md

Right pairs are visits of one patient: as usual, with strong disease, with large breaths, of single lungs, and real CT
with a known motion. Wrong ones are another person's visit, and a visit whose axes lie the wrong way, with each of the
seven signs. The pairs that develop the score and those of the table have no patient in common; real CT is in the table
alone. What is already in the work folder is not made again.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts")]

from cases import FILES
from lung4d.convert.read import read_scan
from lung4d.io.status import UnusableScan
from lung4d.pipeline.door.configuration import load_yaml, overlaid
from lung4d.register import pair_check, pair_score, registration
from lung4d.register.registration import RegistrationSettings
from lung4d.segment.masks import segment_by_intensity
from lung4d.simulate.cohort import scan_path, simulate_cohort
from lung4d.simulate.patient import write_patient
from motion import isotropic_grid, move

CONFIG = load_yaml(ROOT / "config/config.yaml")
SEEDS = {"develop": 101, "test": 202}
GROUPS = {  # patients, and what differs from the usual
    "usual": (22, {}),
    "strong disease": (17, {"pace": 2.5}),
    "large breaths": (17, {"max_displacement": 30.0}),
    "single lungs": (17, {}),
}
SMALL = {"spacing": [4.0, 2.5, 2.5]}  # voxels, mm; every eighth patient has the cohort's usual ones
MOTIONS = (1, 2, 3, 4)  # of each real CT
SIGNS = [signs for signs in product((False, True), repeat=3) if any(signs)]
ANOTHER = "another person"
PER_SIGN = 20  # patients for each sign of the axes
DEVELOP = 2  # times fewer of everything
SIGNS_OF = 3  # for one wrong pair in so many it is looked what the flag says of the axes: eight registrations more
EVIDENCE = list(pair_score.TERMS)


@dataclass(frozen=True)
class Pair:
    """Two scans by name; `kind` is "right", "another person", or what reverses the follow-up."""

    group: str
    kind: str
    baseline: str
    followup: str
    signs: tuple[bool, ...] = (False, False, False)

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.baseline} and {self.followup}"


def main() -> None:
    arguments = _arguments()
    part = "develop" if arguments.develop else "test"
    work = arguments.work / part
    work.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(arguments.processes) as pool:
        scans = _scans(part, work, arguments.data, pool)
        pairs = list(_pairs(scans, PER_SIGN // (DEVELOP if arguments.develop else 1)))
        todo = [pair for pair in pairs if not _kept(work, pair).exists()]
        for number, _ in enumerate(pool.map(_measure, todo, [work] * len(todo)), start=1):
            print(f"{number} of {len(todo)} pairs", flush=True)
        rows = pd.DataFrame([json.loads(_kept(work, pair).read_text()) for pair in pairs])
        rows.to_csv(arguments.work / f"{part}.tsv", sep="\t", index=False)
        if arguments.develop:
            print(coefficients(rows))
            return
        rows["score"] = [pair_score.wrong_pair_score(row.dropna().to_dict()) for _, row in rows[EVIDENCE].iterrows()]
        rows["flagged"] = rows["unusable"] | (rows["score"] > pair_score.MOST_SCORE)
        asked = rows[rows["flagged"] & (rows["kind"] != "right") & ~rows["unusable"]].iloc[::SIGNS_OF].index
        found = pool.map(_signs, [pairs[place] for place in asked], [work] * len(asked))
        rows["found"] = pd.Series(list(found), index=asked, dtype=object)
    rows.to_csv(arguments.work / f"{part}.tsv", sep="\t", index=False)
    Path(__file__).with_suffix(".md").write_text(table(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder of the real CT")
    parser.add_argument("--work", type=Path, required=True, help="folder for scans and numbers")
    parser.add_argument("--develop", action="store_true", help="fit the score instead of trying it")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


# Scans


def _scans(part: str, work: Path, data: Path, pool: ProcessPoolExecutor) -> dict[str, dict[str, list[str]]]:
    """By group and patient, the names of the scans in the work folder, the baseline first."""
    jobs = []
    for number, (group, (patients, changes)) in enumerate(GROUPS.items()):
        for index in range(patients // (DEVELOP if part == "develop" else 1)):
            jobs.append((part, group, number, patients, index, changes, work))
    found: dict[str, dict[str, list[str]]] = {group: {} for group in GROUPS}
    for job, names in zip(jobs, pool.map(_make_patient, jobs), strict=True):
        if len(names) > 1:
            found[job[1]][names[0].rpartition("_")[0]] = names
    if part == "test":
        made = pool.map(_make_real, FILES, [data] * len(FILES), [work] * len(FILES))
        found["real CT"] = {names[0].rpartition("_")[0]: names for names in made}
    return found


def _make_patient(job) -> list[str]:
    part, group, number, patients, index, changes, work = job
    name = f"{group.replace(' ', '-')}-{index:02d}"
    done = work / f"{name}.json"
    if done.exists():
        return json.loads(done.read_text())
    spacing = SMALL if index % 8 else {}
    own = {"patients": patients, "visits": [3, 3], "seed": SEEDS[part] + 1000 * number}
    settings = overlaid(CONFIG["simulate"], {**own, **spacing, **changes})
    patient = simulate_cohort(settings)[index]
    folder = work / "simulated" / name
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
    for below in ("images", "truth"):
        (folder / below).mkdir(parents=True, exist_ok=True)
    write_patient(settings, patient, folder / "images", folder / "truth")
    names = []
    for visit in patient.visits:
        scan = read_scan(folder / "images" / Path(scan_path(patient, visit)).name).image
        if group == "single lungs":
            scan = _half(scan, left=bool(index % 2))
        if _save(scan, work, f"{name}_{visit.session}"):
            names.append(f"{name}_{visit.session}")
    done.write_text(json.dumps(names))
    return names


def _half(scan: sitk.Image, left: bool) -> sitk.Image:
    """The scan from a little beyond the body's middle to one side; x grows to the patient's left."""
    columns = scan.GetSize()[0]
    toward_left = scan.GetDirection()[0] > 0
    keep = int(0.54 * columns)
    start = columns - keep if left == toward_left else 0
    return sitk.RegionOfInterest(scan, [keep, *scan.GetSize()[1:]], [start, 0, 0])


def _make_real(source: str, data: Path, work: Path) -> list[str]:
    names = [f"{source.replace('_', '-')}_{number:02d}" for number in (0, *MOTIONS)]
    if all(_paths(work, name)[1].exists() for name in names):
        return names
    whole = read_scan(data / FILES[source]).image
    mask = segment_by_intensity(whole).mask
    _write(whole, mask, work, names[0])
    spacing = 2.0
    size, step = whole.GetSize(), whole.GetSpacing()
    shape = tuple(int((n - 1) * s / spacing) + 1 for n, s in zip(size, step, strict=True))[::-1]
    grid = isotropic_grid(whole, shape, spacing)
    here = sitk.Transform(3, sitk.sitkIdentity)
    lung = sitk.GetArrayFromImage(sitk.Resample(mask, grid, here, sitk.sitkNearestNeighbor, 0)) > 0
    for name, seed in zip(names[1:], MOTIONS, strict=True):
        moved = sitk.GetImageFromArray(np.rint(move(sitk.Cast(whole, sitk.sitkFloat32), lung, spacing, seed).scan))
        moved.CopyInformation(grid)
        _save(sitk.Cast(moved, sitk.sitkInt16), work, name)
    return names


def _save(scan: sitk.Image, work: Path, name: str) -> bool:
    """Segment and keep a scan; whether it can be used."""
    try:
        mask = segment_by_intensity(scan).mask
    except UnusableScan:
        return False
    _write(scan, mask, work, name)
    return True


def _write(scan: sitk.Image, mask: sitk.Image, work: Path, name: str) -> None:
    for image, path in zip((scan, mask), _paths(work, name), strict=True):
        sitk.WriteImage(image, str(path))


def _paths(work: Path, name: str) -> tuple[Path, Path]:
    return work / f"{name}_ct.mha", work / f"{name}_mask.mha"


# Pairs


def _pairs(scans: dict[str, dict[str, list[str]]], per_sign: int) -> Iterator[Pair]:
    for group, patients in scans.items():
        for names in patients.values():
            yield from (Pair(group, "right", names[0], name) for name in names[1:])
    for group, patients in scans.items():
        everyone = list(patients.values())
        for names, others in zip(everyone, everyone[1:] + everyone[:1], strict=True):
            if group != "single lungs" or len(others) > 1:
                yield Pair(group, ANOTHER, names[0], others[-1])
    whole = [(group, names) for group in scans if group != "single lungs" for names in scans[group].values()]
    for number, signs in enumerate(SIGNS):
        for place in range(per_sign):
            group, names = whole[(7 * place + number) % len(whole)]
            yield Pair(group, _said(signs), names[0], names[1], signs)


def _said(signs: tuple[bool, ...]) -> str:
    return " and ".join(word for word, sign in zip(pair_check.WORDS, signs, strict=True) if sign)


def _read(work: Path, pair: Pair) -> list[sitk.Image]:
    """Baseline, its mask, the follow-up as it would come in, and its mask as it would be segmented."""
    images = [sitk.ReadImage(str(path)) for name in (pair.baseline, pair.followup) for path in _paths(work, name)]
    if any(pair.signs):
        images[2] = pair_check.reverse_axes(images[2], pair.signs)
        images[3] = segment_by_intensity(images[2]).mask
    return images


def _settings(pair: Pair) -> RegistrationSettings:
    """As in the demo, and for every eighth patient as by default."""
    number = pair.baseline.rpartition("_")[0].rpartition("-")[2]
    fine = number.isdigit() and int(number) % 8 == 0
    section = CONFIG["register"] | ({} if fine else {"spacing": 4.0})
    return RegistrationSettings(**{key: tuple(v) if isinstance(v, list) else v for key, v in section.items()})


def _kept(work: Path, pair: Pair) -> Path:
    return work / "pairs" / f"{pair.name.replace(' ', '-').replace(':', '')}.json"


def _measure(pair: Pair, work: Path) -> None:
    """Register a pair and keep its numbers."""
    registration.use_threads(1)
    row = {"name": pair.name, "group": pair.group, "kind": pair.kind, "patient": pair.baseline.rpartition("_")[0]}
    try:
        baseline, mask, followup, other = _read(work, pair)
        found = registration.register(baseline, mask, followup, other, _settings(pair))
        field = sitk.DisplacementFieldTransform(sitk.Cast(found.field, sitk.sitkVectorFloat64))
        numbers = found.metrics | pair_score.evidence(baseline, mask, followup, other, field)
        row |= {"unusable": False, "dice_after": numbers["dice_after"]}
        row |= {name: numbers.get(name) for name in EVIDENCE}
    except UnusableScan:  # it stops at an earlier door, which is as good
        row |= {"unusable": True}
    path = _kept(work, pair)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(row))


def _signs(pair: Pair, work: Path) -> str:
    """What the flag of a doubtful pair says of its axes; ANOTHER where no signs would fit."""
    kept = _kept(work, pair).with_suffix(".signs")
    if not kept.exists():
        registration.use_threads(1)
        kept.write_text(_said(pair_check.find_signs(*_read(work, pair), _settings(pair))) or ANOTHER)
    return kept.read_text()


# What comes of it


def coefficients(rows: pd.DataFrame) -> str:
    """The terms of `pair_score` by logistic regression (L2), classes weighted alike, an absent number as usual."""
    from sklearn.linear_model import LogisticRegression

    rows = rows[~rows["unusable"]]
    right = rows["kind"] == "right"
    usual = rows.loc[right, EVIDENCE].median()
    spread = (rows.loc[right, EVIDENCE].quantile(0.95) - rows.loc[right, EVIDENCE].quantile(0.05)) / 2
    values = ((rows[EVIDENCE] - usual) / spread).clip(-4, 4).fillna(0)
    model = LogisticRegression(C=1.0, class_weight="balanced").fit(values, ~right)
    lines = [
        f'    "{name}": ScoreTerm({usual[name]:.3g}, {spread[name]:.2g}, {weight:.2f}),'
        for name, weight in zip(EVIDENCE, model.coef_[0], strict=True)
    ]
    scores = pd.Series(model.decision_function(values), index=rows.index)
    ends = f"right pairs up to {scores[right].max():.2f}, 99 % up to {scores[right].quantile(0.99):.2f}; wrong ones"
    ends += f" from {scores[~right].min():.2f}, 5 % below {scores[~right].quantile(0.05):.2f}"
    return "\n".join(["TERMS = {", *lines, "}", f"OFFSET = {model.intercept_[0]:.2f}", f"# {len(rows)} pairs: {ends}"])


def table(rows: pd.DataFrame) -> str:
    """The page: what is flagged of each kind, with intervals over patients."""
    lines = [
        "# Wrong pairs: what the check of registered pairs flags",
        "",
        "Made by `benchmarks/wrong_pairs.py`. No patient here had a part in the score's coefficients or threshold. The",
        "intervals (95 %) are those of Clopper and Pearson for as many pairs as the patients, whose pairs are alike,",
        "are worth (Korn and Graubard 1998). A pair that the registration refuses by itself counts as flagged; the",
        "column after the interval leaves these pairs out. The last one: how often the flag says what is wrong, of the",
        "pairs for which that was looked at.",
        "",
        "| pairs | patients | pairs | flagged | interval | by the check alone | Dice, median | named rightly |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    right = rows["kind"] == "right"
    parts = {"**right pairs**": rows[right]} | {f"right, {g}": p for g, p in rows[right].groupby("group", sort=False)}
    parts |= {"**wrong pairs**": rows[~right]} | {str(k): p for k, p in rows[~right].groupby("kind", sort=False)}
    for words, part in parts.items():
        low, high = interval(part)
        asked = part[part["found"].notna()]
        named = f"{(asked['found'] == asked['kind']).sum()} of {len(asked)}" if len(asked) else ""
        share = f"{part['flagged'].sum()} ({100 * part['flagged'].mean():.1f} %)"
        dice = f"{part['dice_after'].median():.3f}"
        between = f"{100 * low:.1f} to {100 * high:.1f} %"
        checked = part.loc[~part["unusable"], "flagged"]
        alone = f"{checked.sum()} of {len(checked)}"
        cells = [words, part["patient"].nunique(), len(part), share, between, alone, dice, named]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def interval(part: pd.DataFrame) -> tuple[float, float]:
    """95 % interval of the flagged share, pairs of a patient being alike (Korn and Graubard 1998, eq. 2)."""
    flagged, count = part["flagged"].astype(float), len(part)
    share, patients = flagged.mean(), part["patient"].nunique()
    effective = float(count)
    if 0 < share < 1:
        sums = (flagged - share).groupby(part["patient"]).sum()
        variance = patients / (patients - 1) * (sums**2).sum() / count**2
        few = stats.t.ppf(0.975, count - 1) / stats.t.ppf(0.975, patients - 1)
        effective = min(count, share * (1 - share) / variance * few**2)
    hits = share * effective
    low = stats.beta.ppf(0.025, hits, effective - hits + 1) if hits > 0 else 0.0
    high = stats.beta.ppf(0.975, hits + 1, effective - hits) if hits < effective else 1.0
    return float(low), float(high)


if __name__ == "__main__":
    main()
