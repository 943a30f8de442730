"""A vocabulary computed by the `tokenizers` library: byte-level BPE, or whatever a tokenizer.json defines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from deberta_core.errors import TokenizationError
from deberta_core.tokenization.added_tokens import AddedToken
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
        space: the characters that stand for a space in tokens.
        finds_added: whether the library finds added tokens in a text, between normalizer and pre-tokenizer, so that
            what is around them is as a tokenizer.json defines it.

    Raises:
        TokenizationError: the ids of the vocabulary are not 0, 1, 2, ...
    """

    is_random = False

    def __init__(self, tokenizer: Any, space: str, finds_added: bool = False) -> None:
        self.pipeline = _without_added(tokenizer)
        self._space, self.finds_added = space, finds_added
        self._own_ids: dict[int, int] = {}  # of added tokens, by the library's
        self._added: dict[int, AddedToken] = {}
        self._ids: dict[str, int] = self.pipeline.get_vocab(with_added_tokens=False)
        self._pieces: list[str] = sorted(self._ids, key=self._ids.__getitem__)
        self.vocab_size = len(self._pieces)
        if self._pieces and self._ids[self._pieces[-1]] != self.vocab_size - 1:
            raise TokenizationError(
                f"The vocabulary has {self.vocab_size} tokens but ids up to {self._ids[self._pieces[-1]]}. Ids must be "
                f"0, 1, 2, ... without gaps or repetitions; use the vocabulary's original file."
            )
        unknown = getattr(self.pipeline.model, "unk_token", None)
        self.unknown_id: int | None = self._ids.get(unknown) if isinstance(unknown, str) else None

    def adding(self, tokens: Mapping[int, AddedToken]) -> Self:
        """The model that finds these tokens in a text; itself where texts are cut at them before."""
        if not self.finds_added:
            return self
        from tokenizers import AddedToken as Added

        model = copy(self)
        model.pipeline, model._added = _without_added(self.pipeline), dict(tokens)
        for token in tokens.values():
            add = model.pipeline.add_special_tokens if token.special else model.pipeline.add_tokens
            add([Added(**token.to_json())])
        found = {model.pipeline.token_to_id(token.content): index for index, token in tokens.items()}
        model._own_ids = {} if all(one == two for one, two in found.items()) else found
        return model

    def piece_to_id(self, piece: str) -> int | None:
        """The id of a token; None if there is no such token."""
        return self._ids.get(piece)

    def id_to_piece(self, index: int) -> str:
        """The token with this id."""
        return self._pieces[index]

    def encode(self, parts: list[str]) -> list[list[int]]:
        """The ids of parts."""
        with _CUTTING():
            encodings = self.pipeline.encode_batch_fast(parts, add_special_tokens=False)
        return [self._numbered(encoding.ids) for encoding in encodings]

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
            Aligned(ids, self._spans(part, ids, encoding.offsets))
            for part, encoding in zip(parts, encodings, strict=True)
            for ids in [self._numbered(encoding.ids)]
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

    def _numbered(self, ids: list[int]) -> list[int]:
        return [self._own_ids.get(index, index) for index in ids] if self._own_ids else ids

    def _spans(self, part: str, ids: list[int], offsets: list[Span]) -> list[Span]:
        known, last = self._spaces, 0
        spans: list[Span] = []
        for index, (start, end) in zip(ids, offsets, strict=True):
            # The library counts the spaces that an added token takes away as its own.
            added = self._added.get(index)
            spaces, bare = known[index] if added is None else (end - start - len(added.content), False)
            while spaces > 0 and start < end and part[start].isspace():
                start, spaces = start + 1, spaces - 1
            # The library gives an added space the character after it, and every byte of a character the whole of it.
            if start < last:
                start = last
            last = end if end > start and not bare else start
            spans.append((start, last))
        return spans


def _without_added(tokenizer: Any) -> Any:
    from tokenizers import Tokenizer as Pipeline

    pipeline = Pipeline(tokenizer.model)
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        if getattr(tokenizer, part) is not None:
            setattr(pipeline, part, getattr(tokenizer, part))
    return pipeline
