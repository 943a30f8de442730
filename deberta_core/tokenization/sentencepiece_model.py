"""SentencePiece as the library itself computes it: ids, and what each token covers in the original text."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from deberta_core.errors import InputError, TokenizationError, shown
from deberta_core.files import read_content
from deberta_core.limits import check
from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.charsmap import longest_replacement
from deberta_core.tokenization.cutting import CutOptions
from deberta_core.tokenization.protobuf import fields
from deberta_core.tokenization.subwords import Aligned, Span

VOCABULARY_FILE = "spm.model"
SPACE = "▁"
# Field numbers of SentencePiece's `sentencepiece_model.proto` and `sentencepiece.proto`.
_NORMALIZER_SPEC = 3  # of ModelProto
_CHARSMAP = 2  # of NormalizerSpec
_PIECES = 2  # of SentencePieceText
_PIECE, _ID = 1, 2  # of SentencePiece, in it
_BYTE = re.compile("<0x[0-9A-F]{2}>")
# In characters: below, starting threads (0.3 to 0.5 ms) takes longer than they save; measured with two cores.
_WORTH_THREADS = 8192


class SentencePieceModel:
    """A vocabulary of SentencePiece.

    Args:
        serialized: the content of spm.model.
        arguments: of SentencePieceProcessor, such as `enable_sampling`, `nbest_size` and `alpha`.
        source: where the content is from, for messages.

    Raises:
        TokenizationError: the content is no vocabulary.
        InputError: an argument is refused.
    """

    merges: tuple[tuple[str, str], ...] = ()
    finds_added = False

    def __init__(self, serialized: bytes, arguments: dict[str, Any], source: str) -> None:
        self.serialized = serialized
        self._arguments = arguments
        self.processor = _make_processor(serialized, arguments, source)
        self.vocab_size = int(self.processor.vocab_size())
        self.unknown_id: int | None = int(self.processor.unk_id())
        try:
            _check_content(serialized, self.processor)
        except (
            ValueError,
            IndexError,
        ) as problem:  # a piece that is no UTF-8 is the first, a message that ends the second
            raise TokenizationError(f"{source} is no SentencePiece model: {problem}. Copy it again.") from None
        self.is_random = bool(arguments.get("enable_sampling"))

    @classmethod
    def from_file(cls, file: Path, arguments: dict[str, Any]) -> SentencePieceModel:
        """Reads an spm.model; raises as the constructor does, and TokenizationError if there is no such file."""
        content = read_content(file, TokenizationError, f"Give the path of an {VOCABULARY_FILE}.")
        return cls(content, arguments, str(file))

    def __reduce__(self) -> tuple[Any, ...]:
        return SentencePieceModel, (self.serialized, self._arguments, "The pickled tokenizer")

    def adding(self, tokens: Mapping[int, AddedToken]) -> Self:
        """Itself: texts are cut at added tokens before SentencePiece sees them."""
        return self

    def piece_to_id(self, piece: str) -> int | None:
        """The id of a token; None if there is no such token."""
        index = int(self.processor.piece_to_id(piece))
        return index if self.processor.id_to_piece(index) == piece else None

    def id_to_piece(self, index: int) -> str:
        """The token with this id."""
        return str(self.processor.id_to_piece(index))

    def encode(self, parts: list[str]) -> list[list[int]]:
        """The ids of parts."""
        # A list goes to threads, which makes sampling depend on their timing.
        if self.is_random or sum(map(len, parts)) < _WORTH_THREADS:
            return [self.processor.encode(part, out_type=int) for part in parts]
        encoded: list[list[int]] = self.processor.encode(parts, out_type=int)
        return encoded

    def pieces(self, part: str) -> list[str]:
        """The tokens of a part."""
        return list(self.processor.encode(part, out_type=str))

    def align(self, parts: list[str]) -> list[Aligned]:
        """The ids of parts, and where the tokens stand in their part.

        The spans follow SentencePiece's own map from normalized to original characters. A group of characters that is
        normalized together belongs to the token that holds the first character of the result; other tokens of that
        result cover nothing and stand at the group's end. A token's leading space does not count. What normalization
        deletes belongs to the token before.
        """
        if self.is_random:
            return [self._align_pieces(part) for part in parts]
        return [self._align_ids(part, ids) for part, ids in zip(parts, self.encode(parts), strict=True)]

    def join(self, pieces: list[str]) -> str:
        """The text that tokens stand for."""
        return str(self.processor.decode_pieces(pieces))

    def describe(self, cut: CutOptions) -> dict[str, Any]:
        """The model as a tokenizer.json holds it.

        The description is approximate: the `tokenizers` library applies the map of characters to grapheme clusters,
        SentencePiece to the longest match at each character, and it knows a literal "▁" as no space.
        """
        charsmap = _charsmap(self.serialized)
        normalizers: list[dict[str, Any]] = [
            *([{"type": "Lowercase"}] if cut.lower else []),
            *([{"type": "Precompiled", "precompiled_charsmap": b64encode(charsmap).decode()}] if charsmap else []),
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            {"type": "Strip", "strip_left": True, "strip_right": True},
        ]
        metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
        # Between punctuation marks, SentencePiece sees one part at a time and strips each.
        punctuation = (
            [{"type": "Punctuation", "behavior": "Isolated"}, {"type": "WhitespaceSplit"}] if cut.split else []
        )
        pieces = [[self.id_to_piece(index), self.processor.get_score(index)] for index in range(self.vocab_size)]
        has_bytes = any(self.processor.is_byte(index) for index in range(self.vocab_size))
        return {
            "normalizer": {"type": "Sequence", "normalizers": normalizers},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*punctuation, metaspace]},
            "decoder": {
                "type": "Sequence",
                "decoders": [
                    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                    {"type": "ByteFallback"},
                    {"type": "Fuse"},
                    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
                ],
            },
            "model": {"type": "Unigram", "unk_id": self.unknown_id, "vocab": pieces, "byte_fallback": has_bytes},
        }

    def save(self, folder: Path, prefix: str) -> tuple[Path, ...]:
        """Writes spm.model."""
        file = folder / f"{prefix}{VOCABULARY_FILE}"
        file.write_bytes(self.serialized)
        return (file,)

    @cached_property
    def _shapes(self) -> list[tuple[int, int]]:
        """For each id, its characters and how many of them are leading spaces; (0, n) for the nth UTF-8 lead byte."""
        shapes = [_shape(self.id_to_piece(index)) for index in range(self.vocab_size)]
        for index in range(self.vocab_size):
            if self.processor.is_byte(index):
                shapes[index] = (0, _following_bytes(int(self.id_to_piece(index)[1:-1], 16)))
        return shapes

    def _align_ids(self, part: str, ids: list[int]) -> Aligned:
        if self.unknown_id in ids:  # whose length only the surface tells
            return self._align_pieces(part)
        shapes = self._shapes
        return Aligned(ids, self._spans(part, [shapes[index] for index in ids]))

    def _align_pieces(self, part: str) -> Aligned:
        # What every version of sentencepiece gives: 0.2.0 has no offset mapping, later ones give other objects.
        text = self.processor.encode(part, out_type="serialized_proto")
        pieces: list[dict[int, Any]] = [
            dict(fields(piece)) for number, piece in fields(text) if number == _PIECES and isinstance(piece, bytes)
        ]
        ids, shapes = [piece.get(_ID, 0) for piece in pieces], self._shapes
        found = [
            _shape(piece[_PIECE].decode()) if index == self.unknown_id else shapes[index]
            for index, piece in zip(ids, pieces, strict=True)
        ]
        return Aligned(ids, self._spans(part, found))

    def _spans(self, part: str, shapes: list[tuple[int, int]]) -> list[Span]:
        normalized, origins = self.processor.normalize(part, with_offsets=True)
        origins = _first_carries(normalized, origins)
        place, pending = 0, 0
        spans: list[Span] = []
        for characters, extra in shapes:
            if characters:
                spans.append((origins[place + extra], origins[place + characters]))
                place += characters
            elif pending:
                spans.append((origins[place], origins[place]))
                pending -= 1
            else:
                spans.append((origins[place], origins[place + 1]))
                place, pending = place + 1, extra
        return spans


def _charsmap(serialized: bytes) -> bytes:
    spec = dict(fields(serialized)).get(_NORMALIZER_SPEC)
    charsmap = dict(fields(spec)).get(_CHARSMAP) if isinstance(spec, bytes) else None
    return charsmap if isinstance(charsmap, bytes) else b""


def _check_content(serialized: bytes, processor: Any) -> None:
    """Raises ValueError or IndexError for content that SentencePiece takes, and fails on later."""
    if processor.unk_id() < 0:  # what the vocabulary lacks would get the id -1
        raise ValueError("it has no unknown token")
    pieces = processor.id_to_piece(list(range(processor.vocab_size())))
    for index, piece in enumerate(pieces):
        if processor.is_byte(index) and not _BYTE.fullmatch(piece):
            raise ValueError(f"piece {index} is {shown(piece)}, which is no byte")
    if charsmap := _charsmap(serialized):
        check("text_growth", longest_replacement(charsmap), "it makes a character up to", ValueError)


def _shape(piece: str) -> tuple[int, int]:
    return len(piece), len(piece) - len(piece.lstrip(SPACE))


def _following_bytes(lead: int) -> int:
    return (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0)


def _first_carries(normalized: str, origins: list[int]) -> list[int]:
    """Moves the origin of all but the first character of a group, leading spaces aside, to the end of the group."""
    own = origins[normalized.startswith(SPACE) :]  # the first space may be SentencePiece's addition
    if len(set(own)) == len(own):
        return origins
    moved = list(origins)
    later = [False] * len(origins)
    for place in range(1, len(normalized)):
        same = origins[place] == origins[place - 1]
        later[place] = same and (later[place - 1] or normalized[place - 1] != SPACE)
    for place in reversed(range(len(normalized))):
        if later[place]:
            moved[place] = moved[place + 1]
    return moved


def _make_processor(model: bytes, arguments: dict[str, Any], source: str) -> Any:
    from sentencepiece import SentencePieceProcessor

    if model.startswith(b"version https://git-lfs"):
        raise TokenizationError(f"{source} is a Git LFS pointer, not the vocabulary. Run: git lfs pull")
    try:
        processor = SentencePieceProcessor(model_proto=model, **arguments)
        processor.encode("")
    except (TypeError, ValueError) as problem:
        raise InputError(f"sp_model_kwargs={shown(arguments)} is refused by SentencePiece: {problem}") from None
    except RuntimeError:
        processor = None
    if not model or processor is None:
        raise TokenizationError(
            f"{source} is no SentencePiece model: its {len(model)} bytes are cut off or something else. Copy it again."
        )
    return processor
