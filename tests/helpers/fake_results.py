"""A made-up set of results in the form that the stages leave, for tests of the report and for looking at it.

`PYTHONPATH=workflow/scripts:tests python -m helpers.fake_results FOLDER` writes results and report below FOLDER.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import SimpleITK as sitk
import yaml

from helpers.scripts import run_script
from lung4d.biomarkers.table import CORRECTED, readout_table
from lung4d.codebook.usage import Tally, usage_table, with_decoded
from lung4d.evaluate import findings
from lung4d.evaluate.calls.called import call_patients, call_table
from lung4d.evaluate.calls.findings import find_calls
from lung4d.evaluate.calls.rates import ASKED, RATES
from lung4d.evaluate.change import change_table
from lung4d.evaluate.forecasting import COLUMNS
from lung4d.evaluate.methods import CHANGES, MODEL, ORACLE, of_kind
from lung4d.evaluate.records import (
    Choice,
    EvaluateFindings,
    Learned,
    TakenOtherwise,
    VisitsJudged,
    WeightingChoice,
)
from lung4d.evaluate.summary import compare, groups, summarise
from lung4d.evaluate.volume.errors import find_volumes, volume_table
from lung4d.evaluate.volume.rivals import FULL, MEASURED, VolumeSeries
from lung4d.figures.codes import decoded_figure, exemplar_figure
from lung4d.io.atomic import write_json
from lung4d.io.names import forecast_stem
from lung4d.io.records import as_data
from lung4d.io.tables import read_table, write_table
from lung4d.survival.analysis import CINDEX
from lung4d.survival.findings import find_headline, find_unscored
from lung4d.survival.kaplan_meier import survival_curves
from lung4d.survival.records import ChosenCode, Followed, Group, Selection, SurvivalFindings
from lung4d.trajectories.strips import write_strips

ROOT = Path(__file__).resolve().parents[2]
PICTURED = ("convert", "segment", "register", "resample", "extract_latents", "generate_trajectories")
SHAPE, SPACING = (28, 40, 44), (10.0, 8.5, 8.5)  # (z, y, x) voxels and mm
METHODS = ("locf", "locf_blurred", "linear_latent", "weighted mean", "cohort_mean_change",
           "cohort_mean_change_smoothed", "model (pure)", "model (residual)", "model (mix)", of_kind(ORACLE)[0],
           "model (drawn)", "model (expected)")  # fmt: skip
SKILL = (1.0, 0.72, 1.1, 0.71, 0.9, 0.7, 0.8, 0.76, 0.62, 0.5, 0.7, 0.49)


def thorax(rng, disease: float, shift: float = 0.0):
    """(HU int16, lung labels uint8), both (z, y, x): a body with two lungs, vessels, and basal subpleural disease."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    z = z + shift
    body = (x / 0.92) ** 2 + (y / 0.75) ** 2 < 1
    hu = np.where(body, 40.0, -1000.0)
    labels = np.zeros(SHAPE, np.uint8)
    for label, side in ((1, -1), (2, 1)):
        radius = ((x - side * 0.42) / 0.34) ** 2 + (y / 0.52) ** 2 + (z / 0.8) ** 2
        lung = radius < 1
        labels[lung] = label
        vessels = 260 * np.exp(-(((x - side * 0.3) * 9) ** 2 + ((y - 0.5 * z) * 9) ** 2))
        rim = np.clip((radius - 0.55) / 0.45, 0, 1) * np.clip(-z + 0.1, 0, 1)
        hu[lung] = (-850 + vessels + 600 * disease * rim * (1 + 0.4 * np.sin(40 * x) * np.sin(37 * y)))[lung]
    return (hu + rng.normal(0, 25, SHAPE)).astype(np.int16), labels


def save(array, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin((-180.0, -160.0, -140.0))
    sitk.WriteImage(image, str(path))
    return str(path)


def table(frame, path: Path) -> str:
    write_table(frame, path)
    return str(path)


def cohort(patients: int, single: int, rng) -> pd.DataFrame:
    """Usable scans: subject, session, years, split; the last `single` patients have one visit."""
    rows = []
    for number in range(1, patients + 1):
        visits = 1 if number > patients - single else 2 + number % 4
        split = ("train", "test", "val", "train", "test")[number % 5]
        years = np.cumsum([0.0, *rng.uniform(0.6, 1.6, visits - 1)])
        rows += [(f"{number:03d}", f"{i:02d}", round(y, 3), split) for i, y in enumerate(years, start=1)]
    return pd.DataFrame(rows, columns=["subject", "session", "years", "split"])


def make(folder: Path, patients: int = 10, single: int = 1, outcomes: bool = True, odd: str = "") -> SimpleNamespace:
    """Write fake results below `folder`; the report's inputs and params. `odd`: the reason of an unusable scan."""
    rng = np.random.default_rng(0)
    split = cohort(patients, single, rng)
    scans(folder, split, rng)
    unusable = pd.DataFrame(
        [("002", "09", "segment", odd or "No lungs found: 12 ml of air-filled tissue, at least 300 ml are asked for.")],
        columns=["subject", "session", "stage", "reason"],
    )
    inputs = {
        "split": table(split, folder / "split/split.tsv"),
        "unusable": table(unusable, folder / "split/unusable.tsv"),
        "qc": table(quality(split, unusable, rng), folder / "qc/qc.tsv"),
        **models(folder, split, rng),
        **codebook(folder / "codebook", rng),
        "readouts": table(readouts(folder, split), folder / "biomarkers/readouts.tsv"),
    }
    if outcomes:
        inputs |= prognosis(folder, rng)
    people = sorted(split["subject"].unique())
    records = [{"subject": s, "followup_years": 4.0, "event": i % 2, "age": 70.0} for i, s in enumerate(people)]
    params = {
        "title": "Lung CT at any time point",
        "patients": 2,
        "simulated": True,
        "config": yaml.safe_load((ROOT / "config/config.yaml").read_text()),
        "participants": records if outcomes else [],
        "excluded": [{"subject": "003", "session": "08", "reason": "contrast agent"}],
        "folders": {stage: folder / stage for stage in PICTURED},
    }
    return SimpleNamespace(inputs=inputs, params=params)


def scans(folder: Path, split: pd.DataFrame, rng) -> None:
    """Images of every scan, native and preprocessed, reconstructions and generated volumes."""
    for subject, rows in split.groupby("subject"):
        pace = rng.uniform(0.05, 0.3)
        latents, generated = folder / f"extract_latents/sub-{subject}", folder / f"generate_trajectories/sub-{subject}"
        latents.mkdir(parents=True)
        for row in rows.itertuples():
            disease = 0.15 + pace * row.years
            stem = f"sub-{subject}/sub-{subject}_ses-{row.session}"
            moved = thorax(rng, disease, shift=0.0 if row.years == 0 else 0.12)
            aligned, lungs = thorax(rng, disease)
            save(moved[0], folder / f"convert/{stem}_ct.nii.gz")
            save(moved[1], folder / f"segment/{stem}_desc-lung_mask.nii.gz")
            save(aligned, folder / f"register/{stem}_space-baseline_ct.nii.gz")
            save(aligned, folder / f"resample/{stem}_desc-preproc_ct.nii")
            save((lungs > 0).astype(np.uint8), folder / f"resample/{stem}_desc-lung_mask.nii.gz")
            blurred = sitk.GetArrayFromImage(sitk.DiscreteGaussian(sitk.GetImageFromArray(aligned.astype(float)), 0.6))
            drawn = latents / f"sub-{subject}_ses-{row.session}_desc-reconstruction_ct.nii.gz"
            save(blurred.astype(np.int16), drawn)
        generate(generated, subject, rows, pace, rng)
        stems = {session: folder / f"resample/sub-{subject}/sub-{subject}_ses-{session}" for session in rows["session"]}
        write_strips(
            generated,
            read_table(generated / f"sub-{subject}_trajectories.tsv"),
            list(zip(rows["session"], rows["years"], strict=True)),
            {session: f"{stem}_desc-preproc_ct.nii" for session, stem in stems.items()},
            f"{stems['01']}_desc-lung_mask.nii.gz",
        )


def generate(folder: Path, subject: str, rows: pd.DataFrame, pace: float, rng) -> Path:
    sessions, made = list(rows["session"]), []
    sets = [sessions] + ([sessions[:2]] if len(sessions) > 2 else [])
    for given in sets:
        end = rows.loc[rows["session"].isin(given), "years"].max() + 2
        for year in sorted({*np.arange(0, end), *rows["years"]}):
            name = f"{forecast_stem(subject, given, year)}_desc-generated_ct.nii.gz"
            save(thorax(rng, 0.15 + 0.8 * pace * year)[0], folder / name)
            made.append((subject, "+".join(given), year, "residual", name))
    frame = pd.DataFrame(made, columns=["subject", "given", "years", "decoding", "file"])
    write_table(frame, folder / f"sub-{subject}_trajectories.tsv")
    return folder


def readouts(folder: Path, split: pd.DataFrame) -> pd.DataFrame:
    """Read-outs of real scans, and of the generated ones a little beside them."""
    real = split.drop(columns="split").assign(kind="real", given="")
    tables = [read_table(path) for path in sorted(folder.glob("generate_trajectories/*/*_trajectories.tsv"))]
    drawn = pd.concat(tables)[["subject", "given", "years"]].assign(kind="generated", session="")
    frame = pd.concat([real, drawn], ignore_index=True)
    off = np.where(frame["kind"] == "real", 0, 0.3)
    values = {"mean_density_hu": -760, "high_attenuation_percent": 12, "skewness": 1.8, "kurtosis": 3.5}
    slopes = {"mean_density_hu": 25, "high_attenuation_percent": 3, "skewness": -0.2, "kurtosis": -0.6}
    measures = {name: start + slopes[name] * (frame["years"] + off) for name, start in values.items()}
    measures |= {name: measures[name.removesuffix("_corrected")] - 3 * frame["years"] for name in CORRECTED}
    frame = frame.assign(**measures, lung_volume_ml=4300 - 120 * frame["years"])
    ends = {f"mean_density_hu_{end}": frame["mean_density_hu"] + off for end, off in (("low", -30), ("high", 40))}
    ends["mean_density_hu_patients"] = frame["years"].map(lambda years: 6.0 if years > 2 else 30.0)
    foretold = {f"lung_volume_ml_{end}": 4300 - 120 * frame["years"] + 200 * number
                for number, end in ((0, "forecast"), (-1, "low"), (1, "high"))}  # fmt: skip
    ends |= foretold
    bands = frame[frame["kind"] == "generated"].assign(**ends)
    return readout_table(frame, bands[["subject", "given", "years", *ends]])


def quality(split: pd.DataFrame, unusable: pd.DataFrame, rng) -> pd.DataFrame:
    frame = split.drop(columns="split").assign(ok=True, stage="", reason="", flags="")
    frame["segment_volume_ml"] = rng.normal(4200, 500, len(frame))
    frame["register_dice_before"] = np.where(frame["years"] == 0, 1.0, rng.uniform(0.7, 0.9, len(frame)))
    frame["register_dice_after"] = np.where(frame["years"] == 0, 1.0, rng.uniform(0.95, 0.99, len(frame)))
    frame["register_displacement_p95_mm"] = rng.uniform(4, 16, len(frame))
    frame["register_folded_percent"] = 0.0
    frame = frame.assign(register_differs_in="", register_differences="")
    sharp, smaller = "Kernel B60f, at the baseline B30f.", "The lung volume is 45% smaller than at the baseline visit."
    for row, visit in enumerate(frame.index[frame["years"] > 0]):
        frame.loc[visit, ["register_differs_in", "register_differences", "flags"]] = ["kernel", sharp, sharp]
        if row == 0:
            frame.loc[visit, "flags"] = f"Only one lung was found. {sharp} {smaller}"
    return pd.concat([frame, unusable.assign(ok=False, flags="")], ignore_index=True)


def bands() -> pd.DataFrame:
    """Coverage of the bands as `evaluate` writes it."""
    held = [
        (name, group, value, measure, verdict)
        for name in ("other site", "test")
        for measure in ("high_attenuation_percent", "mean_density_hu")
        for group, value, verdict in (
            ("all", "all", "as promised"), ("horizon", "short", "as promised"), ("horizon", "long", "too narrow"),
            ("pace", "slow", "too wide"), ("pace", "fast", "too narrow"), ("taken", "as the baseline", "as promised"),
            ("taken", "kernel", "too few patients"),
        )
    ]  # fmt: skip
    numbers = {
        "patients": 40,
        "gap_low": 0.4,
        "gap_high": 2.2,
        "visits": 110,
        "coverage": 0.913,
        "coverage_low": 0.87,
        "coverage_high": 0.96,
    }
    carried = {"carried_coverage": 0.9, "carried_coverage_low": 0.8, "carried_coverage_high": 1.0}
    widths = {"width": 52.4, "carried_width": 99.2, "change": 3.2}
    table = pd.DataFrame(held, columns=["set", "group", "value", "measure", "held"])
    density = table["measure"] == "mean_density_hu"
    floors = {"floor": np.where(density, 5.0, np.nan), "below_floor": np.where(density, "change", "")}
    return table.assign(**numbers, **carried, **widths, **floors)


def rates(name: str, rng, patients: int = 12) -> pd.DataFrame:
    """How fast every method says that the patients of a set change, and how fast they do; the model knows half."""
    true = np.repeat([0.2, 2.0, 6.0], patients // 3)
    rows = [
        (name, f"{name}{one}", ("stable", "slow", "fast")[one % 3] if name == "test" else "", given, after, method,
         (0.5 if method in of_kind(MODEL) else 0.1) * rate + rng.normal(0, 0.6), rate, "truth")
        for given, after in ASKED for method in METHODS if method not in of_kind(ORACLE)
        for one, rate in enumerate(true)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=RATES)


def volumes(rng) -> list[VolumeSeries]:
    """Lungs that lose 100 ml a year, seen in breaths of their own."""
    found = []
    for number in range(30):
        years = np.cumsum([0.0, *rng.uniform(0.6, 1.4, 3)])
        full = 5000 + 300 * rng.normal() - 100 * years
        split = ("train", "val", "test")[number % 3]
        read = {MEASURED: full * rng.uniform(0.8, 1.0, 4), FULL: full}
        made = 0.9 * full[:, None] * rng.normal(1, 0.02, (4, 1)) * [1, 0.87, 1.13]
        found.append(VolumeSeries(f"{number:03d}", split, split, years, read, made))
    return found


def models(folder: Path, split: pd.DataFrame, rng) -> dict[str, str]:
    """Histories, and the evaluation of the test patients with three visits."""
    steps = np.arange(1, 601)
    fall = np.exp(-steps / 150) + 0.2
    vqgan = pd.DataFrame({"step": steps, "loss": 4 * fall, "reconstruction": fall * rng.normal(1, 0.05, 600)})
    vqgan["codes_used"] = 40 + 60 * (1 - np.exp(-steps / 100))
    vqgan["held_out_reconstruction"] = np.where(steps % 100 == 0, 1.1 * fall, np.nan)
    ode = pd.DataFrame({"step": steps[:60], "loss": fall[:60], "difference": 0.5 * fall[:60]})
    ode["error_over_locf"] = np.where(steps[:60] % 10 == 0, 1.05 - 0.002 * steps[:60], np.nan)
    (folder / "train_vqgan").mkdir(parents=True)
    (folder / "train_ode").mkdir()
    vqgan.to_parquet(folder / "train_vqgan/history.parquet")
    ode.to_parquet(folder / "train_ode/history.parquet")
    inputs = {
        "vqgan_history": str(folder / "train_vqgan/history.parquet"),
        "ode_history": str(folder / "train_ode/history.parquet"),
    }
    held_out = split[split["split"].isin(["val", "test"])]
    keys = ["subject", "session", "split"]
    scores = [held_out[keys].assign(region=r, mse=m, psnr=28.0, ssim=0.8) for r, m in (("lung", 2e-3), ("whole", 9e-4))]
    codes = [
        pd.DataFrame({"split": s, "code": range(256), "used": np.arange(256) < 180, "perplexity": 61.2})
        for s in ("val", "test")
    ]
    forecast = forecasts(split, rng)
    words = folder / "evaluate/summary.json"
    follow_ups = split[split["years"] > 0][["subject", "session"]]
    errors = {"before_mean": 9.0, "before_p95": 15.0, "after_mean": 1.2, "after_median": 0.9, "after_p95": 2.8}
    tables = {
        "reconstruction": pd.concat(scores),
        "codes": pd.concat(codes),
        "forecast": forecast,
        "summary": summarise(forecast, 200, 0),
        "differences": compare(forecast, 200, 0),
        "change": change_table(groups(forecast), 200, 0),
        "coverage": bands(),
        "rates": (told := pd.concat([rates("val", rng, 24), rates("test", rng, 36)])),
        "calls": call_table(call_patients(told)),
        "volume": volume_table(volumes(rng), 200, 0),
        "segmentation": split[["subject", "session"]].assign(dice=0.973),
        "registration": follow_ups.assign(**errors),
    }
    paths = {name: table(frame, folder / f"evaluate/{name}.tsv") for name, frame in tables.items()}
    patients = split.drop_duplicates("subject")["split"].value_counts().to_dict()
    write_json({"findings": as_data(found_of(tables, {"test": patients.get("test", 0)}))}, words)
    shown = ("change", "coverage", "calls", "volume", "segmentation", "registration")
    inputs |= {name: paths[name] for name in shown}
    return inputs | {"forecast_summary": paths["summary"], "evaluate_words": str(words)}


def found_of(tables: dict[str, pd.DataFrame], patients: dict[str, int]) -> EvaluateFindings:
    """What the evaluation would find in its tables, with made-up numbers of what it learned."""
    signal = {"test": {"rms_hu": 81.0, "disease_share": 0.61, "patients": patients["test"]}}
    chosen, told = Choice(0.5, "val", 3), tables["rates"]
    called, from_more = find_calls(tables["calls"], call_patients(told), told, findings.verdict, 200, 0)
    return EvaluateFindings(
        reconstructed=findings.find_reconstructed(tables["reconstruction"]),
        codes=findings.find_codes(tables["codes"]),
        learned=Learned(chosen, chosen, 17.0, 9, (), WeightingChoice((), "val", 3), 16, 9),
        hardness=findings.find_hardness(signal),
        tasks=findings.find_tasks(
            tables["summary"], tables["change"], patients, [name for name in patients if name != "test"]
        ),
        rivals=findings.find_rivals(tables["differences"]),
        better=findings.find_better(tables["differences"], ["test"]),
        bands=findings.find_bands(tables["coverage"]),
        called=called,
        from_more=from_more,
        volumes=find_volumes(tables["volume"], findings.verdict),
        judged=(VisitsJudged("test", 12, 3, (TakenOtherwise("breath", 1), TakenOtherwise("kernel", 2))),),
        masks=findings.find_masks(tables["segmentation"]),
        fields=findings.find_fields(tables["registration"]),
    )


def changes(method: str, true: float, rng) -> dict[str, object]:
    """What a method that is a model foretells of a change, and what others do not."""
    if method in of_kind(ORACLE):
        return {"source": ""}
    foretold = 0.8 * true * (method in of_kind(MODEL))
    read = {f"true_{name}": true + rng.normal(0, 0.1) for name in CHANGES}
    read |= {f"predicted_{name}": foretold and foretold + rng.normal(0, 0.1) for name in CHANGES}
    return {"source": "truth", **read, "delta_ssim": 0.9, "delta_error": 0.01, "delta_size": 0.02}


def forecasts(split: pd.DataFrame, rng) -> pd.DataFrame:
    rows = []
    for subject, part in split[split["split"] == "test"].groupby("subject"):
        visits = part.reset_index(drop=True)
        for task, targets, last in (("extrapolation", visits[2:], 1), ("interpolation", visits[1:-1], 0)):
            for target in targets.itertuples() if len(visits) > 2 else ():
                hard = rng.uniform(0.004, 0.009)
                for method, factor in zip(METHODS, SKILL, strict=True):
                    for region in ("lung", "whole"):
                        mse = hard * factor * rng.normal(1, 0.05)
                        rows.append(
                            {
                                "subject": subject, "set": "test", "course": "", "extent_per_year": float(subject),
                                "task": task, "session": target.session, "years": target.years,
                                "horizon": target.years - visits["years"][last], "method": method, "region": region,
                                "mse": mse, "psnr": -10 * np.log10(mse), "ssim": 0.8, "nrmse": mse**0.5,
                                "mse_lowpass": 0.3 * mse if region == "lung" else np.nan,
                                **(changes(method, float(subject), rng) if region == "lung" else {"source": ""}),
                            }
                        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def codebook(folder: Path, rng, codes: int = 300) -> dict[str, str]:
    """A codebook of which the last tenth is not in use, with its pictures."""
    counts = np.where(np.arange(codes) < 0.9 * codes, rng.integers(100, 2000, codes), 0)
    tally = Tally(codes, 4)
    tally.counts |= {"train": counts, "test": counts // 3}
    density = np.linspace(-950.0, 60, codes)
    tally.hu_sum, tally.hu_squares = counts * density, counts * (density**2 + 90**2)
    blocks = {code: rng.normal(-950 + 1010 * code / codes, 60, (4, 4, 4)) for code in range(codes)}
    usage = with_decoded(usage_table(tally), np.array(list(blocks)), np.array(list(blocks.values())))
    patches = {code: [rng.normal(-900 + code, 80, (20, 20)) for _ in range(1 + code % 4)] for code in range(codes)}
    pictures = {"decoded": decoded_figure(usage, blocks), "exemplars": exemplar_figure(usage, patches)}
    inputs = {"codebook": table(usage, folder / "codebook.tsv")}
    for name, png in pictures.items():
        (folder / f"{name}.png").write_bytes(png)
    return inputs | {"codes_decoded": str(folder / "decoded.png"), "code_exemplars": str(folder / "exemplars.png")}


def prognosis(folder: Path, rng) -> dict[str, str]:
    """Tables of a survival analysis in which one row could not be computed."""
    curves = []
    for scan in ("real", "generated"):
        risky, time, event = rng.random(24) > 0.5, rng.exponential(2.5, 24), rng.random(24) > 0.4
        curve = survival_curves(risky, time / (1 + risky), event)
        curves.append(curve.assign(analysis="third scan", model="codes", scan=scan, set="test"))
    counts = {"patients": 6, "events": 4, "training_patients": 14, "training_events": 7, "variables": 8}
    counts["events_per_variable"] = 0.9
    scored = [
        {"analysis": "third scan", "model": model, "scan": scan, "set": "test", "c_index": c, "c_low": c - 0.2,
         "c_high": min(c + 0.2, 1), "apparent_c_in_sample": 0.9, "optimism_corrected_c": 0.6, "reason": "", **counts}
        for model, scan, c in (("codes", "real", 0.71), ("codes", "generated", 0.66), ("covariates only", "none", 0.6))
    ]  # fmt: skip
    scored.append({"analysis": "one-year change", "model": "codes", "scan": "real", "set": "test", "patients": 0,
                   "events": 0, "reason": "3 events in the fitted patients, at least 5 are asked for"})  # fmt: skip
    scored[1] |= {"difference_to_real": -0.05, "difference_low": -0.2, "difference_high": 0.1}
    cindex = pd.DataFrame(scored, columns=CINDEX)
    selection = pd.DataFrame({"code": [f"code_{i:03d}" for i in range(8)], "present_in": 12, "mean_frequency": 0.01})
    selection = selection.assign(coef=0.5, hazard_ratio=1.65, p=np.linspace(0.0004, 0.2, 8), q=0.2, rank=range(1, 9))
    selection = selection.assign(selected=selection["rank"] <= 5, reason="", stability=0.4)
    best = [ChosenCode(row.code, row.p, row.q, row.stability) for row in selection[selection["selected"]].itertuples()]
    found = SurvivalFindings(
        headline=find_headline(cindex),
        followed=(Followed("third scan", (Group("test", 6, 4),), ()),),
        selection=Selection(8, 0, 0, tuple(best), ""),
        unscored=find_unscored(cindex),
    )
    write_json({"findings": as_data(found), "method": "Cox models."}, folder / "survival/summary.json")
    return {
        "cindex": table(cindex, folder / "survival/cindex.tsv"),
        "selection": table(selection, folder / "survival/selection.tsv"),
        "kaplan_meier": table(pd.concat(curves), folder / "survival/kaplan_meier.tsv"),
        "survival_words": str(folder / "survival/summary.json"),
    }


def write_report(folder: Path, made: SimpleNamespace) -> Path:
    """Run the report's script on made-up results."""
    output = {"index": str(folder / "report/index.html"), "map": str(folder / "README.md")}
    run_script("report", made.inputs, output, made.params, folder / "logs/report.log")
    return Path(output["index"])


if __name__ == "__main__":
    print(write_report(Path(sys.argv[1]), make(Path(sys.argv[1]))))
