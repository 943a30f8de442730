"""From documents to masked rows: what a worker process does with a chunk of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deberta_core.collation.masker import Masker
from deberta_core.collation.packing import pack

CHUNK_ROWS = 1 << 20  # a chunk has fewer rows, so that numbers of rows are unique in an epoch


class Rows(NamedTuple):
    """Rows that a model learns from.

    Attributes:
        original: ids, padded on the right, `[N, L]` int32.
        masked: the same with masks, `[N, L]` int32.
        labels: the original id at masked tokens, -100 elsewhere, `[N, L]` int32.
        documents: the number of each token's document in its row, from 1; 0 at padding; `[N, L]` int16.
    """

    original: NDArray[np.int32]
    masked: NDArray[np.int32]
    labels: NDArray[np.int32]
    documents: NDArray[np.int16]

    def take(self, numbers: Any) -> Rows:
        """Some of them, by number or slice."""
        return Rows(*(array[numbers] for array in self))

    @classmethod
    def join(cls, parts: Sequence[Rows]) -> Rows:
        """All of several, in order."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes rows of documents: tokenizes, packs and masks.

    Args:
        tokenizer: any of ours.
        masker: of the same tokenizer.
        packing: a name of `deberta_core.collation.packing.PACKINGS`.
        length: of rows, in tokens.
    """

    tokenizer: Any
    masker: Masker
    packing: str
    length: int

    def __call__(self, texts: Sequence[str], epoch: int, chunk: int) -> Rows:
        """Makes the rows of a chunk.

        Args:
            texts: documents.
            epoch: counts from 0.
            chunk: its number in the epoch.

        Raises:
            TokenizationError: a text cannot be tokenized.
        """
        found = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        blocks = pack(found, self.packing, self.length, self.tokenizer)
        numbers = chunk * CHUNK_ROWS + np.arange(len(blocks.input_ids))
        masked = self.masker(blocks.input_ids, epoch=epoch, rows=numbers)
        return Rows(blocks.input_ids, masked.input_ids, masked.labels, blocks.documents)
