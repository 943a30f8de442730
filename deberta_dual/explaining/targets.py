"""Which number of a model's outputs is attributed to the tokens, by the task of its head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.errors import InputError, one_of
from deberta_dual.pipelines.base import Pipeline
from deberta_dual.pipelines.batches import ModelRow, run_rows


@dataclass(frozen=True, slots=True)
class Target:
    """A number of a model's outputs.

    Args:
        output: the name of the output.
        index: its place there, after the batch.
        label: the class or the word it is for; None where there is none.
        token: the token it is for, counted from 0; None where it is for the whole text.
    """

    output: str
    index: tuple[int, ...]
    label: str | None
    token: int | None


def find_target(run: Pipeline, inputs: dict[str, list[int]], label: str | None, token: int | None) -> Target | None:
    """The number that was asked for, or the one that decides the model's answer.

    Args:
        run: a pipeline.
        inputs: of one row.
        label: of a classifier; None: the likeliest.
        token: of a head that answers for every token, counted from 0; None: the one that matters most.

    Returns:
        None where the model has no head.

    Raises:
        InputError: the head is one that is not explained, or there is no such class or token.
    """
    if run.model_task is None:
        return None
    if run.model_task not in _FINDERS:
        raise InputError(f"{run.model_task} is not explained; these heads are: {', '.join(_FINDERS)}.")
    length = len(inputs["input_ids"])
    if token is not None and not 0 <= token < length:
        raise InputError(f"token={token}, but the text has tokens 0 to {length - 1}.")
    return _FINDERS[run.model_task](run, inputs, label, token)


Finder = Callable[[Pipeline, dict[str, list[int]], str | None, int | None], Target]


def _of_text(run: Pipeline, inputs: dict[str, list[int]], label: str | None, token: int | None) -> Target:
    _refuse("token", token)
    number = _class_of(run, label, _outputs(run, inputs)["logits"])
    return Target("logits", (number,), _labels(run)[number], None)


def _of_token(run: Pipeline, inputs: dict[str, list[int]], label: str | None, token: int | None) -> Target:
    logits = _outputs(run, inputs)["logits"]  # [L, N]
    if token is None:  # the one that is surest not to be outside of all entities
        outside = [number for number, name in _labels(run).items() if name == "O"]
        inside = np.delete(logits, outside, axis=1).max(1) - (logits[:, outside].max(1) if outside else 0)
        token = 1 + int(inside[1:-1].argmax()) if len(inside) > 2 else 0
    number = _class_of(run, label, logits[token])
    return Target("logits", (token, number), _labels(run)[number], token)


def _of_answer(run: Pipeline, inputs: dict[str, list[int]], label: str | None, token: int | None) -> Target:
    if label not in (None, "start", "end"):
        raise InputError(one_of("target", label, ("start", "end")))
    output = f"{label or 'start'}_logits"
    place = int(_outputs(run, inputs)[output].argmax()) if token is None else token
    return Target(output, (place,), label or "start", place)


def _of_word(run: Pipeline, inputs: dict[str, list[int]], label: str | None, token: int | None) -> Target:
    masks = [place for place, one in enumerate(inputs["input_ids"]) if one == run.tokenizer.mask_token_id]
    if token is None and not masks:
        raise InputError(f"the text has no {run.tokenizer.mask_token}. Put one where a word is to be explained.")
    place = masks[0] if token is None else token
    if label is None:
        word = int(_outputs(run, inputs, (place,))["logits"][0].argmax())
    else:
        ids = run.tokenizer.encode(f" {label}", add_special_tokens=False)
        if len(ids) != 1:
            raise InputError(f"target={label!r} is {len(ids)} tokens. Give a word of one token.")
        word = ids[0]
    return Target("logits", (place, word), run.tokenizer.decode([word]).strip(), place)


def _of_choice(run: Pipeline, inputs: dict[str, list[int]], label: str | None, token: int | None) -> Target:
    _refuse("target", label)
    _refuse("token", token)
    return Target("logits", (0,), None, None)  # the only choice there is


def _of_replaced(run: Pipeline, inputs: dict[str, list[int]], label: str | None, token: int | None) -> Target:
    _refuse("target", label)
    place = int(_outputs(run, inputs)["logits"].argmax()) if token is None else token
    return Target("logits", (place,), "replaced", place)


_FINDERS: Mapping[str, Finder] = {
    "sequence_classification": _of_text,
    "token_classification": _of_token,
    "question_answering": _of_answer,
    "masked_lm": _of_word,
    "multiple_choice": _of_choice,
    "replaced_token": _of_replaced,
}


def _outputs(run: Pipeline, inputs: dict[str, list[int]], places: tuple[int, ...] = ()) -> Mapping[str, NDArray[Any]]:
    ((_, found),) = run_rows(run.arrays, [ModelRow(inputs, places)], 1, run.tokenizer.pad_token_id or 0)
    return found


def _labels(run: Pipeline) -> dict[int, str]:
    labels: dict[int, str] = run.arrays.config.id2label or {}
    return labels


def _class_of(run: Pipeline, label: str | None, logits: NDArray[Any]) -> int:
    if label is None:
        return int(logits.argmax())
    numbers = {name: number for number, name in _labels(run).items()}
    if label not in numbers:
        raise InputError(one_of("target", label, list(numbers)))
    return numbers[label]


def _refuse(name: str, value: object) -> None:
    if value is not None:
        raise InputError(f"{name}={value!r} is not for this model's head. Leave it out.")
