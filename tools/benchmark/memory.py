"""The resident memory of this process, and its peak since a moment; Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MB = 1024  # the file counts in kB


def settle() -> None:
    """Gives memory that is free back to the system, so that what comes is seen."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def reset_peak() -> None:
    """Lets the peak begin anew at what is in use."""
    CLEAR.write_text("5", encoding="ascii")


def resident() -> float:
    """What is in use, in MB."""
    return _read("VmRSS")


def peak() -> float:
    """The most that was in use since `reset_peak`, in MB."""
    return _read("VmHWM")


def _read(field: str) -> float:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / MB
