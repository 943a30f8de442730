"""Documents of any length into blocks of one length, for pretraining; and who sees whom in a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deberta_core.arguments import row_of
from deberta_core.errors import InputError

_SPECIAL = 2  # tokens: [CLS] and [SEP]


class Blocks(NamedTuple):
    """Blocks of ids.

    Attributes:
        input_ids: padded on the right, `[N, L]` int32.
        documents: the number of each token's document in its block, from 1; 0 at padding; `[N, L]` int16.
    """

    input_ids: NDArray[np.int32]
    documents: NDArray[np.int16]


def pack(texts: Sequence[Sequence[int]], packing: str, length: int, tokenizer: Any) -> Blocks:
    """Packs tokenized documents into blocks, each with [CLS] first and [SEP] last.

    Args:
        texts: the ids of each document, without special tokens; empty ones are passed over.
        packing: a name of `PACKINGS`. "documents": each document, or piece of a long one, has its own [CLS] and [SEP],
            and is to see nothing else (see `document_mask`); a document that fits into a block is never cut.
            "text": documents one behind the other as one text, cut where a block is full; all tokens of a block see
            one another.
        length: of blocks, in tokens.
        tokenizer: has the special tokens.

    Raises:
        InputError: there is no such packing, or a block has no room for text.

    Source:
        "text" is what `prepare_data.py` of microsoft/DeBERTa does; "documents": Krell et al. 2021, "Efficient sequence
        packing without cross-contamination", with best fit, the longest first.
    """
    rows_of = row_of(PACKINGS, "packing", packing)
    if length <= _SPECIAL:
        raise InputError(f"length={length!r} leaves no room between [CLS] and [SEP]. Give 3 or more.")
    rows = rows_of([np.asarray(text, dtype=np.int32) for text in texts if len(text)], length - _SPECIAL)
    ids = np.full((len(rows), length), tokenizer.pad_token_id, dtype=np.int32)
    documents = np.zeros(ids.shape, dtype=np.int16)
    for row, pieces in enumerate(rows):
        start = 0
        for number, piece in enumerate(pieces, 1):
            end = start + len(piece) + _SPECIAL
            ids[row, start], ids[row, start + 1 : end - 1], ids[row, end - 1] = (
                tokenizer.cls_token_id,
                piece,
                tokenizer.sep_token_id,
            )
            documents[row, start:end] = number
            start = end
    return Blocks(ids, documents)


def document_mask(documents: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """The attention mask in which no document sees another, `[B, L, L]`.

    Args:
        documents: the number of each token's document, 0 at padding, `[B, L]`.
    """
    mask: NDArray[np.bool_] = documents[:, :, None] == documents[:, None, :]
    mask &= (documents != 0)[:, None, :]
    return mask


def document_positions(documents: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The place of each token in its own document, from 0, as if the document stood alone, `[B, L]`.

    Args:
        documents: the number of each token's document, rising from left to right, `[B, L]`.
    """
    places = np.broadcast_to(np.arange(documents.shape[1]), documents.shape)
    begins = np.zeros(documents.shape, dtype=bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    positions: NDArray[np.int64] = places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    return positions


Piece = NDArray[np.int32]


def _one_text(texts: Sequence[Piece], room: int) -> list[list[Piece]]:
    if not texts:
        return []
    text = np.concatenate(texts)
    return [[text[start : start + room]] for start in range(0, len(text), room)]


def _whole_documents(texts: Sequence[Piece], room: int) -> list[list[Piece]]:
    """The longest piece first, each into the block where the least is left over; pieces keep their order in a block."""
    pieces = [text[start : start + room] for text in texts for start in range(0, len(text), room)]
    rows: list[list[int]] = []
    with_space: list[list[int]] = [[] for _ in range(room + 1)]  # numbers of rows, by the tokens that fit in
    spaces = 0  # as bits: is there a row with that much space?
    for number in sorted(range(len(pieces)), key=lambda one: -len(pieces[one])):
        size = len(pieces[number])
        fitting = spaces >> size
        if fitting:
            space = size + (fitting & -fitting).bit_length() - 1
            row = with_space[space].pop()
            if not with_space[space]:
                spaces ^= 1 << space
        else:
            space, row = room, len(rows)
            rows.append([])
        rows[row].append(number)
        if (left := space - size - _SPECIAL) > 0:
            with_space[left].append(row)
            spaces |= 1 << left
    return [[pieces[number] for number in row] for row in sorted(map(sorted, rows))]


# Packing -> cuts documents into blocks' pieces, for so many tokens between [CLS] and [SEP].
PACKINGS: dict[str, Callable[[Sequence[Piece], int], list[list[Piece]]]] = {
    "documents": _whole_documents,
    "text": _one_text,
}
