"""Where the kernels can run, asked without importing Triton more than once."""

from __future__ import annotations

import functools
import importlib.metadata
import os

import torch

# The oldest version with everything that the kernels call, and in which they have been run.
OLDEST = (3, 3)
LARGEST_HEAD = 128
_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def why_not(device: torch.device, dtype: torch.dtype, head_size: int) -> str | None:
    """Why the kernels cannot serve a call; None where they can."""
    if device.type != "cuda" and not (device.type == "cpu" and is_interpreting()):
        return f"the kernels run on CUDA, not on {device.type}"
    if dtype not in _TYPES:
        return f"the kernels have no {dtype}"
    if head_size > LARGEST_HEAD:
        return f"the kernels hold heads of up to {LARGEST_HEAD} numbers, not {head_size}"
    return _why_no_triton()


def is_interpreting() -> bool:
    """Whether Triton's interpreter is asked for, which runs kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")


@functools.cache
def _why_no_triton() -> str | None:
    try:
        version = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return "Triton is not installed"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        return f"Triton {version} is older than {'.'.join(map(str, OLDEST))}"
    return None
