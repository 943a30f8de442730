"""The two masks a forward pass needs, from the forms a caller may give (NUMERICS 5)."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops


class Masks(NamedTuple):
    """What may be seen.

    Attributes:
        tokens: bool `[B, L]`, true at real tokens.
        keys: bool `[1, B, 1, K]` or `[1, B, Q, K]`, true where a query sees a key; the first axis is of heads.
        queries: bool `[1, B, 1, 1]` or `[1, B, Q, 1]`, true where a query sees any key at all.
    """

    tokens: Any
    keys: Any
    queries: Any


def make_masks(attention_mask: Any, batch: Any, length: Any) -> Masks:
    """Reads an attention mask.

    Args:
        attention_mask: `[B, L]`, `[B, L, L]` or `[B, 1, L, L]` of 0 and 1 in any dtype; None is all ones.
        batch: B.
        length: L.
    """
    if attention_mask is None:
        keep = ops.ones((batch, length), dtype="bool")
    else:
        keep = ops.not_equal(attention_mask, ops.cast(0, attention_mask.dtype))
    keys = {
        2: lambda: ops.expand_dims(keep, (0, 2)),
        3: lambda: ops.expand_dims(keep, 0),
        4: lambda: ops.swapaxes(keep, 0, 1),
    }[len(keep.shape)]()
    tokens = keep if len(keep.shape) == 2 else ops.any(keys, axis=(0, 2))
    return Masks(tokens=tokens, keys=keys, queries=ops.any(keys, axis=-1, keepdims=True))
