"""From texts to model inputs: rows of one or two texts, windows, padding, arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deberta_core.errors import InputError
from deberta_core.tensors import to_list, to_tensor
from deberta_core.tokenization.batch_encoding import BatchEncoding, Row
from deberta_core.tokenization.lengths import Columns, LengthRule, length_rule, pad_columns, padded_length, windows
from deberta_core.tokenization.subwords import Aligned, Span
from deberta_core.tokenization.text_encoder import TextEncoder
from deberta_core.tokenization.texts import collect_texts


class RowEncoder(TextEncoder):
    """Texts to model inputs.

    A row is `[CLS] A [SEP]`, or `[CLS] A [SEP] B [SEP]` with token types 0 and 1.
    """

    model_input_names = ("input_ids", "token_type_ids", "attention_mask")
    model_max_length: int
    padding_side: str
    truncation_side: str

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
        overlap = stride if return_overflowing_tokens else None
        rule = self._length_rule(padding, truncation, max_length, pad_to_multiple_of, padding_side, overlap)
        texts = collect_texts(text, text_pair, is_split_into_words)
        first, second = self._encode_texts(texts, return_offsets_mapping or self._subwords.is_random)
        left_out = {"token_type_ids": return_token_type_ids, "attention_mask": return_attention_mask}
        columns: Columns = {name: [] for name in self.model_input_names if left_out.get(name) is not False}
        optional = {
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
            "length": return_length,
            "overflow_to_sample_mapping": return_overflowing_tokens,
        }
        columns |= {name: [] for name, wanted in optional.items() if wanted}
        rows: list[Row] = []
        for sample, (a, b) in enumerate(zip(first, second, strict=True)):
            special = self.num_special_tokens_to_add(b is not None) if add_special_tokens else 0
            for window in windows(len(a.ids), None if b is None else len(b.ids), special, rule):
                row = Row(sample, window, add_special_tokens)
                rows.append(row)
                self._add_row(columns, row, a, b)
        length = padded_length(columns, rule)
        if length is not None:
            rows = [_padded(row, length - len(ids), rule) for row, ids in zip(rows, columns["input_ids"], strict=True)]
        columns = pad_columns(columns, rule, self._fill())
        keep_axis = texts.is_batch or return_overflowing_tokens or return_tensors is not None
        return BatchEncoding(
            _to_tensors(columns, return_tensors) if keep_axis else {name: entry[0] for name, entry in columns.items()},
            rows=rows,
            align=lambda sample: _known(first[sample], second[sample]) or self._align_sample(texts, sample),
            texts=list(zip(texts.first, texts.second, strict=True)),
            token_of=self.convert_ids_to_tokens,
        )

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """Makes the ids only; the options are those of a call."""
        return self(text, text_pair, **options)["input_ids"]

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
        rule = self._length_rule(padding, False, max_length, pad_to_multiple_of, padding_side, None)
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
            return BatchEncoding(_to_tensors(columns, return_tensors))
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

    def _add_row(self, columns: Columns, row: Row, first: Aligned, second: Aligned | None) -> None:
        kept, kept_b = row.window
        a, b = first.ids[kept], None if second is None or kept_b is None else second.ids[kept_b]
        if row.special:
            ids, types = self.build_inputs_with_special_tokens(a, b), self.create_token_type_ids_from_sequences(a, b)
        else:
            ids = a + (b or [])
            types = [0] * len(ids)  # without a [SEP], published tokenizers do not tell the texts apart either
        entries: dict[str, Any] = {"input_ids": ids, "token_type_ids": types}
        if "attention_mask" in columns:
            entries["attention_mask"] = [1] * len(ids)
        if "special_tokens_mask" in columns:
            entries["special_tokens_mask"] = self.get_special_tokens_mask(a, b) if row.special else [0] * len(ids)
        if "offset_mapping" in columns:
            around: list[Span] = [(0, 0)] if row.special else []
            spans_b = [] if second is None or kept_b is None else [*second.spans[kept_b], *around]
            entries["offset_mapping"] = [*around, *first.spans[kept], *around, *spans_b]
        entries |= {"length": len(ids), "overflow_to_sample_mapping": row.sample}
        for name, column in columns.items():
            column.append(entries[name])

    def _length_rule(
        self, padding: Any, truncation: Any, max_length: Any, multiple: Any, padding_side: Any, stride: Any
    ) -> LengthRule:
        return length_rule(
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            pad_to_multiple_of=multiple,
            padding_side=self.padding_side if padding_side is None else padding_side,
            truncation_side=self.truncation_side,
            model_max_length=self.model_max_length,
            stride=stride,
        )

    def _fill(self) -> dict[str, Any]:
        fill = {"token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1, "offset_mapping": (0, 0)}
        return {"input_ids": self.pad_token_id, **fill}

    def _needed(self, name: str) -> int:
        token = self.special_tokens_map.get(name)
        if token is None:
            raise InputError(f"The tokenizer has no {name}. Load it with {name}=..., or use add_special_tokens=False.")
        return self._added.ids[token]


def _known(*texts: Aligned | None) -> list[Aligned] | None:
    """The tokens of a sample where their spans are known already."""
    given = [text for text in texts if text is not None]
    return given if all(len(text.spans) == len(text.ids) for text in given) else None


def _padded(row: Row, gap: int, rule: LengthRule) -> Row:
    before, after = (0, gap) if rule.padding_side == "right" else (gap, 0)
    return Row(row.sample, row.window, row.special, before, after)


def _to_tensors(columns: Columns, kind: str | None) -> dict[str, Any]:
    return columns if kind is None else {name: to_tensor(_array(name, rows), kind) for name, rows in columns.items()}


def _array(name: str, rows: Any) -> Any:
    try:
        array = np.asarray(rows)
    except ValueError:
        lengths = [len(row) for row in rows]
        raise InputError(
            f"{name} has rows of {min(lengths)} to {max(lengths)} tokens, which make no array. Pass padding=True."
        ) from None
    return array.astype(np.float32 if array.size and array.dtype.kind == "f" else np.int64)
