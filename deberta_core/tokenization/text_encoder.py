"""From texts to tokens, whatever the vocabulary: cut at added tokens, encoded by the model, put together again."""

from __future__ import annotations

from abc import abstractmethod
from itertools import chain, islice

from deberta_core.tokenization.special_tokens import Part
from deberta_core.tokenization.subwords import Aligned, Span
from deberta_core.tokenization.texts import Text, Texts, check_text
from deberta_core.tokenization.vocabulary import Vocabulary


class TextEncoder(Vocabulary):
    """Texts to tokens, without those that rows get around them."""

    def tokenize(self, text: str) -> list[str]:
        """Cuts a text into tokens, without adding special ones."""
        prepared, _ = self._prepare(check_text(text, "text"), False)
        return [
            token
            for part in self._cut(prepared)
            for token in ([part.token] if part.token else self._subwords.pieces(prepared[part.start : part.end]))
        ]

    @abstractmethod
    def _prepare(self, text: str, is_word: bool) -> tuple[str, list[int] | None]:
        """Gives the text as it is cut at added tokens, and where its characters stand in `text` if not at once."""

    def _cut(self, text: str) -> list[Part]:
        """Cuts a prepared text into added tokens and parts that the model gets one by one."""
        return self._added.split(text)

    def _encode_texts(self, texts: Texts, aligned: bool) -> tuple[list[Aligned], list[Aligned | None]]:
        """Tokens without special ones; one call of the model for all parts of all texts."""
        seconds = [second for second in texts.second if second is not None]
        encoded = (self._align if aligned else self._encode)([*texts.first, *seconds])
        second_tokens = iter(encoded[len(texts.first) :])
        return encoded[: len(texts.first)], [None if text is None else next(second_tokens) for text in texts.second]

    def _encode(self, texts: list[Text]) -> list[Aligned]:
        """Ids alone; spans and words are left empty."""
        cut: list[list[list[int] | None]] = []
        parts: list[str] = []
        for text in texts:
            row: list[list[int] | None] = []
            for segment in text if isinstance(text, list) else [text]:
                prepared, _ = self._prepare(segment, isinstance(text, list))
                for part in self._cut(prepared):
                    if part.token is None:
                        parts.append(prepared[part.start : part.end])
                    row.append(None if part.token is None else [self._added.ids[part.token]])
            cut.append(row)
        encoded = iter(self._subwords.encode(parts) if parts else [])
        rows = [[next(encoded) if ids is None else ids for ids in row] for row in cut]
        return [Aligned(row[0] if len(row) == 1 else list(chain.from_iterable(row)), []) for row in rows]

    def _align(self, texts: list[Text]) -> list[Aligned]:
        """Ids, spans, and words where texts are pre-split."""
        segments = [
            self._prepare(segment, isinstance(text, list))
            for text in texts
            for segment in (text if isinstance(text, list) else [text])
        ]
        cut = [self._cut(prepared) for prepared, _ in segments]
        parts = [
            prepared[part.start : part.end]
            for (prepared, _), row in zip(segments, cut, strict=True)
            for part in row
            if part.token is None
        ]
        found = iter(self._subwords.align(parts) if parts else [])
        aligned = iter(
            [
                self._segment([Aligned([], []) if part.token else next(found) for part in row], row, places)
                for (_, places), row in zip(segments, cut, strict=True)
            ]
        )
        return [
            _join_words(list(islice(aligned, len(text)))) if isinstance(text, list) else next(aligned) for text in texts
        ]

    def _segment(self, found: list[Aligned], parts: list[Part], places: list[int] | None) -> Aligned:
        if places is None and len(parts) == 1 and parts[0].token is None:  # the common case, at no cost
            return found[0]
        ids: list[int] = []
        spans: list[Span] = []
        for part, tokens in zip(parts, found, strict=True):
            if part.token is not None:
                ids.append(self._added.ids[part.token])
                spans.append((part.start, part.end))
            else:
                ids += tokens.ids
                spans += [(start + part.start, end + part.start) for start, end in tokens.spans]
        if places is not None:
            spans = [(places[start], places[end]) for start, end in spans]
        return Aligned(ids, spans)

    def _align_sample(self, texts: Texts, sample: int) -> list[Aligned]:
        second = texts.second[sample]
        return self._align([texts.first[sample], *([] if second is None else [second])])


def _join_words(words: list[Aligned]) -> Aligned:
    return Aligned(
        [index for word in words for index in word.ids],
        [span for word in words for span in word.spans],
        [number for number, word in enumerate(words) for _ in word.ids],
    )
