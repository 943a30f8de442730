"""vocab.json and merges.txt, the files of byte-level BPE: read, written, and trained anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from deberta_core.errors import InputError, TokenizationError
from deberta_core.files import read_json, write_text
from deberta_core.tokenization.texts import check_text

VOCABULARY_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
_HINT = "A vocab.json maps tokens to ids."


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
    vocab = read_json(vocab_file, TokenizationError, _HINT)
    if wrong := [token for token, index in vocab.items() if type(index) is not int or index < 0]:
        raise TokenizationError(f"{vocab_file} gives {wrong[0]!r} the id {vocab[wrong[0]]!r}. Ids are 0, 1, 2, ...")
    try:
        lines = merges_file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
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


def write_byte_level(folder: Path, prefix: str, model: dict[str, Any]) -> tuple[Path, Path]:
    """Writes the two files of a BPE model as a tokenizer.json describes it."""
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    vocab = dict(sorted(model["vocab"].items(), key=lambda entry: entry[1]))
    return (
        write_text(folder / f"{prefix}{VOCABULARY_FILE}", json.dumps(vocab, ensure_ascii=False) + "\n"),
        write_text(folder / f"{prefix}{MERGES_FILE}", "\n".join(["#version: 0.2", *merges]) + "\n"),
    )


def train_byte_level(
    texts: Iterable[str | list[str]], vocab_size: int, first: list[str], last: list[str], add_prefix_space: bool
) -> Any:
    """Trains a `tokenizers.Tokenizer`.

    Args:
        texts: texts, or batches of texts, read once.
        vocab_size: number of tokens, `first`, `last` and 256 bytes included.
        first: special tokens with the first ids.
        last: special tokens with the last ids.
        add_prefix_space: as the tokenizer will be used.

    Raises:
        TokenizationError: the texts do not allow such a vocabulary.
        InputError: `vocab_size` is no positive int, or a text is not a str.
    """
    from tokenizers.trainers import BpeTrainer

    if not isinstance(vocab_size, int) or isinstance(vocab_size, bool) or vocab_size < 1:
        raise InputError(f"vocab_size={vocab_size!r} is not a positive int. Give a number of tokens.")
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise InputError(f"texts is a {type(texts).__name__}. Give an iterable of texts, or of batches of texts.")
    least = len(first) + len(last) + 256
    if vocab_size < least:
        raise TokenizationError(f"vocab_size={vocab_size} is too small: special tokens and bytes alone are {least}.")
    trainer = BpeTrainer(
        vocab_size=vocab_size - len(last),
        special_tokens=first,
        initial_alphabet=list(byte_characters()),
        show_progress=False,
    )
    pipeline = _pipeline({}, [], add_prefix_space)
    pipeline.train_from_iterator(_checked(texts), trainer)
    model = json.loads(pipeline.to_str())["model"]
    size = len(model["vocab"]) + len(last)
    if size < vocab_size:
        raise TokenizationError(
            f"vocab_size={vocab_size} is too large for these texts, which give {size} tokens. Use that, or more text."
        )
    vocab = model["vocab"] | {token: len(model["vocab"]) + place for place, token in enumerate(last)}
    return _pipeline(vocab, [(left, right) for left, right in model["merges"]], add_prefix_space)


def _pipeline(vocab: dict[str, int], merges: list[tuple[str, str]], add_prefix_space: bool) -> Any:
    from tokenizers import Tokenizer as Pipeline
    from tokenizers import decoders, models, pre_tokenizers

    pipeline = Pipeline(models.BPE(vocab, merges))
    pipeline.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    pipeline.decoder = decoders.ByteLevel()
    return pipeline


def _checked(texts: Iterable[str | list[str]]) -> Iterator[str]:
    number = 0
    for item in texts:
        for text in item if isinstance(item, list | tuple) else [item]:
            yield check_text(text, f"texts[{number}]")
            number += 1
