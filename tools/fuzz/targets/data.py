"""Files of examples to train on."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from deberta_core.config import BaseConfig
from deberta_dual.data.load import load_data
from deberta_dual.finetuning.tasks import FINETUNE_TASKS
from deberta_dual.finetuning.tasks.base import at
from tools.fuzz.changes.json_values import change_json
from tools.fuzz.changes.lines import change_json_lines, change_lines
from tools.fuzz.corpus import Files, config, tokenizer
from tools.fuzz.targets import Target, any_file

_SQUAD = {
    "context": "the heron waits in the water",
    "qas": [
        {"id": "1", "question": "where?", "answers": [{"text": "water", "answer_start": 23}]},
        {"id": "2", "question": "why?", "answers": [], "is_impossible": True},
    ],
}
# File -> the task it is for, and what it holds.
_FILES = {
    "classes.csv": ("text-classification", 'text,label\n"heron, grey",yes\ntrain,no\n"a ""b""",yes\n'),
    "scores.tsv": ("text-classification", "text\ttext_pair\tlabel\nheron\twater\t0.5\ntrain\tbridge\t1.5\n"),
    "classes.jsonl": ("text-classification", '{"text": "heron", "label": 1}\n{"text": "train", "label": 0}\n'),
    "several.jsonl": ("text-classification", '{"text": "heron", "label": [1, 0]}\n{"text": "a", "label": [0, 1]}\n'),
    "names.conll": ("token-classification", "-DOCSTART- O\n\na O\ngrey B-COL\nheron I-COL\n\nno O\ntrain B-X\n"),
    "names.jsonl": ("token-classification", '{"words": ["a", "heron"], "labels": ["O", "B-X"]}\n' * 2),
    "squad.json": ("question-answering", json.dumps({"data": [{"paragraphs": [_SQUAD]}]})),
    "squad.jsonl": ("question-answering", '{"question": "where?", "context": "in water", "answers": '
                    '[{"text": "water", "answer_start": 3}]}\n'),
    "ranks.csv": ("ranking", "query,document,relevance\nheron,a bird,1\nheron,a train,0\n"),
    "pairs.csv": ("sentence-embeddings", "anchor,positive,score\nheron,a bird,0.9\ntrain,a bird,2.5\n"),
    "triplets.jsonl": ("sentence-embeddings", '{"text": "heron", "positive": "bird", "negative": ["a", "b"]}\n' * 2),
    "chosen.jsonl": ("reward", '{"prompt": "heron", "chosen": "a bird", "rejected": "a train"}\n' * 2),
    "lines.txt": ("masked-lm", "a grey heron waits\n\nno train\n"),
    "choices.jsonl": ("multiple-choice", '{"text": "a heron", "choices": ["waits", "runs"], "label": 0}\n' * 2),
}  # fmt: skip
_CHANGES = {".jsonl": change_json_lines, ".json": change_json, "": change_lines}


def _corpus(folder: Path) -> list[Files]:
    return [{name: content.encode()} for name, (_, content) in _FILES.items()]


@cache
def _model() -> tuple[Any, BaseConfig]:
    return tokenizer("v2"), config("v2", vocab_size=400)


def _read(folder: Path, random: Random) -> None:
    """Goes the way of `deberta finetune` to the first batch."""
    own, model = _model()
    file = next((file for file in folder.iterdir() if file.is_file()), folder / "none.csv")
    name = _FILES[file.name][0] if file.name in _FILES else "text-classification"
    task = FINETUNE_TASKS[name]
    if not file.exists():
        return
    records = load_data(name, [file])
    for record in records:
        with at(record):
            task.check(record)
    model = model.replace(**task.head(records, model, None).changes)
    task.texts(records[0])
    work = task(own, max_length=32, batch_size=2)
    rows = work.features(records, model)[:4]
    work.collate([work.drawn(row, (0, 0, number)) for number, row in enumerate(rows)])


TARGET = Target(_corpus, any_file(_CHANGES), _read, _model)
