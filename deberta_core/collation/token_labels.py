"""From labels of words, or of parts of a text, to labels of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from deberta_core.errors import InputError
from deberta_core.inputs import IGNORED_LABEL


def align_word_labels(
    word_labels: Sequence[int],
    word_ids: Sequence[int | None],
    *,
    all_pieces: bool = False,
    inside: Mapping[int, int] | None = None,
) -> list[int]:
    """Gives the first token of each word the word's label, and -100 to other tokens.

    Args:
        word_labels: one per word.
        word_ids: the word of each token, from `encoding.word_ids(row)` of a text split into words.
        all_pieces: whether the other tokens of a word have a label, too.
        inside: label of a first token -> label of the word's other tokens, where they differ, such as that of B-person
            -> that of I-person.

    Raises:
        InputError: there are fewer labels than words.
    """
    if (words := max((word for word in word_ids if word is not None), default=-1) + 1) > len(word_labels):
        raise InputError(f"There are {len(word_labels)} labels for {words} words. Give one label per word.")
    labels: list[int] = []
    last: int | None = None
    for word in word_ids:
        if word is None or (word == last and not all_pieces):
            labels.append(IGNORED_LABEL)
        else:
            label = word_labels[word]
            labels.append((inside or {}).get(label, label) if word == last else label)
        last = word
    return labels


def align_span_labels(
    spans: Iterable[tuple[int, int, int]],
    offset_mapping: Sequence[tuple[int, int]],
    *,
    outside: int = 0,
    inside: Mapping[int, int] | None = None,
) -> list[int]:
    """Gives tokens the label of the part of the text they stand in.

    Args:
        spans: (start, end, label) of each part, in characters, `end` being the first one after it. What truncation has
            cut off is left out.
        offset_mapping: the characters of each token, from a tokenizer's `return_offsets_mapping=True`.
        outside: label of tokens in no part.
        inside: label of a part's first token -> label of its other tokens, where they differ, such as that of B-person
            -> that of I-person.

    Returns:
        A label per token: that of the part it shares a character with; -100 for tokens without characters, such as
        special ones.

    Raises:
        InputError: a part is empty, or two parts overlap or share a token.
    """
    labels = [outside if start < end else IGNORED_LABEL for start, end in offset_mapping]
    before, taken = (0, 0, outside), -1
    for span in sorted(spans):
        start, end, label = span
        if not 0 <= start < end:
            raise InputError(f"The span {span} holds no character. A span is (start, end, label), end after start.")
        if start < before[1]:
            raise InputError(f"The spans {before} and {span} overlap. A token has one label: keep one of them.")
        covered = [place for place, (first, last) in enumerate(offset_mapping) if max(first, start) < min(last, end)]
        if covered and covered[0] <= taken:
            raise InputError(f"The spans {before} and {span} share a token. A token has one label: keep one of them.")
        for number, place in enumerate(covered):
            labels[place] = (inside or {}).get(label, label) if number else label
        before, taken = span, max([taken, *covered])
    return labels
