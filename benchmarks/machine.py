"""What a benchmark says of the machine, and of the memory of its own process."""

import platform
from pathlib import Path


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return lines[0].partition(":")[2].strip() if lines else platform.machine()


def process_bytes(field: str) -> int:
    """`VmRSS` (held now) or `VmHWM` (the most so far) of this process; unlike ru_maxrss, VmHWM does not inherit the
    peak of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])
