"""Trainings of the 3D-VQ-GAN on the simulated cohort: codebook sizes and compressions compared, and one long run.

    .venv/bin/snakemake --cores 2 --configfile config/demo.yaml --directory WORK scans
    .venv/bin/python benchmarks/vqgan_training.py --data WORK/results --work WORK/trainings [--jobs 2]

Writes vqgan_training.md and vqgan_training.png beside this file. Every training is a process of its own with one
thread; one that was interrupted goes on from its checkpoint.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow/scripts"))
from lung4d.io.atomic import atomic
from machine import processor

SHORT = {  # equal steps for all rows; the weights of the demo, because the paper's want its 20,000 steps
    "width": 8, "batch": 1, "accumulation": 1, "steps": 600, "gan_start": 540, "lr": 1e-3, "restart_after": 20,
    "perceptual_weight": 0.4, "gan_weight": 0.1, "discriminator_channels": 16, "validate_every": 60, "save_every": 60,
}  # fmt: skip
ROWS = {"K 256, r 4": {}, "K 4096, r 4": {"codes": 4096}, "K 256, r 8": {"compression": 8}}
SEEDS = (1, 2, 3)
LONG = SHORT | {
    "crop": (16, 16, 16),
    "batch": 2,
    "steps": 10000,
    "gan_start": 5000,
    "validate_every": 500,
    "save_every": 500,
}
MSE = "held_out_lung_mse"


@dataclass(frozen=True)
class Training:
    """`values` are those that differ from config/config.yaml's section train_vqgan."""

    row: str
    seed: int
    values: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.row.replace(', ', '_').replace(' ', '')}_seed-{self.seed}"


TRAININGS = [
    *(Training(row, seed, SHORT | change) for row, change in ROWS.items() for seed in SEEDS),
    Training("long", 1, LONG),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="results folder with split/ and resample/")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and histories")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    arguments = parser.parse_args()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        histories = list(pool.map(lambda training: _history(training, arguments), TRAININGS))
    table = pd.concat(
        history.assign(row=training.row, seed=training.seed)
        for training, history in zip(TRAININGS, histories, strict=True)
    )
    with atomic(HERE / "vqgan_training.png") as temporary:
        _picture(table).savefig(temporary, dpi=110, format="png")
    with atomic(HERE / "vqgan_training.md") as temporary:
        temporary.write_text(_page(table))


def _history(training: Training, arguments: argparse.Namespace) -> pd.DataFrame:
    folder = arguments.work / training.name
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        given = pd.Series(asdict(training)).to_json()
        command = [sys.executable, HERE / "one_vqgan_training.py", given, arguments.data, folder]
        with (folder / "log.txt").open("a") as log:
            subprocess.run(command, check=True, stderr=log)
        print(f"{training.name} done", flush=True)
    return pd.read_parquet(folder / "history.parquet")


def _picture(table: pd.DataFrame):
    figure, (short, long) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for colour, row in zip(("tab:blue", "tab:green", "tab:orange"), ROWS, strict=True):
        for seed, rows in table[(table["row"] == row) & table[MSE].notna()].groupby("seed"):
            short.plot(rows["step"], 1000 * rows[MSE], color=colour, label=row if seed == SEEDS[0] else None)
    short.set(title="held-out lung MSE x 1000, three seeds each", xlabel="step", yscale="log")
    short.legend()
    course = table[table["row"] == "long"]
    held_out = course[course[MSE].notna()]
    long.plot(held_out["step"], 1000 * held_out[MSE], "o-", markersize=3, label="held-out lung MSE x 1000")
    long.plot(held_out["step"], held_out["held_out_perplexity"], label="perplexity of the codes in the lung")
    long.plot(held_out["step"], held_out["memory_gb"] * 1000, label="memory of the process, MB")
    long.axvline(LONG["gan_start"], color="grey", linestyle=":", label="GAN starts")
    long.set(title="10,000 steps", xlabel="step", yscale="log")
    long.legend(fontsize=7)
    return figure


def _page(table: pd.DataFrame) -> str:
    last = table[(table["step"] == SHORT["steps"]) & (table["row"] != "long")].set_index(["row", "seed"])
    lines = [
        "# Trainings of the 3D-VQ-GAN on simulated scans",
        "",
        "Written by `benchmarks/vqgan_training.py`; what is trained: README.md. Error: MSE x 1000 in the lung, data",
        "range 1, on scans of patients that were not trained on, after the last step.",
        "",
        f"| {SHORT['steps']} steps | {' | '.join(f'seed {seed}' for seed in SEEDS)} | mean | codes used | perplexity |",
        "|---" * (len(SEEDS) + 4) + "|",
    ]
    for row in ROWS:
        values = last.loc[row]
        errors = " | ".join(f"{1000 * value:.2f}" for value in values[MSE])
        used, perplexity = values["held_out_codes_used"].mean(), values["held_out_perplexity"].mean()
        lines.append(f"| {row} | {errors} | {1000 * values[MSE].mean():.2f} | {used:.0f} | {perplexity:.0f} |")
    course = table[table["row"] == "long"]
    held_out = course[course[MSE].notna()].set_index("step")
    middle, end = held_out["memory_gb"].iloc[len(held_out) // 4], held_out["memory_gb"].iloc[-1]
    finite = course[["loss", "reconstruction", "commitment", "perceptual"]].notna().all().all()
    lines += [
        "",
        f"## {LONG['steps']:,} steps",
        "",
        f"Every loss of every step is {'finite' if finite else 'NOT finite'}. Memory of the process:",
        f"{middle:.3f} GB after a quarter of the steps, {end:.3f} GB at the end.",
        "",
        "| step | error | codes used | perplexity |",
        "|---|---|---|---|",
    ]
    for step in held_out.index[held_out.index % (LONG["steps"] // 10) == 0]:
        now = held_out.loc[step]
        error, used, perplexity = 1000 * now[MSE], now["held_out_codes_used"], now["held_out_perplexity"]
        lines.append(f"| {step} | {error:.2f} | {used:.0f} | {perplexity:.0f} |")
    lines += ["", "![curves](vqgan_training.png)", "", f"One thread of {processor()}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
