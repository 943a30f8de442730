"""From texts to model inputs: texts are checked, cut, encoded by the model, and put in rows with special tokens.

Rare ways lead elsewhere: what is cut to `cutting.py`, lengths to `lengths.py`, what tokens cover to `alignment.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from deberta_core.arguments import columns_of, items_of
from deberta_core.errors import InputError, TokenizationError, WrongType, name_list, shown
from deberta_core.tensors import to_list
from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.alignment import align
from deberta_core.tokenization.batch_encoding import BatchEncoding
from deberta_core.tokenization.cutting import CutOptions, Cutter, Ids, Text
from deberta_core.tokenization.lengths import Columns, LengthRule, pad_columns, windows
from deberta_core.tokenization.row_encoding import Origin, Row
from deberta_core.tokenization.subwords import Aligned
from deberta_core.tokenization.vocabulary import Vocabulary


class TextEncoder:
    """Texts to model inputs.

    A row is `[CLS] A [SEP]`, or `[CLS] A [SEP] B [SEP]` with token types 0 and 1.

    Args:
        vocabulary: gives the ids.
        options: how texts are cut.
        split: whether special tokens in a text are cut like other text.
    """

    def __init__(self, vocabulary: Vocabulary, options: CutOptions, split: bool = False) -> None:
        self.vocabulary = vocabulary
        special = set(vocabulary.all_special) if split else set()
        tokens = {
            index: token
            for index, token in vocabulary.by_id.items()
            if not split or not (token.special or token.content in special)
        }
        self.model = vocabulary.model.adding(tokens)
        cut_here: Mapping[int, AddedToken] = {} if self.model.finds_added else tokens
        self.cutter = Cutter(cut_here, () if split else vocabulary.all_special, options)

    def encode(
        self, texts: Texts, names: Sequence[str], rule: LengthRule | None, special: bool, tensors: str | None
    ) -> tuple[BatchEncoding, list[list[int]]]:
        """Makes the inputs of a call, and gives the rows of ids as lists.

        Args:
            texts: of `collect_texts`.
            names: the entries of the result.
            rule: the lengths of rows; None leaves them as they are.
            special: whether rows get [CLS] and [SEP].
            tensors: a kind of `to_tensor`; None for lists.
        """
        aligned = "offset_mapping" in names or self.model.is_random
        first, second = self._tokens(texts, aligned)
        columns: Columns = {name: [] for name in names}
        rows: list[Row] = []
        for sample, (a, b) in enumerate(zip(first, second, strict=True)):
            whole = slice(0, len(a.ids)), None if b is None else slice(0, len(b.ids))
            added = special * (2 if b is None else 3)
            for window in [whole] if rule is None else windows(whole, added, rule):
                rows.append(Row(sample, window, special))
                self._add_row(columns, rows[-1], a, b)
        if rule is not None:
            lengths = list(map(len, columns["input_ids"]))
            columns = pad_columns(columns, rule, self._fill())
            gaps = [len(ids) - length for ids, length in zip(columns["input_ids"], lengths, strict=True)]
            rows = [row.padded(gap, rule.padding_side) for row, gap in zip(rows, gaps, strict=True)]

        found: dict[int, list[Aligned]] = {}  # functools.cache takes longer than a short text

        def spans(sample: int) -> list[Aligned]:
            if sample not in found:
                known = [text for text in (first[sample], second[sample]) if text is not None]
                given = [text for text in (texts.first[sample], texts.second[sample]) if text is not None]
                found[sample] = known if aligned else align(given, self.cutter, self.model, self.vocabulary.ids)
            return found[sample]

        pairs = list(zip(texts.first, texts.second, strict=True))
        origin = Origin(rows, columns["input_ids"], pairs, spans, lambda ids: list(map(self.vocabulary.token, ids)))
        is_batch = texts.is_batch or "overflow_to_sample_mapping" in columns
        return _encoding(columns, is_batch, tensors, origin), columns["input_ids"]

    def pad(
        self,
        encoded: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        main: str,
        rule: LengthRule,
        tensors: str | None,
        mask: bool,
    ) -> BatchEncoding:
        """Brings encoded rows to one length; see `Tokenizer.pad`. `main` is the name of the ids."""
        if not isinstance(encoded, Mapping):
            encoded = columns_of(encoded, "encoded_inputs")
        if main not in encoded:
            entries = name_list(map(str, encoded)) or "none"
            raise InputError(f"{main} is missing; the entries are: {entries}. Add it.")
        columns = {name: [to_list(part) for part in items_of(rows, name, "rows")] for name, rows in encoded.items()}
        is_batch = not columns[main] or isinstance(columns[main][0], list)
        if not is_batch:
            columns = {name: [rows] for name, rows in columns.items()}
        fill = self._fill(main)
        for name in columns.keys() & fill:
            columns[name] = [items_of(row, name, "rows of numbers") for row in columns[name]]
        if mask:
            columns.setdefault("attention_mask", [[1] * len(row) for row in columns[main]])
        return _encoding(pad_columns(columns, rule, fill, main), is_batch, tensors)

    def pieces(self, text: Text) -> list[str | int]:
        """Cuts a text into the parts that the model gets and the ids of added tokens."""
        if isinstance(text, str) and text and not (self.cutter.changes_texts or self.cutter.added.search(text)):
            return [text]
        if isinstance(text, Ids):
            return list(text)
        ids, words = self.vocabulary.ids, [text] if isinstance(text, str) else list(map(str, text))
        cuts = [self.cutter.cut(word, isinstance(text, list)) for word in words]
        return [
            ids[part.token] if part.token else cut[part.start : part.end] for cut, parts, _ in cuts for part in parts
        ]

    def tokens(self, text: Text) -> list[str]:
        """The tokens of a text, without special ones around it."""
        pieces = self.pieces(text)
        parts = [
            self.model.pieces(piece) if isinstance(piece, str) else [self.vocabulary.token(piece)] for piece in pieces
        ]
        return list(chain.from_iterable(parts))

    def with_special(self, first: list[int], second: list[int] | None) -> list[int]:
        """Puts [CLS] before and [SEP] after the ids of one or two texts."""
        return around(first, second, *self._ends)

    def _tokens(self, texts: Texts, aligned: bool) -> tuple[list[Aligned], list[Aligned | None]]:
        """The tokens of the first and of the second texts; one call of the model for all parts of all of them."""
        every = [*texts.first, *[text for text in texts.second if text is not None]]
        ids = self.vocabulary.ids
        tokens = align(every, self.cutter, self.model, ids) if aligned else self._ids(every)
        rest = iter(tokens[len(texts.first) :])
        return tokens[: len(texts.first)], [None if text is None else next(rest) for text in texts.second]

    def _ids(self, texts: list[Text]) -> list[Aligned]:
        """Ids alone; spans and words are left empty."""
        cut = [self.pieces(text) for text in texts]
        found = iter(self.model.encode([piece for row in cut for piece in row if isinstance(piece, str)]))
        rows = [[next(found) if isinstance(piece, str) else [piece] for piece in row] for row in cut]
        return [Aligned(row[0] if len(row) == 1 else list(chain.from_iterable(row)), []) for row in rows]

    def _add_row(self, columns: Columns, row: Row, first: Aligned, second: Aligned | None) -> None:
        kept, kept_b = row.window
        a, b = first.ids[kept], None if second is None or kept_b is None else second.ids[kept_b]
        if row.special:
            ids, types = self.with_special(a, b), token_types(a, b)
        else:
            ids = a + (b or [])
            types = [0] * len(ids)  # without a [SEP], published tokenizers do not tell the texts apart either
        entries: dict[str, Any] = {
            "input_ids": ids,
            "token_type_ids": types,
            "attention_mask": [1] * len(ids),
            "length": len(ids),
            "overflow_to_sample_mapping": row.sample,
        }
        if "special_tokens_mask" in columns:
            entries["special_tokens_mask"] = special_mask(a, b) if row.special else [0] * len(ids)
        if "offset_mapping" in columns:
            spans, spans_b = first.spans[kept], None if second is None or kept_b is None else second.spans[kept_b]
            inside = spans + (spans_b or [])
            entries["offset_mapping"] = around(spans, spans_b, (0, 0), (0, 0)) if row.special else inside
        for name, column in columns.items():
            column.append(entries[name])

    def _fill(self, main: str = "input_ids") -> dict[str, Any]:
        pad = self.vocabulary.special.get("pad_token")
        fill = {"token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1, "offset_mapping": (0, 0)}
        return {main: None if pad is None else self.vocabulary.ids[pad], **fill}

    @cached_property
    def _ends(self) -> tuple[int, int]:
        """The ids of [CLS] and [SEP]."""
        return self._needed("cls_token"), self._needed("sep_token")

    def _needed(self, name: str) -> int:
        token = self.vocabulary.special.get(name)
        if token is None:
            raise InputError(f"The tokenizer has no {name}. Load it with {name}=..., or use add_special_tokens=False.")
        return self.vocabulary.ids[token]


class Texts(NamedTuple):
    """The texts of one call."""

    first: list[Text]  # of every row
    second: list[Text | None]  # of every row, None where the row has one text
    is_batch: bool  # whether the call was for a batch, and so the result has an axis for rows


def collect_texts(text: Any, text_pair: Any = None, is_split_into_words: bool = False) -> Texts:
    """Reads the arguments `text` and `text_pair` of a tokenizer.

    Args:
        text: a str; or a list, tuple or array of str, or of pairs (str, str). With `is_split_into_words`, a list of
            words, or a list of such lists.
        text_pair: None; or the second texts, in the form of `text`.
        is_split_into_words: whether texts are lists of words.

    Raises:
        InputError: a text is not a str, or `text` and `text_pair` do not match.
        TokenizationError: a text is not valid Unicode.
    """
    if not isinstance(is_split_into_words, bool):
        raise InputError(f"is_split_into_words={shown(is_split_into_words)} is not a bool. Use True or False.")
    text, text_pair = _plain(text), _plain(text_pair)
    check = _check_words if is_split_into_words else check_text
    is_batch = isinstance(text, list | tuple)
    if is_split_into_words:
        is_batch = is_batch and bool(text) and isinstance(_plain(text[0]), list | tuple)
    if not is_batch or isinstance(text, Ids):
        second = None if text_pair is None else check(text_pair, "text_pair")
        return Texts([check(text, "text")], [second], is_batch=False)
    if text_pair is None:
        rows = [_row(row, f"text[{place}]", check) for place, row in enumerate(text)]
        return Texts([first for first, _ in rows], [second for _, second in rows], is_batch=True)
    if not isinstance(text_pair, list | tuple) or len(text_pair) != len(text):
        found = f"{len(text_pair)} texts" if isinstance(text_pair, list | tuple) else type(text_pair).__name__
        raise InputError(
            f"text is a batch of {len(text)} texts but text_pair is {found}. Give one second text for each first."
        )
    first = [check(row, f"text[{place}]") for place, row in enumerate(text)]
    return Texts(first, [check(row, f"text_pair[{place}]") for place, row in enumerate(text_pair)], is_batch=True)


def check_text(value: Any, name: str) -> Any:
    """Gives a text, or a text as ids, back.

    Raises:
        WrongType: it is not a str.
        TokenizationError: it is not valid Unicode.
    """
    if isinstance(value, Ids):
        return value
    if not isinstance(value, str):
        raise WrongType(f"{name} is {shown(value, 60)}, of type {type(value).__name__}. A text must be a str.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise TokenizationError(
            f"{name} holds the lone surrogate {value[problem.start]!r} at character {problem.start}, which is no "
            f"Unicode character. Decode its bytes with errors='replace', or remove it."
        ) from None
    return value


def tokens_of(value: Any, name: str) -> list[str]:
    """A row of tokens.

    Raises:
        InputError: it is none.
        TokenizationError: one is not valid Unicode.
    """
    return [check_text(token, f"{name}[{place}]") for place, token in enumerate(items_of(value, name, "tokens"))]


def around(first: list[Any], second: list[Any] | None, cls: Any, sep: Any) -> list[Any]:
    """Makes a row of one or two texts, with one entry before the first and one after each."""
    return [cls, *first, sep] if second is None else [cls, *first, sep, *second, sep]


def token_types(first: list[int], second: list[int] | None) -> list[int]:
    """Gives 0 for [CLS], the first text and its [SEP], 1 for the second text and its [SEP]."""
    return [0] * (len(first) + 2) + ([] if second is None else [1] * (len(second) + 1))


def special_mask(first: list[int], second: list[int] | None) -> list[int]:
    """Gives 1 for special tokens, 0 for others."""
    return around([0] * len(first), None if second is None else [0] * len(second), 1, 1)


def _check_words(value: Any, name: str) -> list[str]:
    value = _plain(value)
    if not isinstance(value, list | tuple):
        raise InputError(
            f"{name} is {shown(value, 60)}, of type {type(value).__name__}. With is_split_into_words=True a text must "
            f"be a list of words."
        )
    return [check_text(word, f"{name}[{place}]") for place, word in enumerate(value)]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value  # NumPy arrays and pandas columns


def _row(row: Any, name: str, check: Callable[[Any, str], Text]) -> tuple[Text, Text | None]:
    row = _plain(row)
    is_pair = isinstance(row, list | tuple) and len(row) == 2
    if is_pair and (check is check_text or isinstance(_plain(row[0]), list | tuple)):
        return check(row[0], f"{name}[0]"), check(row[1], f"{name}[1]")
    return check(row, name), None


def _encoding(columns: Columns, is_batch: bool, tensors: str | None, origin: Origin | None = None) -> BatchEncoding:
    """Gives the columns as an encoding; of lists that are no batch, the only row."""
    encoding = BatchEncoding.__new__(BatchEncoding)  # a plain call spends no time in a constructor
    encoding.update(columns if is_batch or tensors is not None else {name: rows[0] for name, rows in columns.items()})
    encoding._origin = origin
    return encoding if tensors is None else encoding.convert_to_tensors(tensors)
