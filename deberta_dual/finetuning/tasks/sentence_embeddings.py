"""Vectors of texts that are near to each other where the texts belong together."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.comparisons import ANCHOR, NEGATIVE, POOLINGS, POSITIVE, VECTOR_LOSSES
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, shown
from deberta_dual.backends.protocol import ArrayModel, Comparison
from deberta_dual.data.records import Record
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.evaluation.numbers import DEPTH, pearson, spearman
from deberta_dual.evaluation.vectors import cosines, retrieval_scores
from deberta_dual.finetuning.labels import has_fractions
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, at, entry, single_rows
from deberta_dual.pipelines.batches import ModelRow, run_rows
from deberta_dual.pipelines.examples import check_text
from deberta_dual.pipelines.sentence_modules import POOLINGS as POOLED
from deberta_dual.pipelines.sentence_modules import module_options, write_modules

MULTIPLE_NEGATIVES, COSINE, TRIPLET = VECTOR_LOSSES
PAIRS, TRIPLETS, SCORES = "pairs", "triplets", "scores"
# What the columns of a file make of its records -> the losses for them, the usual one first.
LOSSES = {PAIRS: (MULTIPLE_NEGATIVES,), TRIPLETS: (MULTIPLE_NEGATIVES, TRIPLET), SCORES: (COSINE,)}
# What decides which model is the best.
METRICS = {PAIRS: f"mrr@{DEPTH}", TRIPLETS: "accuracy", SCORES: "spearman"}


class SentenceEmbeddings(FinetuneTask):
    """Records: {"text", "positive"}, and either "negative", a text or a list of them, or "score", a number.

    Two texts that belong together, with others that do not belong to the first; or two texts and how alike they are,
    from -1 to 1, as their cosine should be. Scores of another range, such as 0 to 5, are divided by the highest one.
    All records have the same entries.
    """

    name = "sentence-embeddings"
    task = None
    entries = ("text", "positive")
    optional = ("negative", "score")
    losses = VECTOR_LOSSES
    poolings = POOLINGS

    def __init__(self, tokenizer: Any, **settings: Any) -> None:
        super().__init__(tokenizer, **settings)
        self.pooling = self.pooling or "mean"

    @classmethod
    def check(cls, record: Record) -> None:
        """Two texts or more, or two with a number."""
        for text in texts_of(record):
            check_text("a text", text)
        if record.values.get("score") is not None:
            score_of(record)
            if negatives_of(record):
                raise InputError("there are a score and a negative. Leave one of the two columns out.")

    @classmethod
    def folder_choices(cls, model: str | Path) -> dict[str, Any]:
        """Pooling and length of a folder of sentence-transformers."""
        found = module_options(Path(model).parent if Path(model).is_file() else model)
        return {name: found[name] for name in ("pooling", "max_length") if name in found}

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """All there are."""
        return texts_of(record)

    @classmethod
    def group(cls, record: Record) -> Hashable:
        """The text."""
        return str(entry(record, "text"))

    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes a row of every text; its label is role, number of the text, and score."""
        if not records:
            return []
        kind, features = kind_of(records), []
        if not judged:
            self.loss = _loss(self.loss, kind)
        scores = _scaled(records) if kind == SCORES else np.zeros(len(records))
        numbers: dict[str, int] = {}
        for record, score in zip(records, scores.tolist(), strict=True):
            texts = texts_of(record)
            roles = [ANCHOR, POSITIVE, *[NEGATIVE] * (len(texts) - 2)]
            with at(record):
                inputs = self.encode(texts)
            own = [float(numbers.setdefault(text, len(numbers))) for text in texts]
            labels = [[float(role), number, score] for role, number in zip(roles, own, strict=True)]
            features.append({**inputs, "labels": labels})
        return features

    def comparison(self) -> Comparison:
        """By the columns of the training data, or as was said."""
        return Comparison(self.loss or MULTIPLE_NEGATIVES, self.pooling)

    def count(self, feature: Feature) -> int:
        """The negatives of a triplet loss; else the anchor."""
        return len(feature["labels"]) - 2 if self.loss == TRIPLET else 1

    @classmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """By what the records are; see `METRICS`."""
        return METRICS[kind_of(records)] if records else ""

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """Vectors `[texts, C]` of every record."""
        rows = [ModelRow(row) for feature in features for row in single_rows(feature)]
        vectors = np.zeros((len(rows), model.config.hidden_size), dtype=np.float32)
        for number, output in run_rows(model, rows, self.batch_size, self.tokenizer.pad_token_id or 0):
            vectors[number] = POOLED[str(self.pooling)](output["last_hidden_state"])
        return np.split(vectors, np.cumsum([len(feature["input_ids"]) for feature in features])[:-1])

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """Correlations of scores; accuracy of triplets; of pairs how each positive is found among all of the file."""
        kind = kind_of(records)
        if kind == PAIRS:
            return retrieval_scores(np.stack(answers), [texts_of(record) for record in records])
        found = pair_cosines(answers)
        if kind == TRIPLETS:
            return {"accuracy": float(np.concatenate([own[0] > own[1:] for own in found]).mean())}
        near, wanted = np.array([own[0] for own in found]), wanted_scores(records)
        return {"spearman": spearman(near[:, None], wanted[:, None]), "pearson": pearson(near, wanted)}

    def save(self, folder: Path, config: BaseConfig) -> None:
        """Also the modules of sentence-transformers; vectors get the length 1."""
        super().save(folder, config)
        write_modules(folder, config.hidden_size, str(self.pooling), normalize=True, max_length=self.length)


def pair_cosines(answers: Sequence[NDArray[Any]]) -> list[NDArray[np.float64]]:
    """The cosines of the first text of each record with its others."""
    return [cosines(own[:1], own[1:])[0] for own in answers]


def texts_of(record: Record) -> list[str]:
    """The text, its positive, and the negatives there are."""
    return [entry(record, "text"), entry(record, "positive"), *negatives_of(record)]


def negatives_of(record: Record) -> list[Any]:
    """The negatives: none, the one, or the list."""
    found = record.values.get("negative")
    return [] if found is None else [*found] if isinstance(found, list) else [found]


def score_of(record: Record) -> float:
    """The score.

    Raises:
        InputError: it is no finite number.
    """
    given = entry(record, "score")
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"score={shown(given, 40)} is no number. Give how alike the texts are, best from 0 to 1.")
    return number


def wanted_scores(records: Sequence[Record]) -> NDArray[np.float64]:
    """The scores as they stand in the file, `[N]`."""
    return np.array([score_of(record) for record in records])


def kind_of(records: Sequence[Record]) -> str:
    """What the records are: pairs, triplets or scored pairs.

    Raises:
        InputError: they are not all the same.
    """
    kinds = []
    for record in records:
        count = len(negatives_of(record))
        kinds.append((SCORES if record.values.get("score") is not None else TRIPLETS if count else PAIRS, count))
        if kinds[-1] != kinds[0]:
            told = [f"{count} negatives and {'a' if kind == SCORES else 'no'} score" for kind, count in kinds[-1:]]
            raise InputError(f"{record.place}: there are {told[0]}, unlike in the first example. Give all the same.")
    return kinds[0][0]


def _loss(given: str | None, kind: str) -> str:
    if given is not None and given not in LOSSES[kind]:
        needed = {PAIRS: "no score and no negative", TRIPLETS: "a negative", SCORES: "a score"}
        fitting = ", ".join(LOSSES[kind])
        raise InputError(f"loss={given!r} does not fit examples with {needed[kind]}. For them there is: {fitting}.")
    return given or LOSSES[kind][0]


def _scaled(records: Sequence[Record]) -> NDArray[np.float64]:
    """The scores, divided by the highest where they are not all from -1 to 1."""
    scores = wanted_scores(records)
    top = float(np.abs(scores).max())
    if top <= 1:
        return scores
    if not has_fractions([entry(record, "score") for record in records]):
        raise InputError(
            f"The scores are whole numbers up to {top:g}, which may be classes. Divide them, so that they are from -1 "
            f"to 1, or leave the column out."
        )
    return scores / top
