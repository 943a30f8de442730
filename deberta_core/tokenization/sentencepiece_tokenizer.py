"""The tokenizers of DeBERTa v2 and v3: SentencePiece itself, so that the ids are those the models were trained with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

from deberta_core.arguments import to_path
from deberta_core.errors import InputError, TokenizationError
from deberta_core.tokenization.cutting import CutOptions, split_at_punctuation
from deberta_core.tokenization.folder import Layout
from deberta_core.tokenization.json_shapes import SENTENCEPIECE_OPTIONS
from deberta_core.tokenization.options import DEFAULTS, TokenizerOptions, check_bool, checked_options
from deberta_core.tokenization.sentencepiece_model import SPACE, VOCABULARY_FILE, SentencePieceModel
from deberta_core.tokenization.subwords import SubwordModel
from deberta_core.tokenization.text_encoder import tokens_of
from deberta_core.tokenization.tokenizer import Tokenizer
from deberta_core.tokenization.tokenizer_json import TokenizerFile
from deberta_core.tokenization.tokenizers_model import TokenizersModel
from deberta_core.tokenization.training import TRAINING_OPTIONS, train_sentencepiece
from deberta_core.tokenization.trimming import trim_tokenizer

# The arguments of SentencePiece's trainer that name v3's first four tokens.
_PIECES = {"pad_piece": "pad_token", "bos_piece": "cls_token", "eos_piece": "sep_token", "unk_piece": "unk_token"}


class DebertaV2Tokenizer(Tokenizer):
    """SentencePiece with DeBERTa's special tokens; [MASK] has the first id after the vocabulary.

    Decoding gives the normalized text: NFKC forms, single spaces, none at the ends; letters in lower case if
    `do_lower_case`, spaces around punctuation if `split_by_punct`. Nothing else is lost, as rare characters are tokens
    of bytes.

    Args:
        vocab_file: the path of spm.model, or its content as bytes.
        do_lower_case: lower-cases everything but special tokens.
        split_by_punct: makes every punctuation mark a word of its own before SentencePiece sees the text.
        sp_model_kwargs: arguments of SentencePieceProcessor. `enable_sampling`, `nbest_size` and `alpha` cut words in
            ways drawn at random, anew in every call (subword regularization); decoding is not affected.
        options: see `TokenizerOptions`.

    Raises:
        TokenizationError: the vocabulary is missing or broken.
        InputError: an option is unknown or has a value it cannot have.
    """

    layout: ClassVar = Layout(
        tokenizer_class="DebertaV2Tokenizer",
        vocabulary={"vocab_file": VOCABULARY_FILE},
        foreign=("vocab.json", "merges.txt"),
        model_kind="Unigram",
        has_tokenizer_json=False,
        other_kinds=("BPE",),
    )
    own_options = ("do_lower_case", "split_by_punct", "sp_model_kwargs")
    spaces_around_added_tokens = True
    do_lower_case = property(lambda self: self._lower, doc="Whether everything but special tokens is lower-cased.")
    split_by_punct = property(lambda self: self._split, doc="Whether every punctuation mark is a word of its own.")
    sp_model_kwargs = property(lambda self: dict(self._arguments), doc="The arguments of SentencePieceProcessor.")

    def __init__(
        self,
        vocab_file: str | Path | bytes,
        do_lower_case: bool = False,
        split_by_punct: bool = False,
        sp_model_kwargs: dict[str, Any] | None = None,
        **options: Unpack[TokenizerOptions],
    ) -> None:
        self._set_up(vocab_file, None, do_lower_case, split_by_punct, sp_model_kwargs, options)

    @classmethod
    def train(cls, texts: Iterable[str | list[str]], vocab_size: int, **options: Any) -> Self:
        """Trains a new vocabulary with v3's settings; equal texts give an equal vocabulary.

        Args:
            texts: texts, or batches of texts, read once.
            vocab_size: number of tokens, special ones and 256 bytes included; [MASK] is added after them.
            options: arguments of the constructor, and those named in `training.TRAINING_OPTIONS`.

        Raises:
            TokenizationError: the texts do not allow a vocabulary of this size.
            InputError: an option is unknown, or a text is not a str.
        """
        training = {name: options.pop(name) for name in TRAINING_OPTIONS if name in options}
        shared = {name: value for name, value in options.items() if name not in cls.own_options}
        settings = checked_options(shared, (*cls.own_options, *TRAINING_OPTIONS), cls.option_defaults)
        pieces = {piece: str(settings[name] or DEFAULTS[name]) for piece, name in _PIECES.items()}
        lower, split = options.get("do_lower_case", False), options.get("split_by_punct", False)
        model = train_sentencepiece(texts, vocab_size, partial(_words, lower=lower, split=split), pieces, training)
        return cls(model, **options)

    def trim(self, keep: Iterable[str | list[str] | int]) -> tuple[Self, list[int]]:
        """Makes a tokenizer with the tokens that some texts need, and the ids for a model's `trim_vocabulary`.

        Special tokens, bytes and added tokens are always kept. Texts that only use kept tokens are cut as before; other
        characters become bytes, or [UNK].

        Args:
            keep: texts, batches of texts, or ids, read once.

        Returns:
            the new tokenizer, and the old id of each of its tokens, in order.

        Raises:
            InputError: an entry is neither a text nor an id of this tokenizer.
            TokenizationError: the vocabulary is not a unigram model, or not an spm.model.
        """
        return trim_tokenizer(self, keep)

    @property
    def serialized_model(self) -> bytes:
        """The content of spm.model.

        Raises:
            TokenizationError: the tokenizer was made of a tokenizer.json.
        """
        if not isinstance(self._subwords, SentencePieceModel):
            raise TokenizationError(
                f"The tokenizer was made of a tokenizer.json, which holds no {VOCABULARY_FILE}. Load a folder that has "
                f"one."
            )
        return self._subwords.serialized

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens to the text they stand for; those with a role stay as they are, after a space."""
        named = {name: token for name, token in self.special_tokens_map.items() if isinstance(token, str)}
        tokens, special = tokens_of(tokens, "tokens"), set(named.values())
        text, pieces, after_special = "", [], False
        for token in tokens:
            if token not in special:
                pieces.append(token)
            else:
                text += ("" if after_special else " ") + self._subwords.join(pieces) + token
                pieces = []
            after_special = token in special
        return (text + self._subwords.join(pieces)).strip()

    def _set_up(
        self, vocab_file: Any, tokenizer_file: Any, lower: bool, split: bool, arguments: Any, options: Any
    ) -> None:
        check_bool("do_lower_case", lower)
        check_bool("split_by_punct", split)
        if found := SENTENCEPIECE_OPTIONS({} if arguments is None else arguments):
            raise InputError(
                f"{found.inside('.sp_model_kwargs').describe('the arguments')}. Change it or leave it out."
            )
        self._lower, self._split, self._arguments = lower, split, dict(arguments or {})
        cut = CutOptions(lower, split)
        model: SubwordModel
        if isinstance(vocab_file, bytes):
            model = SentencePieceModel(vocab_file, self._arguments, "vocab_file")
        elif vocab_file is not None:
            model = SentencePieceModel.from_file(to_path("vocab_file", vocab_file), self._arguments)
        elif tokenizer_file is not None:
            if self._arguments:
                raise InputError(f"sp_model_kwargs={self._arguments!r} needs {VOCABULARY_FILE}. Leave it out.")
            file = TokenizerFile(to_path("tokenizer_file", tokenizer_file), ("Unigram",), type(self).__name__)
            model, cut = _described(file, cut), CutOptions()
        else:
            raise InputError("vocab_file and tokenizer_file are both None. Give the path of one of them.")
        super().__init__(model, cut, options, {"vocab_file": vocab_file, "tokenizer_file": tokenizer_file})


class DebertaV2TokenizerFast(DebertaV2Tokenizer):
    """`DebertaV2Tokenizer` that also reads and writes tokenizer.json.

    With an spm.model, SentencePiece computes ids and offsets, and both classes give the same; the tokenizer.json that
    is written is an approximate description for other programs. Without one, a tokenizer.json defines the ids, and
    `do_lower_case` and `split_by_punct` only say what it does.

    Args:
        vocab_file: the path of spm.model, or its content as bytes.
        tokenizer_file: the path of a tokenizer.json; read only if there is no `vocab_file`.
        do_lower_case: this and the other arguments are those of `DebertaV2Tokenizer`.
        split_by_punct: likewise.
        sp_model_kwargs: likewise; a tokenizer.json takes none.
        options: see `TokenizerOptions`.

    Raises:
        TokenizationError: the vocabulary is missing, broken, or another tokenizer's.
        InputError: an option is unknown or has a value it cannot have, or there is no file.
    """

    layout: ClassVar = replace(DebertaV2Tokenizer.layout, has_tokenizer_json=True)

    def __init__(
        self,
        vocab_file: str | Path | bytes | None = None,
        tokenizer_file: str | Path | None = None,
        do_lower_case: bool = False,
        split_by_punct: bool = False,
        sp_model_kwargs: dict[str, Any] | None = None,
        **options: Unpack[TokenizerOptions],
    ) -> None:
        self._set_up(vocab_file, tokenizer_file, do_lower_case, split_by_punct, sp_model_kwargs, options)


def _described(file: TokenizerFile, cut: CutOptions) -> TokenizersModel:
    for name, wanted, part, kind in (
        ("do_lower_case", cut.lower, "normalizer", "Lowercase"),
        ("split_by_punct", cut.split, "pre_tokenizer", "Punctuation"),
    ):
        if wanted != (kind in file.part_types(part)):
            has = "has no" if wanted else "has a"
            raise TokenizationError(
                f"{name}={wanted} contradicts {file.file}, whose {part} {has} {kind}. Change one of them."
            )
    return TokenizersModel(file.pipeline(), SPACE, finds_added=True)


def _words(text: str, lower: bool, split: bool) -> list[str]:
    text = text.lower() if lower else text
    return split_at_punctuation(text) if split else [text]
