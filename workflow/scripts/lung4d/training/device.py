"""What a training runs on."""

import logging
import resource

import torch

GB = 1e9

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
    """Whether the device has matrix units for bf16; without them it is no faster than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def peak_memory(device: torch.device) -> float:
    """The most memory that this process has held so far, GB: of the GPU where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB
