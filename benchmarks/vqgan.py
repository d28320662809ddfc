"""A training micro-step of our 3D-VQ-GAN against a plain implementation of it and MONAI's VQVAE.

    .venv/bin/python benchmarks/vqgan.py [--sizes 32x64x64 48x128x128]

Writes vqgan.md beside this file. Every step is measured in a process of its own, one after the other. Where there is a
GPU, steps on 96 x 256 x 256 voxels are measured on it; their operations are counted anywhere.
"""

import argparse
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pandas as pd
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow/scripts"))
from lung4d.io.atomic import atomic
from machine import processor
from steps import METHODS, count_flops

STAGES = ("before", "after")
WHOLE = "96x256x256"
GIB, TERA = 2**30, 1e12
GOALS = {  # (stage, size): largest share of the plain implementation's CPU-seconds, memory in GiB, operations in TFLOP
    ("before", "48x128x128"): {"share": 0.33},
    ("after", "48x128x128"): {"share": 0.40, "memory": 1.6},
    ("before", WHOLE): {"flops": 7.9},
    ("after", WHOLE): {"flops": 11.6},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["32x64x64", "48x128x128"], help="measured on the CPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="steps of which the median counts")
    arguments = parser.parse_args()
    places = [(size, "cpu") for size in arguments.sizes] + [(WHOLE, "cuda")] * torch.cuda.is_available()
    rows = []
    for size, device in places:
        for stage in STAGES:
            for method in METHODS:
                rows.append({"size": size, "device": device, "stage": stage, "method": method})
                rows[-1] |= _measured(method, size, device, stage, arguments) | {"flops": _flops(method, size, stage)}
                print(rows[-1], flush=True)
    counts = {(method, stage): _flops(method, WHOLE, stage) for method in METHODS for stage in STAGES}
    with atomic(HERE / "vqgan.md") as temporary:
        temporary.write_text(_page(pd.DataFrame(rows), counts, arguments))


def _measured(method: str, size: str, device: str, stage: str, arguments: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, HERE / "one_vqgan.py", method, size, device, stage]
    command += [str(arguments.threads), str(arguments.repeats)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _flops(method: str, size: str, stage: str) -> int:
    return count_flops(method, tuple(map(int, size.split("x"))), stage == "after")


def _page(table: pd.DataFrame, counts: dict[tuple[str, str], int], arguments: argparse.Namespace) -> str:
    fastest = table.groupby(["device", "precision"])["matmul"].transform("max")
    table["of_peak"] = table["flops"] / table["seconds"] / fastest
    lines = [
        "# A training step of the 3D-VQ-GAN: ours, a plain implementation, MONAI",
        "",
        "Written by `benchmarks/vqgan.py`; what is measured: README.md. One micro-step: forward and backward of one",
        "volume, of the generator and, once the GAN has started, of the discriminators.",
    ]
    for (size, device), rows in table.groupby(["size", "device"], sort=False):
        lines += ["", f"## {size.replace('x', ' x ')} on {'a GPU' if device == 'cuda' else 'the CPU'}", ""]
        lines += _markdown(rows, "wall s" if device == "cuda" else "CPU s")
    lines += ["", "## Operations of a whole volume, 96 x 256 x 256", ""]
    lines += ["Counted on tensors without data, so exact and not extrapolated.", ""]
    lines += ["| method | TFLOP before | TFLOP after the GAN start |", "|---|---|---|"]
    for method in METHODS:
        lines.append(f"| {method} | {counts[method, 'before'] / TERA:.2f} | {counts[method, 'after'] / TERA:.2f} |")
    lines += ["", "## Goals", "", "| goal | measured | met |", "|---|---|---|", *_goals(table, counts)]
    lines += ["", "## Machine and versions", "", _versions(table, arguments), ""]
    return "\n".join(lines)


def _markdown(rows: pd.DataFrame, seconds: str) -> list[str]:
    lines = [
        f"| GAN | method | {seconds} | ratio to ours | peak memory, GiB | ratio | GFLOP | ratio | of matmul peak, % |",
        "|---" * 9 + "|",
    ]
    for stage, group in rows.groupby("stage", sort=False):
        group = group.set_index("method")
        ours = group.loc["ours"]
        for method, row in group.iterrows():
            lines.append(
                f"| {stage} | {method} | {row['seconds']:.2f} | {row['seconds'] / ours['seconds']:.2f} "
                f"| {row['memory'] / GIB:.2f} | {row['memory'] / ours['memory']:.2f} "
                f"| {row['flops'] / 1e9:.0f} | {row['flops'] / ours['flops']:.2f} | {100 * row['of_peak']:.0f} |"
            )
    return lines


def _goals(table: pd.DataFrame, counts: dict[tuple[str, str], int]) -> list[str]:
    lines = []
    on_cpu = table[table["device"] == "cpu"].set_index(["size", "stage", "method"])
    for (stage, size), goals in GOALS.items():
        where = f"{size.replace('x', ' x ')}, {stage} the GAN start"
        for kind, goal in goals.items():
            if kind == "flops":
                found, words = counts["ours", stage] / TERA, f"{where}: at most {goal} TFLOP"
            elif (size, stage, "ours") not in on_cpu.index:
                continue
            elif kind == "memory":
                found = on_cpu.loc[(size, stage, "ours"), "memory"] / GIB
                words = f"{where}: at most {goal} GiB above the base"
            else:
                found = on_cpu.loc[(size, stage, "ours"), "seconds"] / on_cpu.loc[(size, stage, "plain"), "seconds"]
                words = f"{where}: at most {goal:.2f} of the plain implementation's CPU-seconds"
            lines.append(f"| {words} | {found:.2f} | {'yes' if found <= goal else 'no'} |")
    return lines


def _versions(table: pd.DataFrame, arguments: argparse.Namespace) -> str:
    machine = processor()
    peaks = table.groupby(["device", "precision"])["matmul"].max() / TERA
    found = ", ".join(f"{device} {precision} {peak:.3g} TFLOP/s" for (device, precision), peak in peaks.items())
    if torch.cuda.is_available():
        machine += f" and {torch.cuda.get_device_name()}"
    own = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "monai"))
    generators = ", ".join(f"{name} {count:,}" for name, count in table.groupby("method")["parameters"].first().items())
    return (
        f"{machine}, {arguments.threads} thread(s), median of {arguments.repeats} steps after one; Python "
        f"{platform.python_version()}, {own}. Fastest matrix product measured: {found}. "
        f"Parameters of the generators: {generators}."
    )


if __name__ == "__main__":
    main()
