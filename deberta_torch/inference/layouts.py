"""Where the texts of a batch are among rows without padding, on a device."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor


class Padded(NamedTuple):
    """How rows without padding and padded texts are made of each other.

    Attributes:
        places: `[N * longest]` integers, the row at each place, any row for padding.
        back: `[T]` integers, the place of each row.
        tokens: bool `[N, longest]`, true at tokens.
    """

    places: Tensor
    back: Tensor
    tokens: Tensor


class Layout:
    """Where the texts of a batch are among its rows; all sizes are numbers, so that nothing waits for a device.

    Args:
        starts: int32 `[N + 1]`, where each text begins, and where the last one ends.
        rows: T, as many as there are tokens, or more.
        longest: the number of tokens of the longest text, or more.
        is_full: whether all N texts have that many tokens, and there are no other rows.
    """

    def __init__(self, starts: Tensor, rows: int, longest: int, is_full: bool) -> None:
        self.starts, self.rows, self.longest, self.is_full = starts, rows, longest, is_full

    @cached_property
    def padded(self) -> Padded:
        """For what needs the texts side by side, where they are not `is_full`."""
        first, end = self.starts[:-1].long(), self.starts[1:].long()
        row = torch.arange(self.rows, device=first.device)
        text = torch.searchsorted(end, row, right=True).clamp_(max=len(first) - 1)
        steps = torch.arange(self.longest, device=first.device)
        return Padded(
            places=(first[:, None] + steps).clamp_(max=self.rows - 1).flatten(),
            back=text * self.longest + (row - first[text]).clamp_(max=self.longest - 1),
            tokens=steps < (end - first)[:, None],
        )

    @property
    def tokens(self) -> Tensor:
        """Bool `[N, longest]`, true at tokens."""
        if self.is_full:
            return torch.ones((len(self.starts) - 1, self.longest), dtype=torch.bool, device=self.starts.device)
        return self.padded.tokens

    def pad(self, rows: Tensor) -> Tensor:
        """`[T, ...]` to `[N, longest, ...]`, any row at padding."""
        shape = (len(self.starts) - 1, self.longest, *rows.shape[1:])
        return (rows if self.is_full else rows[self.padded.places]).view(shape)

    def unpad(self, padded: Tensor) -> Tensor:
        """`[N, longest, ...]` to `[T, ...]`."""
        rows = padded.flatten(0, 1)
        return rows if self.is_full else rows[self.padded.back]
