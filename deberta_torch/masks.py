"""The two masks a forward pass needs, from the forms a caller may give (NUMERICS 5)."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from deberta_torch.kernels.eager import is_traced
from deberta_torch.plans import make_plan


class Unpadded(NamedTuple):
    """The tokens of a batch one after the other, without padding, on a device.

    Attributes:
        kept: `[T]` integers, which tokens of the flattened batch.
        starts: int32 `[B + 1]`, where each text begins, and T.
        longest: the number of tokens of the longest text.
        shape: B and L.
    """

    kept: Tensor
    starts: Tensor
    longest: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, masks: Masks, device: torch.device) -> Self | None:
        """Of masks that are known on the CPU, so that no device is waited for; None where there is nothing to leave."""
        plan = None if masks.here is None else make_plan(masks.here, *masks.here.shape)
        if plan is None or plan.kept is None:
            return None
        numbers = (torch.from_numpy(own) for own in (plan.kept, plan.starts.astype(np.int32)))
        kept, starts = (own.to(device, non_blocking=True) for own in numbers)
        return cls(kept, starts, plan.longest, (plan.batch, plan.length))

    def take(self, padded: Tensor) -> Tensor:
        """`[B, L, C]` to `[1, T, C]`."""
        return padded.flatten(0, 1).index_select(0, self.kept)[None]

    def put_back(self, rows: Tensor) -> Tensor:
        """`[1, T, C]` to `[B, L, C]`, 0 at padding."""
        padded = rows.new_zeros((self.shape[0] * self.shape[1], rows.shape[-1]))
        return padded.index_copy(0, self.kept, rows[0]).unflatten(0, self.shape)


class Masks(NamedTuple):
    """What may be seen.

    Attributes:
        tokens: bool `[B, L]`, true at real tokens.
        keys: bool `[B, 1, 1, K]` or `[B, 1, Q, K]`, true where a query sees a key.
        queries: bool `[B, 1, 1, 1]` or `[B, 1, Q, 1]`, true where a query sees any key at all.
        hides_keys: False only where `keys` is known to be true throughout.
        hides_queries: False only where `queries` is known to be true throughout.
        here: `[B, L]`, the caller's mask, where it is on the CPU.
        packed: None; or how the tokens were put together, where the other masks are not those of what is computed.
    """

    tokens: Tensor
    keys: Tensor
    queries: Tensor
    hides_keys: bool
    hides_queries: bool
    here: Tensor | None = None
    packed: Unpadded | None = None


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
    here = (
        attention_mask
        if attention_mask is not None and attention_mask.device.type == "cpu" and keep.ndim == 2
        else None
    )
    return Masks(
        tokens=tokens,
        keys=keys,
        queries=queries,
        hides_keys=attention_mask is not None and not _is_known_to_be_true(keys if here is None else here != 0),
        hides_queries=attention_mask is not None
        and not _is_known_to_be_true(queries if here is None else (here != 0).any(dim=-1)),
        here=here,
    )


def _is_known_to_be_true(mask: Tensor) -> bool:
    """Looks where that is free of charge: not while a graph is traced, and not on a device one would wait for."""
    if mask.device.type != "cpu" or is_traced():
        return False
    try:
        return bool(mask.all())
    except RuntimeError:  # inside torch.func transforms a tensor has no values
        return False
