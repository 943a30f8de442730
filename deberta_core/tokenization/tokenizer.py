"""What every tokenizer can do.

It is made of parts, which do the work:

* `SubwordModel` (`subwords.py`): the library that turns texts into pieces, one class for each;
* `Vocabulary` (`vocabulary.py`): the pieces, added tokens and roles, and their ids;
* `TextEncoder` (`text_encoder.py`): texts to rows of ids, with special tokens, windows, padding, tensors;
* `Layout` and `Folder` (`folder.py`), `settings.py`: the files.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from deberta_core.arguments import id_rows, ids_of, items_of
from deberta_core.errors import InputError, TokenizationError
from deberta_core.hub import split_hub_options
from deberta_core.layout import TOKENIZER_FILES
from deberta_core.tensors import to_list
from deberta_core.tokenization.added_tokens import AddedToken, SpecialToken, SpecialTokenId
from deberta_core.tokenization.batch_encoding import BatchEncoding
from deberta_core.tokenization.cutting import CutOptions
from deberta_core.tokenization.folder import Layout, read_folder
from deberta_core.tokenization.lengths import length_rule
from deberta_core.tokenization.options import SAVED_OPTIONS, checked_options
from deberta_core.tokenization.settings import write_settings
from deberta_core.tokenization.subwords import SubwordModel
from deberta_core.tokenization.text_encoder import (
    TextEncoder,
    check_text,
    collect_texts,
    special_mask,
    token_types,
    tokens_of,
)
from deberta_core.tokenization.tokenizer_json import write_tokenizer_json
from deberta_core.tokenization.vocabulary import Vocabulary, clean_up, join_apart
from deberta_core.transaction import replace_files

Ids = list[int]


class Tokenizer:
    """Texts to model inputs and back.

    A class of a family says what its files and options are, makes its model, and has its way of decoding and training.
    Calls from several threads are safe as long as no thread changes the tokenizer.
    """

    layout: ClassVar[Layout]
    own_options: ClassVar[tuple[str, ...]]  # further arguments, which are attributes too and are saved
    option_defaults: ClassVar[Mapping[str, Any]] = {}  # where they differ from options.DEFAULTS
    spaces_around_added_tokens: ClassVar[bool]  # when decoding those without a role, as SentencePiece ones do upstream
    model_input_names = ("input_ids", "token_type_ids", "attention_mask")
    bos_token, bos_token_id = SpecialToken(), SpecialTokenId()
    eos_token, eos_token_id = SpecialToken(), SpecialTokenId()
    unk_token, unk_token_id = SpecialToken(), SpecialTokenId()
    sep_token, sep_token_id = SpecialToken(), SpecialTokenId()
    pad_token, pad_token_id = SpecialToken(), SpecialTokenId()
    cls_token, cls_token_id = SpecialToken(), SpecialTokenId()
    mask_token, mask_token_id = SpecialToken(), SpecialTokenId()

    def __init__(self, model: SubwordModel, cut: CutOptions, options: Mapping[str, Any]) -> None:
        settings = checked_options(options, self.own_options, self.option_defaults)
        self.model_max_length: int = settings["model_max_length"]
        self.padding_side: str = settings["padding_side"]
        self.truncation_side: str = settings["truncation_side"]
        self.clean_up_tokenization_spaces: bool = settings["clean_up_tokenization_spaces"]
        self._extra: dict[str, Any] = {}
        self._subwords, self._cut = model, cut
        self._set_vocabulary(Vocabulary(model, settings))

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
    ) -> BatchEncoding:
        """Makes model inputs.

        Args:
            text: a text; or a batch: a list, tuple or array of texts, or of pairs of texts.
            text_pair: the second text, or a batch of them.
            add_special_tokens: whether rows get [CLS] and [SEP].
            padding: False; True or "longest", to the longest row; "max_length".
            truncation: False; True or "longest_first", "only_first", "only_second"; None truncates as True does if
                `max_length` is given and `padding` is not.
            max_length: in tokens, special ones included; None: `model_max_length`.
            stride: how many tokens two neighbouring windows share.
            is_split_into_words: whether a text is a list of words; each is tokenized as if it stood after a space.
            pad_to_multiple_of: rounds the padded length up.
            padding_side: "right" or "left"; None: the tokenizer's.
            return_tensors: None for lists, "np", "pt" or "tf"; tensors have an axis for rows even for a single text.
            return_token_type_ids: False leaves `token_type_ids` out.
            return_attention_mask: False leaves `attention_mask` out.
            return_overflowing_tokens: makes rows of what truncation drops too: windows over one text, with an axis
                for rows even for a single text; `overflow_to_sample_mapping` tells which text a row is from.
            return_special_tokens_mask: adds `special_tokens_mask`, 1 for [CLS], [SEP] and padding.
            return_offsets_mapping: adds `offset_mapping`, the characters each token covers in its text (in its word, if
                texts are pre-split): in order, disjoint, without the space before a token; (0, 0) where
                `special_tokens_mask` is 1.
            return_length: adds `length`, the number of tokens of a row without padding.

        Returns:
            `input_ids`, `token_type_ids`, `attention_mask` and what else was asked for: [B, L], `offset_mapping`
            [B, L, 2], `length` and `overflow_to_sample_mapping` [B]; without the axis B for a single text.

        Raises:
            InputError: an argument has a value it cannot have, or a row cannot be truncated as asked.
            TokenizationError: a text is not valid Unicode.
        """
        rule, overlap = None, stride if return_overflowing_tokens else None
        lengths = (truncation, max_length, pad_to_multiple_of, padding_side, overlap)
        if padding is not False or any(value is not None for value in lengths):
            rule = length_rule(self, padding, *lengths)
        optional = {
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
            "length": return_length,
            "overflow_to_sample_mapping": return_overflowing_tokens,
        }
        left_out = {"token_type_ids": return_token_type_ids, "attention_mask": return_attention_mask}
        names = [name for name in self.model_input_names if left_out.get(name) is not False]
        names += [name for name, wanted in optional.items() if wanted]
        texts = collect_texts(text, text_pair, is_split_into_words)
        return self._encoder.encode(texts, names, rule, add_special_tokens, return_tensors)

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """Makes the ids only; the options are those of a call."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str) -> list[str]:
        """Cuts a text into tokens, without adding special ones."""
        tokens: list[str] = []
        for piece in self._encoder.pieces(check_text(text, "text")):
            tokens += self._subwords.pieces(piece) if isinstance(piece, str) else [self._vocabulary.token(piece)]
        return tokens

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Brings encoded rows to one length, adding the attention mask if it is missing.

        Args:
            encoded_inputs: a batch of rows by name, one row, or a list of single rows; `input_ids` must be there.
                Entries that are not inputs of the model, such as labels, are not padded.
            padding: as in a call.
            max_length: as in a call.
            pad_to_multiple_of: as in a call.
            padding_side: as in a call.
            return_tensors: as in a call.

        Raises:
            InputError: `input_ids` is missing, or an argument has a value it cannot have.
        """
        rule = length_rule(self, padding, False, max_length, pad_to_multiple_of, padding_side)
        return self._encoder.pad(encoded_inputs, rule, return_tensors)

    def build_inputs_with_special_tokens(self, token_ids_0: Ids, token_ids_1: Ids | None = None) -> Ids:
        """Puts [CLS] before and [SEP] after the ids of one or two texts."""
        return self._encoder.with_special(*id_rows(token_ids_0, token_ids_1))

    def create_token_type_ids_from_sequences(self, token_ids_0: Ids, token_ids_1: Ids | None = None) -> Ids:
        """Gives 0 for [CLS], the first text and its [SEP], 1 for the second text and its [SEP]."""
        return token_types(*id_rows(token_ids_0, token_ids_1))

    def get_special_tokens_mask(
        self, token_ids_0: Ids, token_ids_1: Ids | None = None, already_has_special_tokens: bool = False
    ) -> Ids:
        """Gives 1 for special tokens, 0 for others, in the row built of the ids, or in a row that is built already."""
        if not already_has_special_tokens:
            return special_mask(*id_rows(token_ids_0, token_ids_1))
        special = set(self.all_special_ids)
        return [int(index in special) for index in ids_of(token_ids_0, "token_ids_0")]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Number of special tokens in a row of one text, or of two."""
        return 3 if pair else 2

    @abstractmethod
    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens to the text they stand for."""

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """Turns ids back into text.

        Args:
            token_ids: an id, or a list or array of ids.
            skip_special_tokens: leaves the special tokens out.
            clean_up_tokenization_spaces: removes the space before punctuation; None: as the tokenizer is set.

        Raises:
            InputError: an id is in neither the vocabulary nor the added tokens, or there are several rows.
        """
        ids = to_list(token_ids)
        if isinstance(ids, list | tuple) and any(isinstance(index, list | tuple) for index in ids):
            raise InputError("decode takes one row of ids, but got a batch. Use batch_decode.")
        tokens = self.convert_ids_to_tokens(ids if isinstance(ids, list | tuple) else [ids], skip_special_tokens)
        apart = self._vocabulary.apart if self.spaces_around_added_tokens else frozenset()
        text = join_apart(tokens, apart, self.convert_tokens_to_string)
        wanted = clean_up_tokenization_spaces
        return clean_up(text) if (self.clean_up_tokenization_spaces if wanted is None else wanted) else text

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """Decodes every row of ids; the options are those of `decode`."""
        return [self.decode(row, **options) for row in items_of(sequences, "sequences", "rows of ids")]

    @property
    def vocab_size(self) -> int:
        """Number of tokens of the model, without those added after it."""
        return self._subwords.vocab_size

    def __len__(self) -> int:
        return len(self._vocabulary)

    def get_vocab(self) -> dict[str, int]:
        """All tokens with their ids, the added ones included."""
        return self._vocabulary.all_ids()

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The special tokens by role; a list for "additional_special_tokens"."""
        return self._vocabulary.special

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(self._vocabulary.by_id)

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a name."""
        return list(self._vocabulary.additional)

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once."""
        return list(self._vocabulary.all_special)

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [self._vocabulary.ids[token] for token in self.all_special_tokens]

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """Gives the id of a token, or the list of ids of several; what is not in the vocabulary gets [UNK]'s id."""
        if isinstance(tokens, str):
            return self._vocabulary.token_id(check_text(tokens, "tokens"))
        return [self._vocabulary.token_id(token) for token in tokens_of(tokens, "tokens")]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Gives the token of an id, or the list of tokens of a list or array of ids.

        Raises:
            InputError: an id is in neither the vocabulary nor the added tokens.
        """
        ids = to_list(ids)
        if not isinstance(ids, list | tuple):
            return self._vocabulary.token(ids)
        skipped = set(self.all_special_tokens) if skip_special_tokens else set()
        return [token for token in map(self._vocabulary.token, map(to_list, ids)) if token not in skipped]

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Adds tokens after all others, and cuts texts at them from now on.

        Not to be called while another thread uses the tokenizer. A model's embeddings must grow with `len(tokenizer)`.

        Args:
            new_tokens: a str or AddedToken, or several. What is a token already keeps its id.
            special_tokens: whether `skip_special_tokens` leaves them out when decoding.

        Returns:
            How many of them are new.

        Raises:
            TokenizationError: one of them is no token.
        """
        before, one = len(self), isinstance(new_tokens, str | AddedToken)
        new = [new_tokens] if one else items_of(new_tokens, "new_tokens", "tokens")
        self._set_vocabulary(self._vocabulary.with_tokens(new, special_tokens))
        return len(self) - before

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Gives tokens a role, such as `sep_token`, adding them if need be; see `add_tokens`.

        Args:
            special_tokens_dict: tokens by role; a list for "additional_special_tokens".
            replace_additional_special_tokens: whether those there are lose their role; they stay tokens.

        Returns:
            How many tokens are new.

        Raises:
            InputError: there is no such role.
        """
        before = len(self)
        self._set_vocabulary(self._vocabulary.with_roles(special_tokens_dict, replace_additional_special_tokens))
        return len(self) - before

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str | list[str]], vocab_size: int, **options: Any) -> Self:
        """Trains a new vocabulary."""

    def train_new_from_iterator(
        self, text_iterator: Iterable[str | list[str]], vocab_size: int, **options: Any
    ) -> Self:
        """Trains a new vocabulary for a tokenizer with this one's options and special tokens; see `train`."""
        return self.train(text_iterator, vocab_size, **{**self._options(), **self._vocabulary.roles(), **options})

    @classmethod
    def from_pretrained(cls, folder: str | Path, **overrides: Any) -> Self:
        """Loads a folder as published, or as `save_pretrained` writes it, here or in transformers 4 and 5.

        Args:
            folder: the folder, with the vocabulary files; the JSON files may be missing. Or a hub id.
            **overrides: arguments of the constructor that replace what the folder says; and for a hub id the options
                of `deberta_core.hub.local_folder` (`revision`, `cache_dir`, `local_files_only`, `token`).

        Raises:
            TokenizationError: a file is missing or broken, two contradict each other, or the folder is another class's.
            InputError: an override is unknown or has a value it cannot have.
        """
        hub, overrides = split_hub_options(overrides)
        found = read_folder(folder, cls.layout, cls.__name__, (*cls.own_options, *SAVED_OPTIONS), hub)
        make: Callable[..., Self] = cls
        tokenizer = make(**found.files, **{**found.settings.options, **overrides})
        found.check(tokenizer._subwords)
        tokenizer._extra = found.settings.extra
        return tokenizer

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Writes the vocabulary and the JSON files, makes the folder if need be, and returns the paths.

        A tokenizer that is there is replaced as one; other files stay.

        Raises:
            TokenizationError: the folder cannot be made or written; it is as it was.
        """
        config = {**self._extra, **self._options(), "tokenizer_class": self.layout.tokenizer_class}
        with replace_files(save_directory, TokenizationError, stale=lambda folder: TOKENIZER_FILES) as staging:
            written = [*write_settings(staging, config, self._vocabulary), *self._write_vocabulary(staging, "")]
        return tuple(str(Path(save_directory) / file.name) for file in written)

    def save_vocabulary(self, save_directory: str | Path, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes the vocabulary files into a folder, their names after a prefix, and returns their paths.

        Raises:
            TokenizationError: they cannot be written; the folder is as it was.
        """
        with replace_files(save_directory, TokenizationError) as staging:
            written = self._write_vocabulary(staging, f"{filename_prefix}-" if filename_prefix else "")
        return tuple(str(Path(save_directory) / file.name) for file in written)

    def __repr__(self) -> str:
        size = f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}"
        return f"{type(self).__name__}({size}, special_tokens={self.special_tokens_map})"

    def _write_vocabulary(self, folder: Path, prefix: str) -> tuple[Path, ...]:
        written = self._subwords.save(folder, prefix)
        if self.layout.has_tokenizer_json:
            pipeline = self._subwords.describe(self._cut)
            written = (*written, write_tokenizer_json(folder, prefix, pipeline, self._vocabulary))
        return written

    def _set_vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._encoder = TextEncoder(vocabulary, self._cut)

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*self.own_options, *SAVED_OPTIONS)}
