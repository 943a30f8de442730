"""The methods of a tokenizer that write its files, and that train one like it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deberta_core.errors import DebertaWarning
from deberta_core.names.rows import other_attribute
from deberta_core.names.tokenizers import TOKENIZER_ATTRIBUTES
from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.folder import write_folder

if TYPE_CHECKING:
    from deberta_core.tokenization.tokenizer import Tokenizer


def train_new_from_iterator(
    self: Tokenizer,
    text_iterator: Iterable[str | list[str]],
    vocab_size: int,
    length: int | None = None,
    new_special_tokens: Sequence[str | AddedToken] | None = None,
    special_tokens_map: Mapping[str, str] | None = None,
    **options: Any,
) -> Any:
    """Trains a new vocabulary for a tokenizer with this one's options and special tokens; see `train`.

    A size that the texts do not allow becomes the nearest that they do, with a warning.

    Args:
        self: gives options and special tokens.
        text_iterator: texts, or batches of texts.
        vocab_size: number of tokens.
        length: changes nothing.
        new_special_tokens: further special tokens.
        special_tokens_map: new names of special tokens by their present ones.
        **options: of `train`.
    """
    names, roles = special_tokens_map or {}, self._vocabulary.roles()
    for name, role in roles.items():
        tokens = role if isinstance(role, list) else [role] if role else []
        renamed = [replace(token, content=names.get(token.content, token.content)) for token in tokens]
        roles[name] = renamed if isinstance(role, list) else renamed[0] if renamed else None
    roles["additional_special_tokens"] += new_special_tokens or []
    options = {"hard_vocab_limit": False, **self._options(), **roles, **options}
    new = self.train(text_iterator, vocab_size, **options)
    if new.vocab_size != vocab_size:
        warnings.warn(
            f"vocab_size={vocab_size} is not possible with these texts, special tokens and bytes: the new tokenizer "
            f"has {new.vocab_size} tokens. Ask for as many, or for an error with hard_vocab_limit=True.",
            DebertaWarning,
            stacklevel=2,
        )
    return new


def save_pretrained(
    self: Tokenizer,
    save_directory: str | Path,
    legacy_format: bool | None = None,
    filename_prefix: str | None = None,
    push_to_hub: bool = False,
) -> tuple[str, ...]:
    """Writes the vocabulary and the JSON files, makes the folder if need be, and returns the paths.

    A tokenizer that is there is replaced as one; other files stay.

    Args:
        self: what is written.
        save_directory: the folder.
        legacy_format: True leaves tokenizer.json out, False writes it if the class can; None: if the tokenizer
            `is_fast`.
        filename_prefix: put before the names of the files, with a hyphen.
        push_to_hub: must be False.

    Raises:
        TokenizationError: the folder cannot be made or written; it is as it was.
    """
    if push_to_hub:
        other_attribute(TOKENIZER_ATTRIBUTES, self, "push_to_hub")
    config = {**self._extra, **self._options(), "tokenizer_class": self._tokenizer_class()}
    return _write(
        self, save_directory, filename_prefix, config, self.is_fast if legacy_format is None else not legacy_format
    )


def save_vocabulary(self: Tokenizer, save_directory: str | Path, filename_prefix: str | None = None) -> tuple[str, ...]:
    """Writes the vocabulary files into a folder, their names after a prefix, and returns their paths.

    Raises:
        TokenizationError: they cannot be written; the folder is as it was.
    """
    return _write(self, save_directory, filename_prefix, None, self.is_fast)


def _write(
    self: Tokenizer, folder: str | Path, prefix: str | None, config: dict[str, Any] | None, json: bool
) -> tuple[str, ...]:
    pipeline = self._subwords.describe(self._cut) if json and self.layout.has_tokenizer_json else None
    return write_folder(folder, f"{prefix}-" if prefix else "", self._subwords, self._vocabulary, config, pipeline)
