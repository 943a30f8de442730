"""Byte-level BPE, the model of DeBERTa v1: read from vocab.json and merges.txt, written, and trained anew."""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from deberta_core.errors import TokenizationError
from deberta_core.files import read_content, read_json, write_text
from deberta_core.tokenization.json_shapes import VOCABULARY
from deberta_core.tokenization.tokenizers_model import TokenizersModel, library_errors
from deberta_core.tokenization.training import training_texts

VOCABULARY_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
SPACE = "Ġ"
_HINT = "A vocab.json maps tokens to ids."


class ByteLevelModel(TokenizersModel):
    """Byte-level BPE.

    Args:
        pipeline: a `tokenizers.Tokenizer`.
        add_prefix_space: puts a space before a text where none is; None: as the pipeline says.
        unknown: the token that stands for bytes that the vocabulary lacks; None if there is no such token.

    Raises:
        TokenizationError: the ids of the vocabulary are not 0, 1, 2, ..., or it lacks a byte and the unknown token.
    """

    def __init__(self, pipeline: Any, add_prefix_space: bool | None, unknown: str | None = None) -> None:
        before = pipeline.pre_tokenizer
        own = bool(getattr(before, "add_prefix_space", False))
        self.add_prefix_space = own if add_prefix_space is None else add_prefix_space
        super().__init__(pipeline, SPACE)
        if own != self.add_prefix_space and hasattr(before, "add_prefix_space"):
            before = deepcopy(before)  # that of the pipeline stays
            before.add_prefix_space = self.add_prefix_space
            self.pipeline.pre_tokenizer = before
        missing = [character for character in byte_characters() if self.piece_to_id(character) is None]
        if missing and unknown is not None:
            self.unknown_id = self.piece_to_id(unknown)
        if missing and self.unknown_id is not None:
            self.pipeline.model.unk_token = self.id_to_piece(self.unknown_id)
        elif missing:
            raise TokenizationError(
                f"The vocabulary lacks {len(missing)} of the 256 bytes, such as {missing[0]!r}, so that texts would "
                f"lose characters. Use the vocabulary's original files."
            )

    def save(self, folder: Path, prefix: str) -> tuple[Path, ...]:
        """Writes vocab.json and merges.txt."""
        vocab = {piece: index for index, piece in enumerate(self._pieces)}
        lines = ["#version: 0.2", *map(" ".join, self.merges)]
        return (
            write_text(folder / f"{prefix}{VOCABULARY_FILE}", json.dumps(vocab, ensure_ascii=False, indent=2) + "\n"),
            write_text(folder / f"{prefix}{MERGES_FILE}", "\n".join(lines) + "\n"),
        )


@lru_cache(maxsize=1)
def byte_characters() -> dict[str, int]:
    """The byte that each character of a token stands for.

    Source:
        GPT-2's `bytes_to_unicode`: visible characters of Latin-1 stand for themselves, other bytes for the characters
        from U+0100 on, in order.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + place): byte for place, byte in enumerate(others)}


def read_byte_level(vocab_file: Path, merges_file: Path) -> Any:
    """Makes a `tokenizers.Tokenizer` of the two files.

    Raises:
        TokenizationError: a file is missing or broken, or one does not belong to the other.
    """
    vocab = read_json(vocab_file, TokenizationError, _HINT, VOCABULARY)
    try:
        lines = read_content(merges_file, TokenizationError, "Copy it again.").decode().split("\n")
    except UnicodeDecodeError as problem:
        raise TokenizationError(f"{merges_file} cannot be read: {problem}. Copy it again.") from None
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = tuple(line.rstrip("\r").split(" "))
        absent = [token for token in (*parts, "".join(parts)) if token not in vocab]
        if len(parts) != 2 or absent:
            reason = f"{absent[0]!r} is not in {vocab_file.name}" if len(parts) == 2 else "it is no pair of tokens"
            raise TokenizationError(f"{merges_file}, line {number}, is {line!r:.80}: {reason}. Copy both files again.")
        merges.append((parts[0], parts[1]))
    return _pipeline(vocab, merges, add_prefix_space=False)


def train_byte_level(
    texts: Iterable[str | list[str]],
    vocab_size: int,
    first: list[str],
    last: list[str],
    add_prefix_space: bool,
    hard_vocab_limit: bool = True,
) -> Any:
    """Trains a `tokenizers.Tokenizer`.

    Args:
        texts: texts, or batches of texts, read once.
        vocab_size: number of tokens, `first`, `last` and 256 bytes included.
        first: special tokens with the first ids.
        last: special tokens with the last ids.
        add_prefix_space: as the tokenizer will be used.
        hard_vocab_limit: False gives the nearest size that the texts allow.

    Raises:
        TokenizationError: the texts do not allow such a vocabulary.
        InputError: `vocab_size` is no positive int, or a text is not a str.
    """
    from tokenizers.trainers import BpeTrainer

    checked = training_texts(texts, vocab_size)
    least = len(first) + len(last) + 256
    if not hard_vocab_limit:
        vocab_size = max(vocab_size, least)
    if vocab_size < least:
        raise TokenizationError(f"vocab_size={vocab_size} is too small: special tokens and bytes alone are {least}.")
    trainer = BpeTrainer(
        vocab_size=vocab_size - len(last),
        special_tokens=first,
        initial_alphabet=list(byte_characters()),
        show_progress=False,
    )
    pipeline = _pipeline({}, [], add_prefix_space)
    pipeline.train_from_iterator(checked, trainer)
    model = json.loads(pipeline.to_str())["model"]
    size = len(model["vocab"]) + len(last)
    if size < vocab_size and hard_vocab_limit:
        raise TokenizationError(
            f"vocab_size={vocab_size} is too large for these texts, which give {size} tokens. Use that, or more text."
        )
    vocab = model["vocab"] | {token: len(model["vocab"]) + place for place, token in enumerate(last)}
    return _pipeline(vocab, [(left, right) for left, right in model["merges"]], add_prefix_space)


def _pipeline(vocab: dict[str, int], merges: list[tuple[str, str]], add_prefix_space: bool) -> Any:
    from tokenizers import Tokenizer as Pipeline
    from tokenizers import decoders, models, pre_tokenizers

    with library_errors("The vocabulary is refused by the tokenizers library", "Copy its files again."):
        pipeline = Pipeline(models.BPE(vocab, merges))
    pipeline.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    pipeline.decoder = decoders.ByteLevel()
    return pipeline
