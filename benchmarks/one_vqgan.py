"""Micro-steps of one method in a process of its own: `one_vqgan.py METHOD DxHxW DEVICE before|after THREADS REPEATS`.

Prints a JSON object: seconds (CPU-seconds, on a GPU wall seconds; median of REPEATS steps after one that warms up),
memory (bytes above what the process held before the first step, at the highest), precision, matmul (floating point
operations per second of a large matrix product in that precision, timed as the steps are) and parameters.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))
from machine import process_bytes
from steps import build, step


def main(method: str, shape: tuple[int, ...], device: torch.device, adversarial: bool, repeats: int) -> None:
    torch.manual_seed(0)
    parts = build(method, device)
    volume = torch.rand(1, 1, *shape, device=device) - 0.5
    base = _held(device)
    seconds = [_seconds(device, lambda: step(method, parts, volume, adversarial)) for _ in range(1 + repeats)]
    dtype = torch.bfloat16 if parts.plan.precision == "bf16" else torch.float32
    result = {
        "seconds": statistics.median(seconds[1:]),
        "memory": _peak(device) - base,
        "precision": str(dtype).removeprefix("torch."),
        "matmul": _matmul(device, dtype),
        "parameters": sum(parameter.numel() for parameter in parts.model.parameters()),
    }
    print(json.dumps(result))


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    clock = time.process_time
    if device.type == "cuda":
        clock = time.perf_counter
        torch.cuda.synchronize()
    start = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def _held(device: torch.device) -> int:
    return torch.cuda.memory_allocated() if device.type == "cuda" else process_bytes("VmRSS")


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else process_bytes("VmHWM")


def _matmul(device: torch.device, dtype: torch.dtype) -> float:
    size = 8192 if device.type == "cuda" else 2048
    a, b = torch.rand(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 / min(_seconds(device, lambda: a @ b) for _ in range(6))


if __name__ == "__main__":
    method, shape, device, stage, threads, repeats = sys.argv[1:]
    torch.set_num_threads(int(threads))
    main(method, tuple(map(int, shape.split("x"))), torch.device(device), stage == "after", int(repeats))
