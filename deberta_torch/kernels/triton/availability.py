"""Where the kernels can run, and why not elsewhere; asks without importing Triton."""

from __future__ import annotations

import functools
import importlib.metadata
import os

import torch

# The oldest version with everything that the kernels call, in whose interpreter they have run; on a GPU it was 3.6.
OLDEST = (3, 3)
# The oldest cards that Triton makes kernels for, by compute capability.
OLDEST_CARD = (8, 0)
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
    capability = architecture(device)
    if capability is not None and capability < OLDEST_CARD:
        return f"Triton needs compute capability {_version(OLDEST_CARD)}, and {device} has {_version(capability)}"
    return _WHY_NO_TRITON


@functools.cache
def architecture(device: torch.device) -> tuple[int, int] | None:
    """The compute capability of an NVIDIA card; None of all else."""
    if device.type != "cuda" or torch.version.hip or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_capability(device)


def is_interpreting() -> bool:
    """Whether Triton's interpreter is asked for, which runs kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")


def why_no_triton(version: str | None) -> str | None:
    """Why this version of Triton cannot serve; None where it can."""
    if version is None:
        return "Triton is not installed"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        return f"Triton {version} is older than {_version(OLDEST)}"
    return None


def _version(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return None


_WHY_NO_TRITON = why_no_triton(_installed_version())
