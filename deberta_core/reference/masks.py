"""The two masks a forward pass needs, from the forms a caller may give (NUMERICS 5)."""

from __future__ import annotations

import numpy as np

from deberta_core.reference.arrays import Array


def key_mask(attention_mask: Array) -> Array:
    """Which keys each query may see.

    Args:
        attention_mask: `[B, L]`, `[B, L, L]` or `[B, 1, L, L]` of 0 and 1, any dtype.

    Returns:
        bool `[B, 1, 1, L]` (keys at padding are hidden from every query) or `[B, 1, L, L]`.
    """
    keep = attention_mask.astype(np.float64) != 0  # through float64: half-precision types of ml_dtypes compare too
    allowed: Array = {2: keep[:, None, None, ...], 3: keep[:, None, ...], 4: keep}[keep.ndim]
    return allowed


def token_mask(attention_mask: Array) -> Array:
    """Which tokens are real: the 2-D mask itself, or, from a wider one, those that any query sees.

    Args:
        attention_mask: as for `key_mask`.

    Returns:
        bool `[B, L]`.
    """
    return np.asarray(key_mask(attention_mask).any(axis=(1, 2)))
