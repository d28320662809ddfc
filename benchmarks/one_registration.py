"""One method on one case, in a process of its own: `one_registration.py METHOD CASE_FOLDER OUT_FOLDER`.

Writes field.npy and cost.json: CPU and wall seconds of the registration alone (imports and reading not counted, nor,
for ours, a first pass that compiles), and the peak memory of the whole process.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))
from machine import process_bytes
from methods import METHODS


def main(method: str, case: Path, out: Path) -> None:
    run = METHODS[method](case)
    if method == "ours":
        run()  # numba compiles once per machine, not once per scan
    before, start = time.process_time(), time.perf_counter()
    field = run()
    cost = {"cpu_s": time.process_time() - before, "wall_s": time.perf_counter() - start}
    cost["peak_mb"] = process_bytes("VmHWM") / 2**20
    np.save(out / "field.npy", field)
    (out / "cost.json").write_text(json.dumps(cost))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
