"""Triton's interpreter, which runs kernels on the CPU.

It does where the environment has `TRITON_INTERPRET=1` when Triton and the kernels are imported.
"""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def repair_interpreter() -> None:
    """Lets numbers of kernels bound their loops: Triton 3.6 asks NumPy for what NumPy 2.4 refuses."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patch_with_index(tensor: Any, *scope: Any) -> None:
        patch(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())  # undone with what `patch` did

    interpreter._patch_lang_tensor = patch_with_index
