"""The Triton kernels on the CPU: importing this module imports them, to be run by Triton's interpreter.

Triton decides on that when it is imported. So tests of the kernels import this at their top, before any test runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

_ASKED_FOR = {"TRITON_INTERPRET": "1"}


@contextmanager
def interpreted() -> Iterator[None]:
    """Inside, `attn_implementation="triton"` is used on the CPU."""
    with mock.patch.dict(os.environ, _ASKED_FOR):
        yield


with interpreted():
    import triton
    import triton.experimental.gluon

    from deberta_torch.kernels.triton import backward, forward_kernel  # noqa: F401 - for what Triton makes of them

    if isinstance(forward_kernel.attend, triton.JITFunction):
        raise ImportError("Triton was imported before, not to interpret. Import conformance.suite.interpreted first.")
