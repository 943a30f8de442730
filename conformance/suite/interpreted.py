"""The Triton kernels on the CPU: importing this module imports them, to be run by Triton's interpreter.

Triton decides on that when it is imported. So tests of the kernels import this at their top, before any test runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
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

    from deberta_torch.kernels.triton import backward, forward, forward_kernel, residual_norm

    if isinstance(forward_kernel.attend, triton.JITFunction):
        raise ImportError("Triton was imported before, not to interpret. Import conformance.suite.interpreted first.")


class _Nothing:
    def __getitem__(self, programs: object) -> Callable[..., None]:
        return lambda *_, **__: None


def leave_out_kernels(monkeypatch: Any) -> None:
    """Kernels then do nothing: for tests of what is around them, on devices without numbers or in calls counted."""
    monkeypatch.setattr(forward, "attend", _Nothing())
    for kernel in ("row_products", "score_gradients", "token_gradients", "relative_gradients"):
        monkeypatch.setattr(backward, kernel, _Nothing())
    for kernel in ("normalize", "gradients"):
        monkeypatch.setattr(residual_norm, kernel, _Nothing())
