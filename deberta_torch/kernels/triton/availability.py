"""Where the kernels can run, and why not elsewhere; asks without importing Triton."""

from __future__ import annotations

import importlib.metadata
import os

import torch

# The oldest version with everything that the kernels call, in whose interpreter they have run; on a GPU it was 3.6.
OLDEST = (3, 3)
LARGEST_HEAD = 128
_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_INTERPRETED_TYPES = (torch.float32, torch.float16)  # Triton's interpreter takes bfloat16 for integers


def why_not(device: torch.device, dtype: torch.dtype, head_size: int) -> str | None:
    """Why the kernels cannot serve a call; None where they can."""
    if device.type != "cuda" and not (device.type == "cpu" and is_interpreting()):
        return f"the kernels run on CUDA, not on {device.type}"
    if dtype not in (_TYPES if device.type == "cuda" else _INTERPRETED_TYPES):
        return f"the kernels compute no {dtype} on {device.type}"
    if (
        torch._C._are_functorch_transforms_active()
    ):  # as `torch.autograd.Function` asks; torch has no public name for it
        return "the kernels know no torch.func transforms"
    if head_size > LARGEST_HEAD:
        return f"the kernels hold heads of up to {LARGEST_HEAD} numbers, not {head_size}"
    return _WHY_NO_TRITON


def is_interpreting() -> bool:
    """Whether Triton's interpreter is asked for, which runs kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")


def why_no_triton(version: str | None) -> str | None:
    """Why this version of Triton cannot serve; None where it can."""
    if version is None:
        return "Triton is not installed"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        return f"Triton {version} is older than {'.'.join(map(str, OLDEST))}"
    return None


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return None


_WHY_NO_TRITON = why_no_triton(_installed_version())
