"""What a training runs on."""

import logging
import resource

import torch

GB = 1e9
# What a processor multiplies bf16 with, by the names of /proc/cpuinfo: Intel's matrix units (from Sapphire Rapids on),
# and the dot products of AMD (from Zen 4 on) and Intel (Cooper Lake, and again from Sapphire Rapids on).
BF16_FEATURES = ("amx_bf16", "avx512_bf16")

logger = logging.getLogger("lung4d")


def choose_device(threads: int | None = None) -> torch.device:
    """The GPU where there is one, of several this process's own, else the CPU with `threads` threads."""
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        logger.info("training on %s", torch.cuda.get_device_name(device))
        return device
    if threads:
        torch.set_num_threads(threads)
    logger.info("no GPU found: running on the CPU with %d threads", torch.get_num_threads())
    return torch.device("cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than fp32 on the device: a GPU that has it, a processor with one of BF16_FEATURES.

    A list and no timing: two machines of one kind choose alike, however busy they are.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(feature) for feature in BF16_FEATURES)


def choose_precision(asked: str, device: torch.device) -> str:
    """ "bf16" or "fp32": as asked, and of "auto" the faster on the device."""
    if asked != "auto":
        return asked
    return "bf16" if has_bf16(device) else "fp32"


def peak_memory(device: torch.device) -> float:
    """The most memory that this process has held so far, GB: of the GPU where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB
