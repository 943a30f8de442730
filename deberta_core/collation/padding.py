"""Collators that pad: for whole texts, for tokens with labels, for multiple choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from numpy.typing import NDArray

from deberta_core.arguments import ids_of
from deberta_core.collation.columns import Columns, check_rows, collect_columns, to_array
from deberta_core.errors import InputError
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.tensors import to_tensor

# What the tokenizer's `pad` fills up; everything else must have one shape in all examples.
PADDED = ("input_ids", "token_type_ids", "attention_mask", "special_tokens_mask", "offset_mapping")
POSITIONS = ("start_positions", "end_positions")


@dataclass
class DataCollatorWithPadding:
    """Makes a batch of tokenized examples by padding them to one length.

    For sequence classification, question answering and prediction: labels are one number, or equally long rows of
    numbers, per example. `start_positions` and `end_positions` move along where padding goes to the left; 0, no answer,
    stays 0.

    Args:
        tokenizer: gives the padding token and side.
        padding: True or "longest", to the longest example; "max_length"; False for examples of one length.
        max_length: in tokens, for "max_length"; None: the tokenizer's `model_max_length`.
        pad_to_multiple_of: rounds the padded length up.
        return_tensors: "np", "pt" or "tf".
    """

    tokenizer: Any
    _: KW_ONLY
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "np"

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Makes a batch.

        Args:
            features: examples as the tokenizer gives them for single texts; `label` and `label_ids` stand for `labels`.

        Returns:
            The entries of the examples and `attention_mask`: int64, or float32 where labels are floats; `input_ids`
            [B, L]. TensorFlow's integers are int32.

        Raises:
            InputError: there are no examples, or they make no arrays.
        """
        return {name: to_tensor(array, self.return_tensors) for name, array in self.collate(features).items()}

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        """Makes a batch of NumPy arrays; see a call."""
        return self.pad(collect_columns(features))

    def pad(self, columns: Columns, fill: Mapping[str, int] | None = None) -> dict[str, NDArray[Any]]:
        """Brings columns to one length, and makes arrays of them.

        Args:
            columns: one row, or one number, per example.
            fill: what other columns with an entry per token, such as labels, have at padding.
        """
        lengths = [len(ids_of(row, f"input_ids[{place}]")) for place, row in enumerate(columns["input_ids"])]
        limit = self.max_length or self.tokenizer.model_max_length
        if self.padding == "max_length" and max(lengths) > limit:
            raise InputError(
                f"An example has {max(lengths)} tokens, more than max_length={limit}. "
                f"Tokenize with truncation=True, max_length={limit}."
            )
        padded = self.tokenizer.pad(
            {name: columns[name] for name in PADDED if name in columns},
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
        )
        gaps = [len(row) - length for row, length in zip(padded["input_ids"], lengths, strict=True)]
        left = self.tokenizer.padding_side == "left"
        rest = {name: rows for name, rows in columns.items() if name not in PADDED}
        for name, value in (fill or {}).items():
            if name in rest:
                fills = [[value] * gap for gap in gaps]
                rest[name] = [(new + row if left else row + new) for row, new in zip(rest[name], fills, strict=True)]
        for name in POSITIONS:
            if name in rest and left:
                rest[name] = [place and place + gap for place, gap in zip(rest[name], gaps, strict=True)]
        mend = "Pass padding=True, or remove the entry; DataCollatorForTokenClassification pads labels of tokens."
        return {name: to_array(name, rows, mend) for name, rows in {**padded, **rest}.items()}


@dataclass
class DataCollatorForTokenClassification(DataCollatorWithPadding):
    """Pads examples and their labels, one per token; -100 at padding.

    `align_word_labels` and `align_span_labels` make such labels. The arguments are those of `DataCollatorWithPadding`.
    """

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        """Makes a batch of NumPy arrays, `labels` [B, L]; see a call."""
        columns = collect_columns(features)
        if "labels" in columns:
            mend = "Give one label per token, as align_word_labels does."
            check_rows("labels", columns["labels"], columns["input_ids"], mend)
        return self.pad(columns, {"labels": IGNORED_LABEL})


@dataclass
class DataCollatorForMultipleChoice(DataCollatorWithPadding):
    """Pads examples of several choices: `input_ids` and the other rows become [B, N, L], `labels` [B].

    An example is what the tokenizer gives for the list of its choices. The arguments are those of
    `DataCollatorWithPadding`.
    """

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        """Makes a batch of NumPy arrays; see a call.

        Raises:
            InputError: the examples have different numbers of choices.
        """
        columns = collect_columns(features)
        shape = (len(features), _number_of_choices(columns["input_ids"]))
        folded = {name: [row for rows in columns[name] for row in rows] for name in PADDED if name in columns}
        batch = {name: array.reshape(*shape, *array.shape[1:]) for name, array in self.pad(folded).items()}
        mend = "Give one label per example."
        return batch | {name: to_array(name, rows, mend) for name, rows in columns.items() if name not in PADDED}


def _number_of_choices(examples: Sequence[Any]) -> int:
    numbers = [len(rows) if isinstance(rows, list) and rows and isinstance(rows[0], list) else 0 for rows in examples]
    if not min(numbers) == max(numbers) > 0:
        raise InputError(
            f"The examples have {min(numbers)} to {max(numbers)} choices. Give every example the same number of "
            f"choices, each a row of ids: tokenizer(questions, choices)."
        )
    return numbers[0]
