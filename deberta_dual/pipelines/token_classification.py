"""Entities: classes of tokens, put together to parts of the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from deberta_core.errors import InputError, WrongType, one_of
from deberta_core.limits import check
from deberta_core.tokenization.lengths import LongWindows
from deberta_dual.backends.protocol import Arrays
from deberta_dual.data.words import CONFIG_KEY, WORD_RULES, split_words, words_of_tokens
from deberta_dual.evaluation.entities import SCHEMES, labels_of
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.entities import STRATEGIES, Unit, make_units
from deberta_dual.pipelines.examples import check_count, check_flag, read_fields, read_texts
from deberta_dual.pipelines.options import PipelineOptions
from deberta_dual.pipelines.scores import Floats, softmax
from deberta_dual.pipelines.spans import Span, trimmed


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClassificationOptions(PipelineOptions):
    """What can be chosen.

    Args:
        aggregation_strategy: "none", every token by itself; "simple", neighbouring tokens of one entity together; and
            "first", "average" and "max", words of one entity together, where a word, what white space separates, has
            the scores of its first token, the mean of its tokens' scores, or the scores of its surest token.
        ignore_labels: classes, or entities, of which nothing is said.
        stride: how many tokens two windows of a long text share; None: a quarter of a window.
        ignore_subwords: whether "simple" is "first", an old option of transformers.
        is_split_into_words: whether an input is a list of words; places are those in the words joined by `delimiter`.
        delimiter: what joins words.
        word_rule: what a word of running text is, a name of `WORD_RULES`, and that the model reads word by word, as it
            was trained; None: what the model's configuration says, else the text is read as it is.
        label_scheme: a name of `SCHEMES`; a result is then {"words", "tags", "entities"}, with a tag of this scheme for
            each word, and the strategy "none" is "first".
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] = ("O",)
    stride: int | None = None
    ignore_subwords: bool = False
    is_split_into_words: bool = False
    delimiter: str = " "
    word_rule: str | None = None
    label_scheme: str | None = None

    def __post_init__(self) -> None:
        PipelineOptions.__post_init__(self)
        strategy = self.aggregation_strategy
        strategy = getattr(strategy, "value", strategy)  # a member of an enumeration stands for its value
        strategy = strategy.lower() if isinstance(strategy, str) else strategy
        if strategy not in STRATEGIES:
            raise InputError(one_of("aggregation_strategy", self.aggregation_strategy, STRATEGIES))
        strategy = "first" if self.ignore_subwords and strategy == "simple" else strategy
        strategy = "first" if self.label_scheme is not None and strategy == "none" else strategy
        object.__setattr__(self, "aggregation_strategy", strategy)
        if isinstance(self.ignore_labels, str) or not all(isinstance(label, str) for label in self.ignore_labels):
            raise InputError(f"ignore_labels={self.ignore_labels!r} is not allowed. Give a list of names of classes.")
        check_count("stride", self.stride, least=0, none="for a quarter of a window")
        for name in ("ignore_subwords", "is_split_into_words"):
            check_flag(name, getattr(self, name))
        if not isinstance(self.delimiter, str):
            raise WrongType(f"delimiter={self.delimiter!r:.40} is no text. Give what joins words, such as a space.")
        if self.word_rule is not None and self.word_rule not in WORD_RULES:
            raise InputError(one_of("word_rule", self.word_rule, WORD_RULES))
        if self.label_scheme is not None and self.label_scheme not in SCHEMES:
            raise InputError(one_of("label_scheme", self.label_scheme, tuple(SCHEMES)))


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text in windows.

    Args:
        text: as it was given.
        ids: its tokens' ids, without special ones.
        spans: their characters in the text.
        words: the numbers of their words.
        windows: the first token of each window and the one after its last.
        given: the characters of the words that were given; None where they follow from the text.
    """

    text: str
    ids: list[int]
    spans: list[Span]
    words: Sequence[int | None]
    windows: list[Span]
    given: list[Span] | None = None


class TokenClassificationPipeline(Pipeline):
    """Inputs: a text, or {"words"}. Results: a list of {"entity_group", "score", "word", "start", "end"}, in order.

    `word` is `text[start:end]`. With the strategy "none" it is {"entity", "score", "index", "word", "start", "end"},
    where `index` counts the tokens from the context token, which is 0, and `word` is the token.

    A text that is too long is read in windows that overlap; of what two of them share, each gives its half.
    """

    task = "token-classification"
    model_task = "token_classification"
    options_class = TokenClassificationOptions
    in_rows = True

    def __call__(self, inputs: Any, *, progress: bool | None = None, **options: Any) -> Any:
        """Answers one text, or many.

        Args:
            inputs: as in other pipelines; with `is_split_into_words` a list of words is a list of one input.
            progress: as in other pipelines.
            **options: fields of `options_class`, for this call; and `offset_mapping`, for each token, special ones
                too, its first character and the one after its last, as a list of pairs, or, of several texts, a list
                of such lists. Places in the result are taken from it.

        Raises:
            InputError: an input or an option cannot be used; it says which.
        """
        mapping = options.pop("offset_mapping", None)
        split = options.get("is_split_into_words", self.options.is_split_into_words)
        if split and isinstance(inputs, str):
            raise WrongType(f"inputs={inputs!r:.60} is a text. With is_split_into_words=True give a list of words.")
        if split and isinstance(inputs, list | tuple):
            lists = list(inputs) if all(isinstance(one, list | tuple) for one in inputs) else [inputs]
            inputs = [{"words": words} for words in lists]
        if mapping is not None:
            inputs = _with_spans(inputs, mapping)
        return super().__call__(inputs, progress=progress, **options)

    def __init__(self, model: Any, tokenizer: Any = None, *, device: Any = None, **options: Any) -> None:
        super().__init__(model, tokenizer, device=device, **options)
        rule = self.arrays.config.extra.get(CONFIG_KEY)
        if rule not in WORD_RULES or self.options.word_rule is not None:
            return
        own = self.own_names(options, ("framework", "dtype"))
        changes = {} if "aggregation_strategy" in own else {"aggregation_strategy": "first"}
        self.options = replace(self.options, word_rule=rule, **changes)

    def check_model(self, options: TokenClassificationOptions) -> None:
        """Raises InputError if windows share more than they hold."""
        super().check_model(options)
        size = self.limit(options) - self.tokenizer.num_special_tokens_to_add()
        if options.stride is not None and options.stride >= size:
            raise InputError(
                f"stride={options.stride} leaves no progress: a window holds {size} tokens of a text. Lower it."
            )

    def prepare(self, example: Any, options: TokenClassificationOptions) -> Prepared:
        """Makes a row for each window of the text."""
        text, ids, places, words, given = self._encoded(example, options)
        windows = self._windows(len(ids), options)
        rows = []
        for start, end in windows:
            inputs = {
                "input_ids": self.tokenizer.build_inputs_with_special_tokens(ids[start:end]),
                "token_type_ids": self.tokenizer.create_token_type_ids_from_sequences(ids[start:end]),
                "attention_mask": [1] * (end - start + 2),
            }
            rows.append(ModelRow(inputs))
        return Prepared(rows, TokenizedText(text, ids, places, words, windows, given))

    def reduce(self, prepared: Prepared, row: int, outputs: Arrays, options: TokenClassificationOptions) -> Any:
        """Keeps the probabilities of a window's own tokens, `[tokens, N]`, without the special ones around them."""
        return softmax(outputs["logits"][1:-1])

    def finish(self, prepared: Prepared, options: TokenClassificationOptions) -> Any:
        """Puts tokens together as the strategy says."""
        tokenized: TokenizedText = prepared.texts
        scores = join_windows(prepared.values, tokenized.windows)
        assert self.arrays.config.id2label is not None
        made = make_units(scores, tokenized.words, options.aggregation_strategy, self.arrays.config.id2label)
        units = [unit for unit in made if unit.label not in options.ignore_labels]
        if options.aggregation_strategy == "none":
            return [self._token(unit, tokenized) for unit in units]
        found = [part for unit in units if (part := _part_of_text(unit, tokenized)) is not None]
        if options.label_scheme is None:
            return found
        words = tokenized.given if tokenized.given is not None else self._split(tokenized.text, options)
        return _tagged(tokenized.text, words, found, options.label_scheme)

    def aggregate(self, pre_entities: Sequence[Mapping[str, Any]], aggregation_strategy: str) -> list[dict[str, Any]]:
        """Puts tokens of which the scores are known together, as transformers' method of this name.

        Args:
            pre_entities: the tokens: "scores" `[N]`, "index", "word" (the token), "start", "end" and "is_subword".
            aggregation_strategy: see the options.
        """
        assert self.arrays.config.id2label is not None
        numbers = np.cumsum([not one["is_subword"] for one in pre_entities]).tolist()
        strategy = TokenClassificationOptions(aggregation_strategy=aggregation_strategy).aggregation_strategy
        scores = np.stack([np.asarray(one["scores"], dtype=np.float64) for one in pre_entities])
        results = []
        for unit in make_units(scores, numbers, strategy, self.arrays.config.id2label):
            own = pre_entities[unit.tokens[0] : unit.tokens[1]]
            found = {"score": unit.score, "start": own[0]["start"], "end": own[-1]["end"]}
            if strategy == "none":
                results.append({"entity": unit.label, "index": own[0]["index"], "word": own[0]["word"], **found})
            else:
                word = self.tokenizer.convert_tokens_to_string([one["word"] for one in own]).strip()
                results.append({"entity_group": unit.label, "word": word, **found})
        return results

    def _encoded(
        self, example: Any, options: TokenClassificationOptions
    ) -> tuple[str, list[int], list[Span], list[int | None], list[Span] | None]:
        """The text of an example, the ids of its tokens, their places, the numbers of their words, and given words."""
        mapping = example.get("offset_mapping") if isinstance(example, Mapping) else None
        given = None
        if isinstance(example, Mapping) and "words" in example:
            words = read_fields(example, ["words"], ["offset_mapping"])["words"]
            if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
                raise WrongType(f"words={words!r:.60} are not allowed. Give a list of texts.")
            text = options.delimiter.join(words)
            starts = np.cumsum([0, *(len(word) + len(options.delimiter) for word in words)]).tolist()
            ids, places, numbers = self._word_by_word(list(words), starts)
            given = [(start, start + len(word)) for word, start in zip(words, starts, strict=False)]
        else:
            if isinstance(example, list | tuple):
                raise WrongType(f"the input is {example!r:.60}. Give a text, or words with is_split_into_words=True.")
            fields = dict(example) if isinstance(example, Mapping) else {"text": example}
            fields.pop("offset_mapping", None)
            text = read_texts(fields, ["text"], may_be_empty=True)["text"]
            if options.word_rule is None:
                encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
                ids, places = encoding["input_ids"], encoding["offset_mapping"]
                numbers = words_of_tokens(text, places)
            else:
                spans = self._split(text, options)
                parts = [text[start:end] for start, end in spans]
                ids, places, numbers = self._word_by_word(parts, [start for start, _ in spans])
        if mapping is not None:
            if len(mapping) < len(places) + 1:
                there = f"offset_mapping has {len(mapping)} places for {len(places) + 2} tokens"
                raise InputError(f"{there}. Give one for each.")
            places = [(int(start), int(end)) for start, end in mapping[1 : len(places) + 1]]
        return text, ids, places, numbers, given

    def _split(self, text: str, options: TokenClassificationOptions) -> list[Span]:
        """The words of running text; where line feeds are tokens of their own, also these."""
        return split_words(text, options.word_rule or "unicode", with_ends="\n" in self.tokenizer.get_added_vocab())

    def _word_by_word(self, words: list[str], starts: Sequence[int]) -> tuple[list[int], list[Span], list[int | None]]:
        """The tokens of words: ids, places in the text in which the words begin at `starts`, and numbers of words."""
        if not words:
            return [], [], []
        encoding = self.tokenizer(
            words, is_split_into_words=True, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        numbers = encoding.word_ids()
        own = zip(encoding["offset_mapping"], numbers, strict=True)
        places = [(start + starts[word or 0], end + starts[word or 0]) for (start, end), word in own]
        return encoding["input_ids"], places, numbers

    def _windows(self, length: int, options: TokenClassificationOptions) -> list[Span]:
        size = self.limit(options) - self.tokenizer.num_special_tokens_to_add()
        shared = size // 4 if options.stride is None else options.stride
        starts = range(0, max(length - shared, 1), size - shared)
        check("windows", len(starts) * size, f"With stride={shared}, the windows of a text have", LongWindows)
        return [(start, min(start + size, length)) for start in starts]

    def _token(self, unit: Unit, tokenized: TokenizedText) -> dict[str, Any]:
        token = unit.tokens[0]
        start, end = tokenized.spans[token]
        word = self.tokenizer.convert_ids_to_tokens(tokenized.ids[token])
        found = {"entity": unit.label, "score": unit.score, "index": token + 1}
        return {**found, "word": word, "start": start, "end": end}


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


def _with_spans(inputs: Any, mapping: Any) -> Any:
    """Texts with the places of their tokens, which a call gave."""
    examples = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if not isinstance(mapping, list | tuple) or not mapping:
        raise WrongType(f"offset_mapping={mapping!r:.60} is not allowed. Give a list of pairs, one for each token.")
    mappings = [mapping] if isinstance(mapping[0], tuple) else list(mapping)
    if len(mappings) != len(examples):
        raise InputError(f"offset_mapping is of {len(mappings)} texts, and there are {len(examples)}. Give as many.")
    pairs = zip(examples, mappings, strict=True)
    found = [{**(one if isinstance(one, Mapping) else {"text": one}), "offset_mapping": own} for one, own in pairs]
    return found if isinstance(inputs, list | tuple) else found[0]


def _tagged(text: str, words: Sequence[Span], found: list[dict[str, Any]], scheme: str) -> Any:
    """The words of a text with a tag each, by its entities."""
    spans = []
    for one in found:
        own = [number for number, (start, end) in enumerate(words) if start < one["end"] and end > one["start"]]
        if own:
            spans.append((one["entity_group"], own[0], own[-1] + 1))
    tags = labels_of(spans, len(words), scheme)
    return {"words": [text[start:end] for start, end in words], "tags": tags, "entities": found}


def _part_of_text(unit: Unit, tokenized: TokenizedText) -> dict[str, Any] | None:
    """The result for an entity; None where its tokens cover no more than white space."""
    first, last = (tokenized.spans[token] for token in (unit.tokens[0], unit.tokens[1] - 1))
    span = trimmed(tokenized.text, first[0], last[1])
    if span is None:
        return None
    start, end = span
    word = tokenized.text[start:end]
    return {"entity_group": unit.label, "score": unit.score, "word": word, "start": start, "end": end}
