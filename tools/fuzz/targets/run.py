"""Lines that `deberta run` answers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from deberta_core.reference import forward
from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.data.load import read_examples
from deberta_dual.data.results import answer_records
from deberta_dual.data.writers import json_line
from deberta_dual.pipelines import PIPELINES
from tools.fuzz.changes.lines import change_json_lines
from tools.fuzz.corpus import Files, config, tokenizer, weights
from tools.fuzz.targets import Target

# Task -> lines for it.
_LINES = {
    "text-classification": '{"text": "a heron", "text_pair": "waits"}\nplain text\n{"text": "x"}\n',
    "token-classification": '{"text": "a grey heron"}\nplain text here\n',
    "question-answering": '{"question": "where?", "context": "in water"}\n',
    "fill-mask": '{"text": "a [MASK] heron"}\n[MASK]\n',
    "masked-lm": '{"text": "a [MASK] heron"}\na grey heron\n',
    "ranking": '{"query": "a heron", "document": "waits"}\n',
    "reward": '{"prompt": "a heron", "text": "waits"}\nx\n',
    "multiple-choice": '{"text": "a heron", "choices": ["waits", "runs"]}\n',
    "sentence-embeddings": '{"text": "a heron"}\nx\n',
    "feature-extraction": '{"text": "a heron"}\nx\n',
    "zero-shot-classification": '{"text": "a heron"}\n',
}
_LONGEST = 2000  # bytes of a line: the model in NumPy is slow, and its time is not what is tried here


def _corpus(folder: Path) -> list[Files]:
    return [{f"{task}.txt": lines.encode()} for task, lines in _LINES.items()]


def _change(random: Random, files: Files) -> Files:
    ((name, content),) = files.items()
    return {name: b"\n".join(line[:_LONGEST] for line in change_json_lines(random, content).split(b"\n"))}


@cache
def _pipelines() -> dict[str, Any]:
    """A pipeline for each task, around the specification in NumPy, so that no framework is needed."""
    own, made = tokenizer("v2"), {}
    for task in _LINES:
        cls = PIPELINES[task]
        zero_shot = task.startswith("zero")
        names = (
            ("entailment", "neutral", "contradiction")
            if zero_shot
            else ("score",)
            if task in ("ranking", "reward")
            else ()
        )
        labels = {"id2label": dict(enumerate(names))} if names else {}
        model = config("v2", vocab_size=len(own), **labels)
        arrays = weights(model, cls.model_task)

        def run(
            batch: Arrays, places: Any, model: Any = model, arrays: Any = arrays, name: Any = cls.model_task
        ) -> Arrays:
            outputs = forward(model, arrays, batch, name)
            if places is not None:
                outputs["logits"] = outputs["logits"][places[:, 0], places[:, 1]]
            return {key: value.astype("f4") for key, value in outputs.items() if isinstance(value, np.ndarray)}

        options = {"candidate_labels": ["bird", "train"]} if zero_shot else {}
        made[task] = cls(ArrayModel(model, cls.model_task, run), own, batch_size=4, max_length=24, **options)
    return made


def _read(folder: Path, random: Random) -> None:
    """Does what `deberta run --on-error skip` does with its input."""
    file = next(file for file in folder.iterdir() if file.is_file())
    form = random.choice(("auto", "lines", "text", "jsonl", "conll", "csv", "tsv", "json"))
    records = read_examples(file.stem, file, labelled=False, input_format=form)
    for row in answer_records(file.stem, _pipelines()[file.stem], records, stop=False):
        json_line(row)


TARGET = Target(_corpus, _change, _read, _pipelines)
