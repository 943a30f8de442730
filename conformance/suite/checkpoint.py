"""A checkpoint folder as a subject: its own weights, real text through its own tokenizer, and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from conformance.convert.task import class_name, find_task
from conformance.convert.verify import make_inputs
from conformance.suite.cases import LABEL_SETTINGS, random_labels
from conformance.suite.subjects import Subject
from deberta_core.checkpoint import load_config, load_weights, open_weights
from deberta_core.config import BaseConfig
from deberta_core.tasks import BY_PROBLEM, task_spec

# Up to here gradients are compared too: each takes some ten passes of the reference per parameter.
SMALL = 1_000_000  # numbers in all parameters together

_PROBLEMS = {
    "regression": "regression",
    "single_label_classification": "single",
    "multi_label_classification": "multi",
}


def checkpoint_subject(folder: str | Path) -> Subject:
    """Reads a folder; the frameworks will load it by themselves, as users do.

    Raises:
        ConfigError: config.json is missing or wrong.
        WeightError: the weights are missing or broken, or of a task that is not supported.
    """
    folder = Path(folder)
    config = load_config(None, folder, "masked_lm")  # the weights say which masked-LM head it is
    with open_weights(folder, config) as stored:
        task = find_task(config, stored)
    with load_weights(folder, config, task) as loaded:
        weights = dict(loaded.weights)
    inputs = {name: values.astype(np.int64) for name, values in make_inputs(folder, config, task).items()}
    if task is not None:
        inputs |= random_labels(config, task, _setting(config, task), inputs)
    name = f"{folder.name} ({class_name(config, task_spec(task))})"
    return Subject(name, config, task, weights, inputs, folder)


def measures_of(subject: Subject) -> list[str]:
    """What is measured of a checkpoint: names of `MEASURES`."""
    size = sum(values.size for values in subject.params.values())
    with_gradients = subject.task is not None and size <= SMALL
    return ["values", "explanations", "invariances", *(["gradients"] if with_gradients else [])]


def _setting(config: BaseConfig, task: str) -> str:
    if BY_PROBLEM not in task_spec(task).labels.values():
        return next(reversed(LABEL_SETTINGS[task]))
    if config.problem_type is not None:
        return _PROBLEMS[config.problem_type]
    return "inferred_regression" if config.num_labels == 1 else "inferred_single"
