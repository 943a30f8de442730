"""Smaller vocabularies: what texts need of a SentencePiece model, cut out of its file."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from deberta_core.arguments import items_of
from deberta_core.errors import InputError, TokenizationError, shown
from deberta_core.tensors import to_list
from deberta_core.tokenization.protobuf import fields

if TYPE_CHECKING:
    from deberta_core.tokenization.sentencepiece_tokenizer import DebertaV2Tokenizer

    Trimmed = TypeVar("Trimmed", bound=DebertaV2Tokenizer)

# Field numbers of SentencePiece's `sentencepiece_model.proto`.
_PIECE, _TRAINER, _SELF_TEST = 1, 2, 4  # of ModelProto, whose fields all are messages
_SCORE, _TYPE = 2, 3  # of ModelProto.SentencePiece
_MODEL_TYPE = 3  # of TrainerSpec
_NORMAL, _UNUSED = 1, 5  # of ModelProto.SentencePiece.Type; 1 is the default
_UNIGRAM = 1  # of TrainerSpec.ModelType, and the default
_MODEL_TYPES = {2: "BPE", 3: "WORD", 4: "CHAR"}


def trim_tokenizer(tokenizer: Trimmed, keep: Iterable[str | list[str] | int]) -> tuple[Trimmed, list[int]]:
    """Makes a tokenizer with the tokens that some texts need; see `DebertaV2Tokenizer.trim`."""
    added = tokenizer.added_tokens_decoder
    model, pieces = trim_sentencepiece(tokenizer.serialized_model, {*_needed_ids(tokenizer, keep), *added})
    keep_ids = [*pieces, *sorted(index for index in added if index >= tokenizer.vocab_size)]
    new_ids = {old: new for new, old in enumerate(keep_ids)}
    tokens = {new_ids[index]: token for index, token in added.items()}
    trimmed = type(tokenizer)(
        model, **{**tokenizer._options(), **tokenizer._vocabulary.roles(), "added_tokens_decoder": tokens}
    )
    trimmed._extra = dict(tokenizer._extra)
    return trimmed, keep_ids


def trim_sentencepiece(model: bytes, keep: Collection[int]) -> tuple[bytes, list[int]]:
    """Takes the pieces that are not needed out of a SentencePiece unigram model.

    Besides the pieces asked for, special ones and bytes are kept, and the normal ones of the lowest and the highest
    score: from these SentencePiece derives the scores of unknown characters and of user-defined symbols. So the best
    way to cut a text that uses kept pieces only stays the best.

    Args:
        model: the content of spm.model.
        keep: ids of pieces; others are passed over.

    Returns:
        the content of the smaller spm.model, and the old ids of its pieces in order.

    Raises:
        TokenizationError: the model is of another type; its pieces depend on each other.

    Source:
        SentencePiece's `sentencepiece_model.proto` and `unigram_model.cc`. Every field is copied as it stands, but for
        the self-test samples, which the smaller model need not pass.
    """
    messages: list[tuple[int, Any]] = list(fields(model))
    trainer = dict(messages).get(_TRAINER, b"")
    model_type = dict(fields(trainer)).get(_MODEL_TYPE, _UNIGRAM)
    if model_type != _UNIGRAM:
        raise TokenizationError(
            f"a vocabulary of type {_MODEL_TYPES.get(int(model_type), model_type)} cannot be trimmed: its pieces are "
            f"made of one another. Only unigram vocabularies can."
        )
    pieces = [_score_and_type(message) for number, message in messages if number == _PIECE]
    scores = {index: score for index, (score, kind) in enumerate(pieces) if kind == _NORMAL}
    extremes = {choose(scores, key=scores.__getitem__) for choose in (min, max)} if scores else set()
    special = {index for index, (_, kind) in enumerate(pieces) if kind not in (_NORMAL, _UNUSED)}
    kept = special | extremes | {index for index in keep if 0 <= index < len(pieces)}
    indices = iter(range(len(pieces)))
    written = [
        _message(number, message)
        for number, message in messages
        if (next(indices) in kept if number == _PIECE else number != _SELF_TEST)
    ]
    return b"".join(written), sorted(kept)


def _needed_ids(tokenizer: DebertaV2Tokenizer, keep: Iterable[Any]) -> set[int]:
    """The ids that texts use, special tokens aside; and the ids themselves, where ids are given."""
    found: set[int] = set()
    for entry in items_of(keep, "keep", "texts, or of ids"):
        if isinstance(entry, str | list | tuple):
            texts = [entry] if isinstance(entry, str) else list(entry)
            found.update(*tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])
        elif isinstance(entry := to_list(entry), int) and not isinstance(entry, bool):
            tokenizer.convert_ids_to_tokens(entry)  # refuses an id that is not there
            found.add(entry)
        else:
            raise InputError(f"keep holds {shown(entry, 60)}, of type {type(entry).__name__}. Give texts, or ids.")
    return found


def _score_and_type(piece: bytes) -> tuple[float, int]:
    values: dict[int, Any] = dict(fields(piece))
    return struct.unpack("<f", values.get(_SCORE, bytes(4)))[0], values.get(_TYPE, _NORMAL)


def _message(number: int, content: bytes) -> bytes:
    """A field that holds a message, in Protocol Buffers' wire format: its key, its length, its content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """A number in groups of 7 bits, the lowest first; all but the last have the eighth bit set."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
