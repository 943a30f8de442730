"""Which tokens of a padded batch a device computes, known from a mask on the CPU; and buckets of such batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Bucket(NamedTuple):
    """A size that several batches are computed in.

    Attributes:
        texts: as many as there are, or more, which are empty.
        tokens: of all texts together, or more, which nobody reads.
        longest: the number of tokens of the longest text, or more.
    """

    texts: int
    tokens: int
    longest: int


class Plan(NamedTuple):
    """The texts of a batch, one after the other, without padding.

    Attributes:
        batch: B.
        length: L.
        kept: `[T]` integers, the tokens of the flattened batch that are computed; None for all.
        starts: `[B + 1]` integers, where each text begins among them, and T.
        longest: the number of tokens of the longest text.
    """

    batch: int
    length: int
    kept: NDArray[np.int64] | None
    starts: NDArray[np.int64]
    longest: int

    @property
    def tokens(self) -> int:
        """T."""
        return int(self.starts[-1])


def make_plan(mask: Tensor | None, batch: int, length: int) -> Plan | None:
    """The plan of a batch; None where a text has padding between its tokens, or no text has any token.

    Args:
        mask: on the CPU, `[B, L]`, not 0 at tokens; None for no padding.
        batch: B.
        length: L.
    """
    keep = None if mask is None else mask.numpy() != 0
    if keep is None or keep.all():
        return Plan(batch, length, None, np.arange(batch + 1) * length, length) if batch * length else None
    counts = keep.sum(axis=1)
    spans = length - keep.argmax(axis=1) - keep[:, ::-1].argmax(axis=1)  # from the first token to the last
    if ((spans != counts) & (counts > 0)).any() or not counts.any():
        return None
    return Plan(batch, length, np.flatnonzero(keep), np.concatenate([[0], counts.cumsum()]), int(counts.max()))


def bucket_of(plan: Plan, bits: Bucket) -> Bucket:
    """The smallest bucket that a plan fits, if only the leading `bits` of its sizes may be other than 0."""
    return Bucket(*map(_rounded_up, (plan.batch, plan.tokens, plan.longest), bits))


def _rounded_up(count: int, bits: int) -> int:
    step = 1 << max(0, count.bit_length() - bits)
    return -(-count // step) * step
