"""Classes that no model was trained for, judged by labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.config import BaseConfig, DebertaV2Config
from deberta_core.errors import InputError
from deberta_dual.data.records import Record
from deberta_dual.finetuning.tasks.text_classification import SINGLE
from deberta_dual.pipelines.factory import pipeline

TASK = "zero-shot-classification"
_TINY = 1e-12


def zero_shot_answers(
    folders: Sequence[Path],
    records: Sequence[Record],
    labels: Sequence[str] | None,
    template: str | None,
    **options: Any,
) -> tuple[BaseConfig, NDArray[Any]]:
    """What a model of entailment says of texts.

    Args:
        folders: its checkpoint; several are averaged.
        records: texts with one label each.
        labels: the classes to choose from; None: those that the records have, in alphabetical order.
        template: the hypothesis, with {} for the class; None: the pipeline's own.
        **options: of the pipeline.

    Returns:
        a configuration that has these classes, and the logarithms of their scores `[N, C]`.

    Raises:
        InputError: a record has several labels, or there is one class alone.
    """
    for record in records:
        if isinstance(record.values["label"], list | dict):
            raise InputError(f"{record.place}: zero-shot classification is judged by one label a text.")
    names = list(labels or sorted({str(record.values["label"]).strip() for record in records}))
    if len(names) < 2:
        raise InputError(f"All labels are {names[0]!r}. There must be at least two classes.")
    if template is not None:
        options = {**options, "hypothesis_template": template}
    ask = pipeline(TASK, folders, candidate_labels=names, **options)
    found = ask.stream([record.values["text"] for record in records], progress=False)
    scores = [dict(zip(one["labels"], one["scores"], strict=True)) for one in found]
    config = DebertaV2Config(id2label=dict(enumerate(names)), problem_type=SINGLE)
    return config, np.log(np.array([[one[name] for name in names] for one in scores]) + _TINY)
