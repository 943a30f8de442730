"""All that is said of a model's answers: loss, metrics, classes, calibration; a function for each task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.reference.losses import binary_cross_entropy
from deberta_dual.data.records import Record
from deberta_dual.evaluation.answers import no_answer_threshold
from deberta_dual.evaluation.calibration import calibration_error, cross_entropy, fit_temperature, reliability
from deberta_dual.evaluation.classes import (
    best_threshold,
    binary_scores,
    class_scores,
    confusion_matrix,
    matthews,
    mean_ranks,
)
from deberta_dual.evaluation.entities import scores_by_name
from deberta_dual.evaluation.numbers import pearson, quadratic_kappa, spearman
from deberta_dual.evaluation.vectors import positive_ranks
from deberta_dual.finetuning.labels import ClassIds
from deberta_dual.finetuning.tasks import sentence_embeddings, text_classification, token_classification
from deberta_dual.finetuning.tasks.masked_lm import text_losses
from deberta_dual.finetuning.tasks.multiple_choice import wanted_choices
from deberta_dual.finetuning.tasks.question_answering import true_texts
from deberta_dual.finetuning.tasks.ranking import queries_of, wanted_relevances
from deberta_dual.finetuning.tasks.sentence_embeddings import wanted_scores
from deberta_dual.finetuning.tasks.text_classification import MULTI, REGRESSION
from deberta_dual.pipelines.scores import sigmoid, softmax

NO_CLASS = "(none of the model's)"


@dataclass(slots=True)
class Judgement:
    """What is said beside the metrics that training looks at.

    Attributes:
        metrics: numbers by name.
        classes: a row of scores for each class.
        confusion: names, and how often which class `[wanted][found]` was given.
        reliability: mean confidence, share of right answers and number of answers, for each bin of confidences.
        temperature: by which logits are best divided; None where there is no such thing.
        mistakes: for each example how wrong it is; 0 where it is right.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    confusion: tuple[list[str], list[list[int]]] | None = None
    reliability: list[tuple[float, float, int]] = field(default_factory=list)
    temperature: float | None = None
    mistakes: NDArray[Any] = field(default_factory=lambda: np.zeros(0))


def judge_texts(config: BaseConfig, logits: Any, records: Sequence[Record]) -> Judgement:
    """Of text classification, by the kind of its labels."""
    wanted = text_classification.wanted_labels(config, records)
    logits = logits.astype(np.float64)
    if config.problem_type == REGRESSION:
        return _numbers(config, logits, wanted)
    if config.problem_type == MULTI:
        return _several(config, logits, wanted[:, : logits.shape[1]])
    return _single(config, logits, wanted)


def judge_choices(config: BaseConfig, logits: Any, records: Sequence[Record]) -> Judgement:
    """Of multiple choice."""
    logits, wanted = logits.astype(np.float64), wanted_choices(records)
    return _calibrated(logits, wanted, Judgement({"loss": cross_entropy(logits, wanted)}))


def judge_words(config: BaseConfig, logits: Any, records: Sequence[Record]) -> Judgement:
    """Of token classification: entities by name; the loss is the mean over words that have a token."""
    found = token_classification.found_labels(config, logits)
    wanted = token_classification.wanted_labels(config, records)
    ids = ClassIds(config.id2label or {})
    rows = np.concatenate(logits).astype(np.float64)
    flat = [label for labels in wanted for label in labels]
    counted = np.array([label in ids for label in flat]) & rows.any(axis=1)
    numbers = np.array([ids.get(label, 0) for label in flat])
    judgement = Judgement({"loss": cross_entropy(rows[counted], numbers[counted]) if counted.any() else 0.0})
    judgement.classes = scores_by_name(found, wanted)
    f1s = [row["f1"] for row in judgement.classes.values()]
    judgement.metrics["macro_f1"] = float(np.mean(f1s)) if f1s else 0.0
    judgement.mistakes = np.array(
        [float(sum(one != other for one, other in zip(a, b, strict=True))) for a, b in zip(found, wanted, strict=True)]
    )
    return judgement


def judge_answers(config: BaseConfig, answers: Any, records: Sequence[Record]) -> Judgement:
    """Of question answering; where there are questions without an answer, also the best margin for giving none."""
    truths = true_texts(records)
    scores = np.array([float(answer["score"]) for answer in answers])
    wrong = np.array([answer["answer"] not in (true or [""]) for answer, true in zip(answers, truths, strict=True)])
    judgement = Judgement(mistakes=wrong * scores)
    if not all(truths):
        margins = [-float(answer["score"]) for answer in answers]
        threshold, f1 = no_answer_threshold([answer["answer"] for answer in answers], truths, margins)
        judgement.metrics |= {"answer_threshold": -threshold, "answer_threshold_f1": f1}
    return judgement


def judge_rankings(config: BaseConfig, logits: Any, records: Sequence[Record]) -> Judgement:
    """Of ranking; a mistake is as bad as there are documents of its query on the wrong side of it."""
    wanted, judgement = wanted_relevances(records), Judgement(mistakes=np.zeros(len(records)))
    if config.problem_type == REGRESSION:
        judgement.metrics["loss"] = float(((logits - wanted) ** 2).mean())
    elif config.problem_type == MULTI and (wanted <= 1).all():
        judgement.metrics["loss"] = float(binary_cross_entropy(logits, wanted))
    for own in queries_of(records):
        better = np.sign(np.subtract.outer(wanted[own], wanted[own]))
        judgement.mistakes[own] = (better * np.subtract.outer(logits[own], logits[own]) < 0).sum(axis=1)
    return judgement


def judge_masked(config: BaseConfig, answers: Any, records: Sequence[Record]) -> Judgement:
    """Of masked LM; a mistake is as bad as the loss of the record's masked tokens."""
    return Judgement(mistakes=text_losses(answers, len(records)))


def judge_vectors(config: BaseConfig, vectors: Any, records: Sequence[Record]) -> Judgement:
    """Of sentence embeddings.

    A mistake is as bad as there are texts nearer than the positive; or by how much a negative is nearer than it; or how
    far the ranks of cosine and score are apart, in shares of all.
    """
    kind, texts = sentence_embeddings.kind_of(records), [sentence_embeddings.texts_of(record) for record in records]
    if kind == sentence_embeddings.PAIRS:
        return Judgement(mistakes=positive_ranks(np.stack(vectors), texts) - 1.0)
    found = sentence_embeddings.pair_cosines(vectors)
    if kind == sentence_embeddings.TRIPLETS:
        return Judgement(mistakes=np.array([max(0.0, float(own[1:].max() - own[0])) for own in found]))
    near, wanted = (mean_ranks(np.asarray(one)) for one in ([o[0] for o in found], wanted_scores(records)))
    return Judgement(mistakes=np.abs(near - wanted) / len(records))


def judge_rewards(config: BaseConfig, scores: Any, records: Sequence[Record]) -> Judgement:
    """Of a reward model; a mistake is as bad as the rejected text's score is above that of the chosen one."""
    above = scores[:, 1] - scores[:, 0]
    return Judgement({"loss": float(np.logaddexp(0.0, above).mean())}, mistakes=np.maximum(above, 0.0))


def _single(config: BaseConfig, logits: NDArray[Any], wanted: NDArray[Any]) -> Judgement:
    assert config.id2label is not None
    names, known = [*config.id2label.values()], wanted >= 0
    found, places = logits.argmax(axis=1), np.where(known, wanted, len(names))
    matrix = confusion_matrix(found, places, len(names) + 1)
    shown = [*names, NO_CLASS] if not known.all() else names
    judgement = Judgement({"loss": cross_entropy(logits[known], wanted[known]), "mcc": matthews(matrix)})
    rows = class_scores(matrix)
    judgement.classes = dict(zip(names, rows, strict=False))
    judgement.metrics["micro_f1"] = float((found == wanted).mean())  # of one class a text they are the same
    judgement.confusion = shown, matrix[: len(shown), : len(names)].tolist()
    if logits.shape[1] == 2 and known.all():
        judgement.metrics |= binary_scores(softmax(logits)[:, 1], wanted == 1)
    if all(name.strip().lstrip("-").isdecimal() for name in names) and known.all():  # grades
        grades = np.array([int(name) for name in names])
        judgement.metrics["qwk"] = quadratic_kappa(grades[found], grades[wanted])
    return _calibrated(logits[known], wanted[known], judgement, known)


def _calibrated(
    logits: NDArray[Any], wanted: NDArray[Any], judgement: Judgement, known: NDArray[Any] | None = None
) -> Judgement:
    """Adds what probabilities tell."""
    probabilities = softmax(logits)
    confidences, right = probabilities.max(axis=1), (logits.argmax(axis=1) == wanted).astype(float)
    judgement.metrics["ece"] = calibration_error(confidences, right)
    judgement.reliability = reliability(confidences, right)
    if len(wanted):  # else all classes are unknown to the model
        judgement.temperature = fit_temperature(logits, wanted)
        judgement.metrics["calibrated_loss"] = cross_entropy(logits / judgement.temperature, wanted)
    losses = -np.log(np.maximum(probabilities[np.arange(len(wanted)), wanted], 1e-300)) * (1 - right)
    known = np.ones(len(wanted), dtype=bool) if known is None else known
    judgement.mistakes = np.full(len(known), np.inf)
    judgement.mistakes[known] = losses
    return judgement


def _several(config: BaseConfig, logits: NDArray[Any], wanted: NDArray[Any]) -> Judgement:
    assert config.id2label is not None
    found, probabilities = logits > 0, sigmoid(logits)
    judgement = Judgement({"loss": float(binary_cross_entropy(logits, wanted.astype(float)))})
    for number, name in config.id2label.items():
        matrix = confusion_matrix(found[:, number], wanted[:, number], 2)
        judgement.classes[name] = class_scores(matrix)[1] | dict(
            binary_scores(probabilities[:, number], wanted[:, number])
        )
    judgement.metrics["macro_f1"] = float(np.mean([row["f1"] for row in judgement.classes.values()]))
    for name in ("roc_auc", "pr_auc"):  # of the classes that are true of some texts and not of others
        areas = [row[name] for row in judgement.classes.values() if np.isfinite(row["roc_auc"])]
        judgement.metrics[name] = float(np.mean(areas)) if areas else float("nan")
    threshold, f1 = best_threshold(probabilities.ravel(), wanted.ravel())
    judgement.metrics |= {"threshold": threshold, "threshold_f1": f1}
    judgement.mistakes = np.abs(probabilities - wanted).max(axis=1) * (found != wanted).any(axis=1)
    return judgement


def _numbers(config: BaseConfig, found: NDArray[Any], wanted: NDArray[Any]) -> Judgement:
    assert config.id2label is not None
    judgement = Judgement({"loss": float(((found - wanted) ** 2).mean())}, mistakes=np.abs(found - wanted).max(axis=1))
    judgement.metrics |= {
        "spearman": spearman(found, wanted),
        "rmse": float(np.sqrt(((found - wanted) ** 2).mean(axis=0)).mean()),
    }
    if (wanted == np.round(wanted)).all():  # grades
        low, high = wanted.min(axis=0), wanted.max(axis=0)
        grades = np.clip(np.round(found), low, high).astype(int)
        pairs = zip(grades.T, wanted.astype(int).T, strict=True)
        judgement.metrics["qwk"] = float(np.mean([quadratic_kappa(a, b) for a, b in pairs]))
    if found.shape[1] > 1:
        judgement.classes = {
            name: {"pearson": pearson(found[:, number], wanted[:, number])} for number, name in config.id2label.items()
        }
    return judgement


# Task -> what judges its answers.
JUDGES: dict[str, Callable[[BaseConfig, Any, Sequence[Record]], Judgement]] = {
    "text-classification": judge_texts,
    "zero-shot-classification": judge_texts,
    "token-classification": judge_words,
    "question-answering": judge_answers,
    "multiple-choice": judge_choices,
    "ranking": judge_rankings,
    "masked-lm": judge_masked,
    "sentence-embeddings": judge_vectors,
    "reward": judge_rewards,
}
