"""The two masks a forward pass needs, from the forms a caller may give (NUMERICS 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from deberta_torch.kernels.eager import is_traced


class Masks(NamedTuple):
    """What may be seen.

    Attributes:
        tokens: bool `[B, L]`, true at real tokens.
        keys: bool `[B, 1, 1, K]` or `[B, 1, Q, K]`, true where a query sees a key.
        queries: bool `[B, 1, 1, 1]` or `[B, 1, Q, 1]`, true where a query sees any key at all.
        hides_keys: False only where `keys` is known to be true throughout.
        hides_queries: False only where `queries` is known to be true throughout.
    """

    tokens: Tensor
    keys: Tensor
    queries: Tensor
    hides_keys: bool
    hides_queries: bool


def make_masks(attention_mask: Tensor | None, batch: int, length: int, device: torch.device) -> Masks:
    """Reads an attention mask.

    Args:
        attention_mask: `[B, L]`, `[B, L, L]` or `[B, 1, L, L]` of 0 and 1 in any dtype; None is all ones.
        batch: B.
        length: L.
        device: where the masks are made.
    """
    if attention_mask is None:
        keep = torch.ones((batch, length), dtype=torch.bool, device=device)
    else:
        # From the CPU no device has to be waited for.
        keep = attention_mask.to(device, non_blocking=attention_mask.device.type == "cpu") != 0
    keys = {2: lambda: keep[:, None, None, :], 3: lambda: keep[:, None], 4: lambda: keep}[keep.ndim]()
    tokens = keep if keep.ndim == 2 else keys.any(dim=(1, 2))
    queries = keys.any(dim=-1, keepdim=True)
    return Masks(
        tokens=tokens,
        keys=keys,
        queries=queries,
        hides_keys=attention_mask is not None and not _is_known_to_be_true(keys),
        hides_queries=attention_mask is not None and not _is_known_to_be_true(queries),
    )


def _is_known_to_be_true(mask: Tensor) -> bool:
    """Looks where that is free of charge: not while a graph is traced, and not on a device one would wait for."""
    if mask.device.type != "cpu" or is_traced():
        return False
    try:
        return bool(mask.all())
    except RuntimeError:  # inside torch.func transforms a tensor has no values
        return False
