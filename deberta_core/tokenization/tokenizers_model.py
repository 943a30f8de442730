"""A vocabulary computed by the `tokenizers` library: byte-level BPE, or whatever a tokenizer.json defines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from deberta_core.errors import TokenizationError
from deberta_core.tokenization.cutting import CutOptions
from deberta_core.tokenization.subwords import Aligned, Span


@contextmanager
def library_errors(what: str, mend: str) -> Iterator[None]:
    """Turns what the `tokenizers` library raises into our error, panics of its Rust code included.

    Raises:
        TokenizationError: the library raised; the message begins with `what` and ends with `mend`.
    """
    try:
        yield
    except BaseException as problem:  # it raises nothing narrower than Exception, and a panic is not even one
        if isinstance(problem, Exception) or type(problem).__name__ == "PanicException":
            raise TokenizationError(f"{what}: {problem}. {mend}") from None
        raise


_CUTTING = partial(library_errors, "The rules of the tokenizer fail for a text", "Mend its tokenizer.json.")


class TokenizersModel:
    """The normalizer, pre-tokenizer, model and decoder of a `tokenizers.Tokenizer`, without its added tokens.

    Args:
        tokenizer: whose parts are used; it is not changed.
        space: the character that stands for a space in tokens.

    Raises:
        TokenizationError: the ids of the vocabulary are not 0, 1, 2, ...
    """

    is_random = False

    def __init__(self, tokenizer: Any, space: str) -> None:
        from tokenizers import Tokenizer as Pipeline

        self.pipeline = Pipeline(tokenizer.model)
        for part in ("normalizer", "pre_tokenizer", "decoder"):
            if getattr(tokenizer, part) is not None:
                setattr(self.pipeline, part, getattr(tokenizer, part))
        self._space = space
        self._ids: dict[str, int] = self.pipeline.get_vocab(with_added_tokens=False)
        self._pieces = sorted(self._ids, key=self._ids.__getitem__)
        self.vocab_size = len(self._pieces)
        if self._pieces and self._ids[self._pieces[-1]] != self.vocab_size - 1:
            raise TokenizationError(
                f"The vocabulary has {self.vocab_size} tokens but ids up to {self._ids[self._pieces[-1]]}. Ids must be "
                f"0, 1, 2, ... without gaps or repetitions; use the vocabulary's original file."
            )
        unknown = getattr(self.pipeline.model, "unk_token", None)
        self.unknown_id: int | None = self._ids.get(unknown) if isinstance(unknown, str) else None

    def piece_to_id(self, piece: str) -> int | None:
        """The id of a token; None if there is no such token."""
        return self._ids.get(piece)

    def id_to_piece(self, index: int) -> str:
        """The token with this id."""
        return self._pieces[index]

    def encode(self, parts: list[str]) -> list[list[int]]:
        """The ids of parts."""
        with _CUTTING():
            return [encoding.ids for encoding in self.pipeline.encode_batch_fast(parts, add_special_tokens=False)]

    def pieces(self, part: str) -> list[str]:
        """The tokens of a part."""
        with _CUTTING():
            return list(self.pipeline.encode(part, add_special_tokens=False).tokens)

    def align(self, parts: list[str]) -> list[Aligned]:
        """The ids of parts, and where the tokens stand in their part.

        A token's leading spaces do not count. Of tokens that share a character the first one has it, and the rest cover
        nothing and stand after it.
        """
        with _CUTTING():
            encodings = self.pipeline.encode_batch(parts, add_special_tokens=False)
        return [
            Aligned(encoding.ids, self._spans(part, encoding.ids, encoding.offsets))
            for part, encoding in zip(parts, encodings, strict=True)
        ]

    def join(self, pieces: list[str]) -> str:
        """The text that tokens stand for, as the decoder defines it."""
        decoder = self.pipeline.decoder
        with _CUTTING():
            return " ".join(pieces) if decoder is None else str(decoder.decode(pieces))

    def describe(self, cut: CutOptions) -> dict[str, Any]:
        """The parts of the pipeline as a tokenizer.json holds them; the model cuts texts by itself."""
        content = json.loads(self.pipeline.to_str())
        return {name: content[name] for name in ("normalizer", "pre_tokenizer", "decoder", "model")}

    @property
    def merges(self) -> tuple[tuple[str, str], ...]:
        """The merges of a BPE."""
        return tuple((left, right) for left, right in json.loads(self.pipeline.to_str())["model"].get("merges", ()))

    def save(self, folder: Path, prefix: str) -> tuple[Path, ...]:
        """Writes nothing: the vocabulary is in the tokenizer.json that a tokenizer writes."""
        return ()

    @cached_property
    def _spaces(self) -> list[tuple[int, bool]]:
        """For each id, how many spaces its token begins with, and whether it is nothing else."""
        lengths = [(len(piece) - len(piece.lstrip(self._space)), len(piece)) for piece in self._pieces]
        return [(spaces, spaces == length) for spaces, length in lengths]

    def _spans(self, part: str, ids: list[int], offsets: list[Span]) -> list[Span]:
        known, last = self._spaces, 0
        spans: list[Span] = []
        for (spaces, bare), (start, end) in zip(map(known.__getitem__, ids), offsets, strict=True):
            while spaces and start < end and part[start].isspace():
                start, spaces = start + 1, spaces - 1
            # The library gives an added space the character after it, and every byte of a character the whole of it.
            if start < last:
                start = last
            last = end if end > start and not bare else start
            spans.append((start, last))
        return spans
