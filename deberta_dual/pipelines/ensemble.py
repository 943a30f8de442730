"""Several models as one, which gives the mean of their probabilities: of folds, seeds, or sizes of one kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list
from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.data.words import CONFIG_KEY
from deberta_dual.pipelines.scores import Floats, mean_logits, mean_sigmoid_logits

Mean = Callable[[Floats], Floats]
# Tasks whose logits have an axis of classes, the last one.
_CLASSES = ("sequence_classification", "token_classification")


def average_models(models: Sequence[ArrayModel]) -> ArrayModel:
    """Makes one model of several, whose logits are those of the mean of the probabilities.

    Of regression it is the mean of the numbers; of question answering that of the probabilities of first and last
    tokens; of multiple choice every model has a column of logits, since a row is one choice. The configuration is that
    of the first, with the shortest limit of all.

    Args:
        models: at least one, of one task, with one vocabulary; of any framework.

    Raises:
        InputError: they are of different tasks, have other classes or kinds of labels, or read words by other rules; or
            they give vectors, which lie in another space for each model.
    """
    first = models[0]
    if len(models) == 1:
        return first
    for other in models[1:]:
        _check_pair(first, other)
    orders = [_class_order(first, model) for model in models]

    def run(inputs: Arrays, places: Any) -> Arrays:
        found = [model.run(inputs, places) for model in models]
        real = np.asarray(inputs["attention_mask"]) > 0
        means: Arrays = {}
        for name in found[0]:
            if name.endswith("logits"):
                parts = [own[name][..., order] for own, order in zip(found, orders, strict=True)]
                means[name] = _mean(first, np.stack(parts).astype(np.float64), real).astype(np.float32)
        return means

    lengths = [model.config.max_position_embeddings for model in models]
    limits = {
        "max_position_embeddings": min(lengths),
        "position_biased_input": any(model.config.position_biased_input for model in models),
    }
    config = first.config.replace(**limits)
    return ArrayModel(config, first.task, run, compiles=any(model.compiles for model in models))


def check_vocabularies(tokenizers: Sequence[Any], names: Sequence[Any]) -> None:
    """Raises InputError unless all tokenizers have the vocabulary of the first; `names` are those of the models."""
    for tokenizer, name in zip(tokenizers[1:], names[1:], strict=True):
        if tokenizer is not tokenizers[0] and tokenizer.get_vocab() != tokenizers[0].get_vocab():
            raise InputError(
                f"{names[0]} and {name} have different vocabularies, so they do not read the same tokens. Average "
                f"models of one vocabulary."
            )


def _mean(model: ArrayModel, logits: Floats, real: Any) -> Floats:
    """Of logits `[models, B, ...]` or `[models, M, V]` those of the mean; `real` `[B, L]` is where tokens are."""
    if model.task == "multiple_choice":
        return np.moveaxis(logits[..., 0], 0, -1)
    if model.task == "question_answering":
        return np.where(real, mean_logits(np.where(real, logits, -np.inf)), logits.mean(axis=0))
    if model.task == "sequence_classification":
        if model.config.problem_type == "regression":
            mean: Floats = logits.mean(axis=0)
            return mean
        if model.config.num_labels == 1 or model.config.problem_type == "multi_label_classification":
            return mean_sigmoid_logits(logits)
    return mean_logits(logits)


def _check_pair(first: ArrayModel, other: ArrayModel) -> None:
    names = f"{_name(first.config)} and {_name(other.config)}"
    if first.task is None:
        raise InputError(f"{names} give vectors, each in a space of its own. Use one model.")
    if first.task != other.task:
        raise InputError(f"{names} are models for {first.task} and {other.task}. Average models of one task.")
    pairs: dict[str, tuple[Any, ...]] = {"the problem_type": (first.config.problem_type, other.config.problem_type)}
    if first.task == "token_classification":
        pairs["the rule of words"] = tuple(one.config.extra.get(CONFIG_KEY) for one in (first, other))
    if first.task == "masked_lm":
        pairs["the vocab_size"] = (first.config.vocab_size, other.config.vocab_size)
    for what, (own, others) in pairs.items():
        if own != others:
            raise InputError(f"{names} differ in {what}: {own!r} and {others!r}. Average models that agree.")


def _class_order(first: ArrayModel, model: ArrayModel) -> list[int] | slice:
    """Where in a model's logits the classes of the first one are."""
    if first.task not in _CLASSES or first.config.num_labels == model.config.num_labels == 1:
        return slice(None)
    wanted, found = ([name.lower() for name in (one.config.id2label or {}).values()] for one in (first, model))
    if sorted(wanted) != sorted(found):
        differing = name_list(sorted({*wanted} ^ {*found}))
        raise InputError(
            f"{_name(first.config)} and {_name(model.config)} have different classes: {differing}. Average models of "
            f"the same classes."
        )
    return [found.index(name) for name in wanted]


def _name(config: BaseConfig) -> str:
    return config.name_or_path or "a model object"
