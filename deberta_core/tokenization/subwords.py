"""What a tokenizer asks of the library that holds its vocabulary, and how it says what tokens cover."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.cutting import CutOptions

# Where a token begins and ends in a text, in characters; equal numbers where it covers nothing.
Span = tuple[int, int]


class Aligned(NamedTuple):
    """The tokens of a text and what they cover."""

    ids: list[int]
    spans: list[Span]  # as many; in order, and no two overlap
    words: list[int] | None = None  # as many; the index of the word of a pre-split text


class SubwordModel(Protocol):
    """A vocabulary and its algorithm.

    A part is a text without added tokens, or any text where the model finds them by itself. Calls may come from several
    threads at once.
    """

    vocab_size: int
    unknown_id: int | None  # of what is not in the vocabulary
    is_random: bool  # whether the same part can give other tokens in the next call
    finds_added: bool  # whether added tokens are the model's own matter

    def adding(self, tokens: Mapping[int, AddedToken]) -> Self:
        """The model that finds these tokens in a text; itself where that is not its matter."""

    @property
    def merges(self) -> tuple[tuple[str, str], ...]:
        """The merges of a BPE; none for other algorithms."""

    def piece_to_id(self, piece: str) -> int | None:
        """The id of a token; None if there is no such token."""

    def id_to_piece(self, index: int) -> str:
        """The token with this id, which is below `vocab_size`."""

    def encode(self, parts: list[str]) -> list[list[int]]:
        """The ids of parts."""

    def pieces(self, part: str) -> list[str]:
        """The tokens of a part."""

    def align(self, parts: list[str]) -> list[Aligned]:
        """The ids of parts, and where the tokens stand in their part."""

    def join(self, pieces: list[str]) -> str:
        """The text that tokens stand for."""

    def describe(self, cut: CutOptions) -> dict[str, Any]:
        """The "normalizer", "pre_tokenizer", "decoder" and "model" of a tokenizer.json for texts cut in this way."""

    def save(self, folder: Path, prefix: str) -> tuple[Path, ...]:
        """Writes the files of the vocabulary, their names starting with `prefix`, into an existing folder."""
