"""What every tokenizer can do, whatever its vocabulary: rows of texts and pairs, lengths, files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from deberta_core.errors import InputError, TokenizationError
from deberta_core.tokenization.encoding import (
    BatchEncoding,
    Columns,
    LengthRule,
    length_rule,
    pad_columns,
    to_list,
    to_tensors,
    truncate,
)
from deberta_core.tokenization.options import SAVED_OPTIONS, checked_options
from deberta_core.tokenization.settings import TOKEN_OPTIONS, check_folder, read_settings, write_settings
from deberta_core.tokenization.texts import check_text, collect_texts
from deberta_core.tokenization.vocabulary import Vocabulary


class Tokenizer(Vocabulary):
    """Texts to model inputs.

    A row is `[CLS] A [SEP]`, or `[CLS] A [SEP] B [SEP]` with token types 0 and 1. A subclass names its files and
    options, sets up its model and then calls this constructor.
    """

    tokenizer_class: ClassVar[str]  # the name in tokenizer_config.json
    vocabulary_files: ClassVar[tuple[str, ...]]  # in the order of the constructor's first arguments
    own_options: ClassVar[tuple[str, ...]]  # further arguments, which are attributes too and are saved
    model_input_names = ("input_ids", "token_type_ids", "attention_mask")

    def __init__(self, **options: Any) -> None:
        settings = checked_options(options, self.own_options)
        self.model_max_length: int = settings["model_max_length"]
        self.padding_side: str = settings["padding_side"]
        self.truncation_side: str = settings["truncation_side"]
        self.clean_up_tokenization_spaces = settings["clean_up_tokenization_spaces"]
        self._extra: dict[str, Any] = {}
        self._set_tokens(settings)

    @abstractmethod
    def save_vocabulary(self, save_directory: str | Path) -> tuple[str, ...]:
        """Writes the vocabulary files into an existing folder and returns their paths."""

    @abstractmethod
    def _split(self, text: str) -> list[str]:
        """Cuts a text at the added tokens."""

    @abstractmethod
    def _ids_of(self, parts: list[str]) -> list[list[int]]:
        """The model's ids of parts without added tokens."""

    @abstractmethod
    def _pieces_of(self, part: str) -> list[str]:
        """The model's tokens of a part without added tokens."""

    @classmethod
    def from_pretrained(cls, folder: str | Path, **overrides: Any) -> Self:
        """Loads a folder as `save_pretrained` writes it, here or in the transformers library.

        Args:
            folder: the folder, with the vocabulary files; the JSON files may be missing.
            overrides: arguments of the constructor that replace what the folder says.

        Raises:
            TokenizationError: a file is missing or broken, or the folder is another class's.
            InputError: an override is unknown or has a value it cannot have.
        """
        path = Path(folder)
        check_folder(path, cls.vocabulary_files, cls.__name__)
        settings = read_settings(path, (*cls.own_options, *SAVED_OPTIONS), cls.tokenizer_class)
        tokenizer = cls(*(path / file for file in cls.vocabulary_files), **{**settings.options, **overrides})
        tokenizer._extra = settings.extra
        return tokenizer

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Writes the vocabulary and the JSON files, makes the folder if need be, and returns the paths.

        Raises:
            TokenizationError: the folder cannot be made.
        """
        folder = Path(save_directory)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise TokenizationError(f"{folder} cannot be made: {problem}. Choose another folder.") from problem
        config = {name: getattr(self, name) for name in (*self.own_options, *SAVED_OPTIONS)}
        config = {**self._extra, **config, "tokenizer_class": self.tokenizer_class}
        roles = {name: self._role(self.special_tokens_map.get(name)) for name in TOKEN_OPTIONS}
        written = write_settings(folder, config, roles, self._added.by_id, self.vocab_size)
        return (*map(str, written), *self.save_vocabulary(folder))

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool = True,
        return_attention_mask: bool = True,
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
            pad_to_multiple_of: rounds the padded length up.
            padding_side: "right" or "left"; None: the tokenizer's.
            return_tensors: None for lists, "np", "pt" or "tf"; tensors have an axis for rows even for a single text.
            return_token_type_ids: whether the result has `token_type_ids`.
            return_attention_mask: whether the result has `attention_mask`.

        Returns:
            `input_ids`, `token_type_ids`, `attention_mask`: [B, L], or [L] lists for a single text.

        Raises:
            InputError: an argument has a value it cannot have, or a row cannot be truncated as asked.
            TokenizationError: a text is not valid Unicode.
        """
        rule = self._length_rule(padding, truncation, max_length, pad_to_multiple_of, padding_side)
        texts = collect_texts(text, text_pair)
        seconds = [second for second in texts.second if second is not None]
        ids = self._encode([*texts.first, *seconds])
        second_ids = iter(ids[len(texts.first) :])
        columns: Columns = {name: [] for name in self.model_input_names}
        for first, second in zip(ids, texts.second, strict=False):
            row, types = self._row(first, None if second is None else next(second_ids), add_special_tokens, rule)
            columns["input_ids"].append(row)
            columns["token_type_ids"].append(types)
            columns["attention_mask"].append([1] * len(row))
        left_out = {"token_type_ids": return_token_type_ids, "attention_mask": return_attention_mask}
        columns = {name: rows for name, rows in columns.items() if left_out.get(name, True)}
        columns = pad_columns(columns, rule, self._fill())
        if texts.is_batch or return_tensors is not None:
            return to_tensors(columns, return_tensors)
        return BatchEncoding({name: rows[0] for name, rows in columns.items()})

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """Makes the ids only; the options are those of a call."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str) -> list[str]:
        """Cuts a text into tokens, without adding special ones."""
        check_text(text, "text")
        return [
            token
            for part in self._split(text)
            for token in ([part] if part in self._added.ids else self._pieces_of(part))
        ]

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
        rule = self._length_rule(padding, False, max_length, pad_to_multiple_of, padding_side)
        if not isinstance(encoded_inputs, Mapping):
            names = list(encoded_inputs[0]) if encoded_inputs else []
            encoded_inputs = {name: [row[name] for row in encoded_inputs] for name in names}
        columns = {name: [to_list(row) for row in to_list(rows)] for name, rows in encoded_inputs.items()}
        if "input_ids" not in columns:
            raise InputError(f"input_ids is missing; the entries are: {', '.join(columns) or 'none'}. Add it.")
        is_batch = not columns["input_ids"] or isinstance(columns["input_ids"][0], list)
        if not is_batch:
            columns = {name: [rows] for name, rows in columns.items()}
        columns.setdefault("attention_mask", [[1] * len(row) for row in columns["input_ids"]])
        columns = pad_columns(columns, rule, self._fill())
        if is_batch or return_tensors is not None:
            return to_tensors(columns, return_tensors)
        return BatchEncoding({name: rows[0] for name, rows in columns.items()})

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Puts [CLS] before and [SEP] after the ids of one or two texts."""
        cls, sep = self._needed("cls_token"), self._needed("sep_token")
        return [cls, *token_ids_0, sep] if token_ids_1 is None else [cls, *token_ids_0, sep, *token_ids_1, sep]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Gives 0 for [CLS], the first text and its [SEP], 1 for the second text and its [SEP]."""
        first = [0] * (len(token_ids_0) + 2)
        return first if token_ids_1 is None else first + [1] * (len(token_ids_1) + 1)

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """Gives 1 for special tokens, 0 for others, in the row built of the ids, or in a row that is built already."""
        if already_has_special_tokens:
            special = set(self.all_special_ids)
            return [int(index in special) for index in to_list(token_ids_0)]
        first = [1, *[0] * len(token_ids_0), 1]
        return first if token_ids_1 is None else [*first, *[0] * len(token_ids_1), 1]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Number of special tokens in a row of one text, or of two."""
        return 3 if pair else 2

    def __repr__(self) -> str:
        size = f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}"
        return f"{type(self).__name__}({size}, special_tokens={self.special_tokens_map})"

    def _encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Ids without special tokens: one call of the model for all parts of all texts."""
        known = self._added.ids
        cut = [self._split(text) for text in texts]
        ids_of_parts = iter(self._ids_of([part for parts in cut for part in parts if part not in known]))
        rows: list[list[int]] = []
        for parts in cut:
            row: list[int] = []
            for part in parts:
                row += [known[part]] if part in known else next(ids_of_parts)
            rows.append(row)
        return rows

    def _row(
        self, first: list[int], second: list[int] | None, add_special_tokens: bool, rule: LengthRule
    ) -> tuple[list[int], list[int]]:
        special = self.num_special_tokens_to_add(second is not None) if add_special_tokens else 0
        first, second = truncate(first, second, special, rule)
        if not add_special_tokens:
            row = first + (second or [])
            return row, [0] * len(row)  # without a [SEP], published tokenizers do not tell the texts apart either
        types = self.create_token_type_ids_from_sequences(first, second)
        return self.build_inputs_with_special_tokens(first, second), types

    def _length_rule(
        self, padding: Any, truncation: Any, max_length: Any, pad_to_multiple_of: Any, padding_side: Any
    ) -> LengthRule:
        return length_rule(
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=self.padding_side if padding_side is None else padding_side,
            truncation_side=self.truncation_side,
            model_max_length=self.model_max_length,
        )

    def _fill(self) -> dict[str, int | None]:
        return {"input_ids": self.pad_token_id, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1}

    def _needed(self, name: str) -> int:
        index: int | None = getattr(self, f"{name}_id")
        if index is None:
            raise InputError(f"The tokenizer has no {name}. Load it with {name}=..., or use add_special_tokens=False.")
        return index

    def _role(self, token: Any) -> Any:
        if isinstance(token, list):
            return [self._role(part) for part in token]
        return None if token is None else self._added.by_id[self._added.ids[token]]
