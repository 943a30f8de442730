"""What every token covers in its text: the parts a text was cut into, aligned by the model and put together again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from deberta_core.errors import InputError
from deberta_core.tokenization.cutting import Cutter, Ids, Part, Text
from deberta_core.tokenization.subwords import Aligned, Span, SubwordModel


def align(texts: list[Text], cutter: Cutter, model: SubwordModel, added: Mapping[str, int]) -> list[Aligned]:
    """Gives the tokens of texts, what they cover, and the words where a text is pre-split; one call of the model.

    Raises:
        InputError: a text was given as ids.
    """
    if any(isinstance(text, Ids) for text in texts):
        raise InputError("Ids cover no characters of a text. Call the tokenizer with the text itself.")
    words = [
        (str(word), isinstance(text, list)) for text in texts for word in ([text] if isinstance(text, str) else text)
    ]
    cuts = [cutter.cut(word, is_word) for word, is_word in words]
    parts = [text[part.start : part.end] for text, cut, _ in cuts for part in cut if part.token is None]
    found = iter(model.align(parts) if parts else [])
    aligned = iter([_merged(cut, places, found, added) for _, cut, places in cuts])
    return [_joined(list(islice(aligned, len(text)))) if isinstance(text, list) else next(aligned) for text in texts]


def _merged(cut: list[Part], places: list[int] | None, found: Iterator[Aligned], added: Mapping[str, int]) -> Aligned:
    if places is None and len(cut) == 1 and cut[0].token is None:  # the common case, at no cost
        return next(found)
    ids: list[int] = []
    spans: list[Span] = []
    for part in cut:
        if part.token is not None:
            ids.append(added[part.token])
            spans.append((part.start, part.end))
        else:
            tokens = next(found)
            ids += tokens.ids
            spans += [(start + part.start, end + part.start) for start, end in tokens.spans]
    if places is not None:
        spans = [(places[start], places[end]) for start, end in spans]
    return Aligned(ids, spans)


def _joined(words: list[Aligned]) -> Aligned:
    return Aligned(
        [index for word in words for index in word.ids],
        [span for word in words for span in word.spans],
        [number for number, word in enumerate(words) for _ in word.ids],
    )
