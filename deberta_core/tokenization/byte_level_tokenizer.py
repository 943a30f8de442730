"""The tokenizer of DeBERTa v1: the byte-level BPE of GPT-2 and RoBERTa with DeBERTa's special tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

from deberta_core.arguments import to_path
from deberta_core.errors import InputError, TokenizationError
from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.byte_level_model import (
    MERGES_FILE,
    VOCABULARY_FILE,
    ByteLevelModel,
    byte_characters,
    read_byte_level,
    train_byte_level,
)
from deberta_core.tokenization.cutting import CutOptions
from deberta_core.tokenization.folder import Layout
from deberta_core.tokenization.lengths import check_choice
from deberta_core.tokenization.options import DEFAULTS, TokenizerOptions, check_bool
from deberta_core.tokenization.text_encoder import tokens_of
from deberta_core.tokenization.tokenizer import Tokenizer
from deberta_core.tokenization.tokenizer_json import TokenizerFile
from deberta_core.tokenization.vocabulary import Vocabulary

# The tokens that training gives the first ids.
_FIRST = ("pad_token", "cls_token", "sep_token", "unk_token")
_ERRORS = ("strict", "replace", "ignore", "backslashreplace", "surrogateescape")


class DebertaTokenizer(Tokenizer):
    """Byte-level BPE with DeBERTa's special tokens; [MASK] takes the space before it.

    Decoding gives the text again, character for character, except that spaces before [MASK] are lost, and that
    `add_prefix_space` and pre-split words add spaces.

    Args:
        vocab_file: the path of vocab.json.
        merges_file: the path of merges.txt.
        tokenizer_file: the path of a tokenizer.json; read only if there are no other files.
        errors: what decoding does with bytes that make no character, as in `bytes.decode`.
        add_prefix_space: puts a space before a text, and after special tokens in it, where none is; None: what a
            tokenizer.json says, otherwise False.
        options: see `TokenizerOptions`.

    Raises:
        TokenizationError: the vocabulary is missing, broken, or another tokenizer's.
        InputError: an option is unknown or has a value it cannot have, or files are not given.
    """

    layout: ClassVar = Layout(
        tokenizer_class="DebertaTokenizer",
        vocabulary={"vocab_file": VOCABULARY_FILE, "merges_file": MERGES_FILE},
        foreign=("spm.model",),
        model_kind="BPE",
        has_tokenizer_json=True,
        writes_tokenizer_json=False,
    )
    own_options = ("errors", "add_prefix_space")
    _subwords: ByteLevelModel
    errors = property(lambda self: self._errors, doc="What decoding does with bytes that make no character.")
    option_defaults: ClassVar = {
        "unk_token": "[UNK]",
        "mask_token": AddedToken("[MASK]", lstrip=True, special=True, normalized=True),
    }
    spaces_around_added_tokens = False
    add_prefix_space = property(lambda self: self._subwords.add_prefix_space, doc="Whether a text starts with a space.")

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        merges_file: str | Path | None = None,
        tokenizer_file: str | Path | None = None,
        errors: str = "replace",
        add_prefix_space: bool | None = None,
        **options: Unpack[TokenizerOptions],
    ) -> None:
        if vocab_file is not None and merges_file is not None:
            pipeline = read_byte_level(to_path("vocab_file", vocab_file), to_path("merges_file", merges_file))
        elif tokenizer_file is not None:
            pipeline = _described(to_path("tokenizer_file", tokenizer_file), type(self).__name__)
        else:
            raise InputError("Files are missing. Give vocab_file and merges_file, or tokenizer_file.")
        files = {"vocab_file": vocab_file, "merges_file": merges_file, "tokenizer_file": tokenizer_file}
        self._set_up(pipeline, errors, add_prefix_space, options, files)

    @classmethod
    def train(cls, texts: Iterable[str | list[str]], vocab_size: int, **options: Any) -> Self:
        """Trains a new vocabulary; equal texts give an equal vocabulary.

        Args:
            texts: texts, or batches of texts, read once.
            vocab_size: number of tokens, the special ones and 256 bytes included; [MASK] is the last one.
            options: arguments of the constructor; and `hard_vocab_limit`, where False gives the nearest size that the
                texts allow.

        Raises:
            TokenizationError: the vocabulary is too small for the bytes, or larger than the texts allow.
            InputError: an option is unknown, or a text is not a str.
        """
        errors, add_prefix_space = options.pop("errors", "replace"), options.pop("add_prefix_space", False)
        limit = options.pop("hard_vocab_limit", True)
        tokenizer = cls.__new__(cls)
        roles = {**DEFAULTS, **cls.option_defaults, **options}
        first = [str(roles[name]) for name in _FIRST if roles[name] is not None]
        last = [] if roles["mask_token"] is None else [str(roles["mask_token"])]
        pipeline = train_byte_level(texts, vocab_size, list(dict.fromkeys(first)), last, bool(add_prefix_space), limit)
        tokenizer._set_up(pipeline, errors, add_prefix_space, options, {})
        return tokenizer

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens to the text they stand for; added tokens stay as they are."""
        values, added = byte_characters(), self._vocabulary.ids
        content = bytearray()
        for token in tokens_of(tokens, "tokens"):
            try:
                content += token.encode("utf-8") if token in added else bytes(map(values.__getitem__, token))
            except KeyError:  # a token of the caller's, with characters that stand for no byte
                content += token.encode("utf-8")
        return content.decode("utf-8", errors=self._errors)

    def _set_up(
        self,
        pipeline: Any,
        errors: str,
        add_prefix_space: bool | None,
        options: Mapping[str, Any],
        files: Mapping[str, Any],
    ) -> None:
        check_choice("errors", errors, _ERRORS)
        if add_prefix_space is not None:
            check_bool("add_prefix_space", add_prefix_space)
        unknown = options.get("unk_token", DEFAULTS["unk_token"])
        model = ByteLevelModel(pipeline, add_prefix_space, None if unknown is None else str(unknown))
        self._errors = errors
        super().__init__(model, CutOptions(space=not model.add_prefix_space), options, files)

    def _with_prefix(self, add_prefix_space: bool | None) -> tuple[Vocabulary, CutOptions]:
        if add_prefix_space is None or add_prefix_space == self.add_prefix_space:
            return self._vocabulary, self._cut
        check_bool("add_prefix_space", add_prefix_space)
        model = ByteLevelModel(self._subwords.pipeline, add_prefix_space, self.unk_token)
        vocabulary = Vocabulary(model, {**self._vocabulary.roles(), "added_tokens_decoder": self._vocabulary.by_id})
        return vocabulary, CutOptions(space=not add_prefix_space)


def _described(path: Path, owner: str) -> Any:
    file = TokenizerFile(path, ("BPE",), owner)
    if "ByteLevel" not in file.part_types("pre_tokenizer"):
        raise TokenizationError(f"{path} holds a BPE of characters, but {owner} needs one of bytes (ByteLevel).")
    return file.pipeline()


class DebertaTokenizerFast(DebertaTokenizer):
    """`DebertaTokenizer` that also writes tokenizer.json; both read it, and both give the same ids and offsets."""

    layout: ClassVar = replace(DebertaTokenizer.layout, writes_tokenizer_json=True)
