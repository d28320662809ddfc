"""Our registration against greedy, elastix, ANTs SyN, demons and convexAdam, on the same images in one run.

    python benchmarks/registration.py --data ../shared/data --peers .venv-peers/bin/python --work results/benchmark

Writes registration.md beside this file. Every method runs in a process of its own, one after the other, with two
threads. What is already in the work folder is not run again, so that an interrupted run goes on where it was.
"""

import argparse
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow/scripts"))
from cases import CASES, Case, write_case
from machine import processor
from methods import METHODS
from scores import score

# Mean error (mm) on the real pair that each peer is known to reach untuned; a run in which one does worse is not fair.
KNOWN = {"greedy": 1.12, "elastix": 1.20, "SyN": 1.22, "demons": 1.35, "convexAdam": 1.08}
PEERS = {"greedy": "picsl-greedy", "elastix": "itk-elastix", "SyN": "antspyx", "convexAdam": "convexAdam"}
COLUMNS = {
    "mean": "mean, mm", "median": "median", "p95": "p95", "within_3mm": "within 3 mm, %", "dice": "Dice",
    "folded_lung": "folded, lung %", "folded_else": "elsewhere %", "cpu_s": "CPU s", "peak_mb": "peak MB",
}  # fmt: skip
DECIMALS = {"mean": 3, "median": 3, "p95": 2, "within_3mm": 2, "dice": 4, "folded_lung": 4, "folded_else": 4,
            "cpu_s": 1, "peak_mb": 0}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real CT")
    parser.add_argument("--peers", required=True, help="python of the peers' environment (requirements.txt here)")
    parser.add_argument("--work", type=Path, required=True, help="folder for the cases and fields")
    arguments = parser.parse_args()
    rows = []
    for case in CASES:
        folder = arguments.work / case.name.replace(", ", "_").replace(" ", "_")
        write_case(case, arguments.data, folder)
        for method in METHODS:
            python = sys.executable if method == "ours" else arguments.peers
            rows.append({"case": case.name, "method": method} | _result(method, folder, python))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    (HERE / "registration.md").write_text(_page(table, arguments.peers))


def _result(method: str, case: Path, python: str) -> dict[str, float]:
    done = case / method / "result.json"
    if not done.exists():
        done.parent.mkdir(parents=True, exist_ok=True)
        script = [python, HERE / "one_registration.py", method, case.resolve(), done.parent.resolve()]
        subprocess.run(script, check=True, cwd=done.parent)  # some peers leave files where they run
        cost = json.loads((done.parent / "cost.json").read_text())
        result = score(case, np.load(done.parent / "field.npy")) | cost
        done.write_text(json.dumps({key: float(value) for key, value in result.items()}))
    return json.loads(done.read_text())


def _page(table: pd.DataFrame, peers: str) -> str:
    lines = [
        "# Registration: ours and the peers",
        "",
        "Written by `benchmarks/registration.py`; what is measured and with which settings: README.md, methods.py.",
        "",
        *_summary(table),
    ]
    for case in CASES:
        lines += ["", f"## {case.name}", "", *_case_words(case), ""]
        lines += _markdown(table[table["case"] == case.name].set_index("method"))
    lines += ["", "## Machine and versions", "", _versions(peers), ""]
    return "\n".join(lines)


def _summary(table: pd.DataFrame) -> list[str]:
    real = table[table["case"] == CASES[0].name].set_index("method")
    worse = [name for name, known in KNOWN.items() if real.loc[name, "mean"] > known + 0.005]
    fair = f"Not a valid run: {', '.join(worse)} did worse on the real pair than known." if worse else (
        "Every peer does on the real pair at least as well as known, so the run is valid."
    )  # fmt: skip
    dense = table[table["case"].isin([case.name for case in CASES if case.dense])]
    means = dense.groupby("method")[["mean", "p95", "cpu_s"]].mean().reindex(list(METHODS))
    means["against ours, CPU"] = means["cpu_s"] / means.loc["ours", "cpu_s"]
    lines = [
        fair,
        "",
        "Mean over all cases with dense truth:",
        "",
        "| method | mean, mm | p95, mm | CPU, ratio to ours |",
    ]
    lines.append("|---|---|---|---|")
    for name, row in means.iterrows():
        lines.append(f"| {name} | {row['mean']:.3f} | {row['p95']:.2f} | {row['against ours, CPU']:.1f} |")
    return lines


def _case_words(case: Case) -> list[str]:
    if case.dense:
        return ["Known motion; the error is over every lung voxel of the 1.5 mm grid."]
    return ["Baseline and follow-up of one patient; 25 landmarks, whose own error is about 0.1 mm in the mean."]


def _markdown(rows: pd.DataFrame) -> list[str]:
    lines = [f"| method | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in rows.iterrows():
        lines.append(f"| {name} | " + " | ".join(f"{row[key]:.{DECIMALS[key]}f}" for key in COLUMNS) + " |")
    return lines


def _versions(peers: str) -> str:
    asked = "from importlib.metadata import version; import sys; print(*map(version, sys.argv[1:]))"
    found = subprocess.run([peers, "-c", asked, *PEERS.values()], check=True, capture_output=True, text=True).stdout
    theirs = ", ".join(f"{name} {version}" for name, version in zip(PEERS.values(), found.split(), strict=True))
    own = ", ".join(f"{name} {metadata.version(name)}" for name in ("numba", "numpy", "SimpleITK"))
    return f"Two cores of {processor()}, Python {platform.python_version()}; {own}; peers: {theirs}."


if __name__ == "__main__":
    main()
