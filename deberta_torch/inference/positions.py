"""Projected position rows of one layer, kept between calls."""

from __future__ import annotations

import torch
from torch import Tensor

from deberta_torch.attention import DisentangledSelfAttention
from deberta_torch.kernels.skew import PositionRows

# Rows are kept for texts up to this length; for longer ones they are put in order in each call, which costs little
# beside what long texts cost.
KEPT_LENGTH = 512


class KeptPositions:
    """The rows that the tokens of a layer meet at every distance, from one for each row of the relative table.

    Args:
        attention: the layer's.
        table: `[R, C]`, the relative table, LayerNormed where configured.
        index: `[2 * reach + 1]` integers, the table's row for query - key = -reach, ..., reach; beyond, the ends hold.
        dtype: of the rows.
    """

    def __init__(self, attention: DisentangledSelfAttention, table: Tensor, index: Tensor, dtype: torch.dtype) -> None:
        def by_head(rows: Tensor, scale: float) -> Tensor:
            split = rows.unflatten(-1, (attention.num_heads, attention.head_size)).transpose(0, 1)
            return (split.float() * scale).to(dtype).contiguous()

        self._key = by_head(attention.position_key(table), 1.0) if "c2p" in attention.terms else None
        self._query = by_head(attention.position_query(table), attention.scale) if "p2c" in attention.terms else None
        self._index = index
        self._reach = len(index) // 2
        # One name for the length and its rows: another thread reads the old pair or the new one, and both are right.
        self._kept = (0, PositionRows(None, None, self._reach))

    def rows(self, length: int) -> PositionRows:
        """The rows for texts of this length, not to be changed."""
        if length > KEPT_LENGTH:
            return self._in_order(length)
        kept, rows = self._kept
        if length > kept:
            kept = min(KEPT_LENGTH, max(16, 1 << (length - 1).bit_length()))
            rows = self._in_order(kept)
            self._kept = (kept, rows)
        # Rows are ordered by distance, so those of shorter texts are in the middle.
        middle = slice(kept - length, kept + length)
        return PositionRows(
            None if rows.key is None else rows.key[:, middle],
            None if rows.query is None else rows.query[:, middle],
            self._reach,
        )

    def _in_order(self, length: int) -> PositionRows:
        ahead = torch.arange(1 - length, length + 1, device=self._index.device).clamp_(-self._reach, self._reach)
        return PositionRows(
            None if self._key is None else self._key[:, self._index[self._reach - ahead]],  # ahead: key - query
            None if self._query is None else self._query[:, self._index[self._reach + ahead]],  # ahead: query - key
            self._reach,
        )
