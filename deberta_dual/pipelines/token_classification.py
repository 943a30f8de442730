"""Entities: classes of tokens, put together to parts of the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from deberta_core.errors import InputError, one_of
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_count, read_texts
from deberta_dual.pipelines.scores import Floats, softmax
from deberta_dual.pipelines.spans import Span, trimmed

# How the scores of a word are made of those of its tokens [tokens, N]; other strategies leave the tokens as they are.
WORD_SCORES: dict[str, Callable[[Floats], Floats]] = {
    "first": lambda scores: scores[0],
    "average": lambda scores: scores.mean(axis=0),
    "max": lambda scores: scores[scores.max(axis=1).argmax()],
}
STRATEGIES = ("none", "simple", *WORD_SCORES)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClassificationOptions:
    """What can be chosen.

    Args:
        aggregation_strategy: "none", every token by itself; "simple", neighbouring tokens of one entity together; and
            "first", "average" and "max", words of one entity together, where a word, what white space separates, has
            the scores of its first token, the mean of its tokens' scores, or the scores of its surest token.
        ignore_labels: classes, or entities, of which nothing is said.
        stride: how many tokens two windows of a long text share; None: a quarter of a window.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] = ("O",)
    stride: int | None = None

    def __post_init__(self) -> None:
        if self.aggregation_strategy not in STRATEGIES:
            raise InputError(one_of("aggregation_strategy", self.aggregation_strategy, STRATEGIES))
        if isinstance(self.ignore_labels, str) or not all(isinstance(label, str) for label in self.ignore_labels):
            raise InputError(f"ignore_labels={self.ignore_labels!r} is not allowed. Give a list of names of classes.")
        check_count("stride", self.stride, least=0, none="for a quarter of a window")


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text in windows.

    Args:
        text: as it was given.
        ids: its tokens' ids, without special ones.
        spans: their characters in the text.
        words: the numbers of their words.
        windows: the first token of each window and the one after its last.
    """

    text: str
    ids: list[int]
    spans: list[Span]
    words: list[int | None]
    windows: list[Span]


@dataclass(slots=True)
class Unit:
    """A token, a word or several: what it is said to be.

    Args:
        label: the class, such as "B-LOC".
        score: of the class.
        tokens: its first token and the one after its last.
    """

    label: str
    score: float
    tokens: Span

    @property
    def entity(self) -> str:
        """The class without its prefix."""
        return self.label[2:] if self.label[:2] in ("B-", "I-") else self.label


class TokenClassificationPipeline(Pipeline):
    """Inputs: a text. Results: a list of {"entity_group", "score", "word", "start", "end"}, in the order of the text.

    `word` is `text[start:end]`. With the strategy "none" it is {"entity", "score", "index", "word", "start", "end"},
    where `index` counts the tokens from the context token, which is 0, and `word` is the token.

    A text that is too long is read in windows that overlap; of what two of them share, each gives its half.
    """

    name = "token-classification"
    task = "token_classification"
    options_class = TokenClassificationOptions

    def prepare(self, example: Any, options: TokenClassificationOptions) -> Prepared:
        """Makes a row for each window of the text."""
        text = read_texts(example, ["text"])["text"]
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = encoding["input_ids"]
        by_word = options.aggregation_strategy in WORD_SCORES
        windows = self._windows(len(ids), options.stride)
        words = encoding.word_ids() if by_word else []
        rows = []
        for start, end in windows:
            inputs = {
                "input_ids": self.tokenizer.build_inputs_with_special_tokens(ids[start:end]),
                "token_type_ids": self.tokenizer.create_token_type_ids_from_sequences(ids[start:end]),
                "attention_mask": [1] * (end - start + 2),
            }
            rows.append(ModelRow(inputs))
        return Prepared(rows, TokenizedText(text, ids, encoding["offset_mapping"], words, windows))

    def reduce(self, prepared: Prepared, row: int, outputs: Arrays, options: TokenClassificationOptions) -> Any:
        """Keeps the probabilities of a window's own tokens, `[tokens, N]`, without the special ones around them."""
        return softmax(outputs["logits"][1:-1])

    def finish(self, prepared: Prepared, options: TokenClassificationOptions) -> Any:
        """Puts tokens together as the strategy says."""
        tokenized: TokenizedText = prepared.texts
        scores = join_windows(prepared.values, tokenized.windows)
        strategy = options.aggregation_strategy
        if strategy in WORD_SCORES:
            pairs = groupby(range(len(tokenized.ids)), key=lambda token: tokenized.words[token])
            groups = [list(tokens) for word, tokens in pairs if word is not None]
            units = [self._unit(WORD_SCORES[strategy](scores[own]), (own[0], own[-1] + 1)) for own in groups]
        else:
            units = [self._unit(row, (token, token + 1)) for token, row in enumerate(scores)]
        if strategy == "none":
            return [self._token(unit, tokenized) for unit in units if unit.label not in options.ignore_labels]
        whole = [entity for entity in join_units(units) if entity.entity not in options.ignore_labels]
        return [found for entity in whole if (found := _part_of_text(entity, tokenized)) is not None]

    def _windows(self, length: int, stride: int | None) -> list[Span]:
        size = self.max_length - self.tokenizer.num_special_tokens_to_add()
        shared = size // 4 if stride is None else stride
        if shared >= size:
            raise InputError(f"stride={shared} leaves no progress: a window holds {size} tokens of a text. Lower it.")
        starts = range(0, max(length - shared, 1), size - shared)
        return [(start, min(start + size, length)) for start in starts]

    def _unit(self, scores: Floats, tokens: Span) -> Unit:
        assert self.model.config.id2label is not None
        label = int(scores.argmax())
        return Unit(self.model.config.id2label[label], float(scores[label]), tokens)

    def _token(self, unit: Unit, tokenized: TokenizedText) -> dict[str, Any]:
        token = unit.tokens[0]
        start, end = tokenized.spans[token]
        word = self.tokenizer.convert_ids_to_tokens(tokenized.ids[token])
        return {
            "entity": unit.label,
            "score": unit.score,
            "index": token + 1,
            "word": word,
            "start": start,
            "end": end,
        }


def join_windows(scores: Sequence[Floats], windows: Sequence[Span]) -> Floats:
    """The scores `[tokens, N]` of a text from those of its windows; of what two share, each gives its half.

    A token then has at least half of the shared tokens around it, on the side where its window ends.
    """
    ends = [(end + following) // 2 for (_, end), (following, _) in pairwise(windows)]
    limits = [windows[0][0], *ends, windows[-1][1]]
    parts = [
        own[first - start : last - start]
        for own, (start, _), (first, last) in zip(scores, windows, pairwise(limits), strict=True)
    ]
    return np.concatenate(parts)


def join_units(units: Sequence[Unit]) -> Iterator[Unit]:
    """Puts neighbours of one entity together; one that begins with B- starts anew. The score is the mean."""
    run: list[Unit] = []
    for unit in units:
        if run and (unit.entity != run[-1].entity or unit.label.startswith("B-")):
            yield _joined(run)
            run = []
        run.append(unit)
    if run:
        yield _joined(run)


def _joined(run: Sequence[Unit]) -> Unit:
    score = float(np.mean([unit.score for unit in run]))
    return Unit(run[0].entity, score, (run[0].tokens[0], run[-1].tokens[1]))


def _part_of_text(unit: Unit, tokenized: TokenizedText) -> dict[str, Any] | None:
    """The result for an entity; None where its tokens cover no more than white space."""
    first, last = (tokenized.spans[token] for token in (unit.tokens[0], unit.tokens[1] - 1))
    span = trimmed(tokenized.text, first[0], last[1])
    if span is None:
        return None
    start, end = span
    word = tokenized.text[start:end]
    return {"entity_group": unit.entity, "score": unit.score, "word": word, "start": start, "end": end}
