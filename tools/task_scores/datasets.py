"""The data sets as files for `deberta finetune`: what they are, and how they are divided."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Files = dict[str, Path]  # "data", "eval_data", "test_data"
SENTENCE = re.compile(r"(?:[^.!?]|[.!?](?=\S))+[.!?]*\s*")  # "3.5" does not end one
CONJNLI_ROWS, CONJNLI_HELD_OUT = 8000, 1000


@dataclass(frozen=True)
class DataSet:
    """A data set and how a small model is trained on it.

    Attributes:
        title: for the page.
        task: a name of `deberta_dual.finetuning.FINETUNE_TASKS`.
        prepare: takes the folder of data sets and one to write into; returns the files.
        metrics: of the test data, the ones shown.
        options: of the command, beyond those of all.
        note: what is learnt from what.
    """

    title: str
    task: str
    prepare: Callable[[Path, Path], Files]
    metrics: tuple[str, ...]
    note: str
    options: dict[str, Any] = field(default_factory=dict)


def _sst2(source: Path, target: Path) -> Files:
    parts = {"data": "train", "eval_data": "dev", "test_data": "test"}
    return {name: source / "sst2" / f"{part}_binary_sent.csv" for name, part in parts.items()}


def _conjnli(source: Path, target: Path) -> Files:
    """The test set has no labels, so that the development set takes its place, and training rows that of that one."""
    title, *lines = (source / "conjnli/adversarial_train_15k.tsv").read_text(encoding="utf-8-sig").splitlines()
    parts = {"data": lines[:CONJNLI_ROWS], "eval_data": lines[CONJNLI_ROWS:][:CONJNLI_HELD_OUT]}
    files = {name: target / f"{name}.tsv" for name in parts}
    for name, rows in parts.items():
        files[name].write_text("\n".join([title, *rows]) + "\n", encoding="utf-8")
    return {**files, "test_data": source / "conjnli/conj_dev.tsv"}


def _wnut17(source: Path, target: Path) -> Files:
    names = {"data": "wnut17train.conll", "eval_data": "emerging.dev.conll", "test_data": "emerging.test.annotated"}
    return {part: source / "wnut17" / name for part, name in names.items()}


def _xquad(source: Path, target: Path) -> Files:
    """The articles in turn: every other one is for the test."""
    articles = json.loads((source / "xquad/xquad.en.json").read_text(encoding="utf-8"))["data"]
    files = {"data": target / "train.json", "test_data": target / "test.json"}
    for first, file in enumerate(files.values()):
        file.write_text(json.dumps({"data": articles[first::2]}), encoding="utf-8")
    return files


def _piqa(source: Path, target: Path) -> Files:
    """The labels are in a file of their own; the first half of the rows is learnt from."""
    rows = [json.loads(line) for line in (source / "piqa/valid.jsonl").read_text(encoding="utf-8").splitlines()]
    labels = (source / "piqa/valid-labels.lst").read_text(encoding="utf-8").split()
    examples = [
        {"text": row["goal"].strip() or row["sol1"], "choices": [row["sol1"], row["sol2"]], "label": int(label)}
        for row, label in zip(rows, labels, strict=True)
        if row["goal"].strip() and row["sol1"].strip() and row["sol2"].strip()
    ]
    half = len(examples) // 2
    files = {"data": target / "train.jsonl", "test_data": target / "test.jsonl"}
    for file, part in zip(files.values(), (examples[:half], examples[half:]), strict=True):
        file.write_text("\n".join(map(json.dumps, part)) + "\n", encoding="utf-8")
    return files


def _piqa_pairs(source: Path, target: Path) -> Files:
    """The rows of PIQA with the way that leads to the goal alone."""
    files = {}
    for part, file in _piqa(source, target).items():
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        pairs = [{"text": row["text"], "positive": row["choices"][row["label"]]} for row in rows]
        files[part] = file.with_name(f"pairs-{file.name}")
        files[part].write_text("\n".join(map(json.dumps, pairs)) + "\n", encoding="utf-8")
    return files


def _xquad_sentences(source: Path, target: Path) -> Files:
    """The sentences of the paragraph of every question; 1 for the one in which the answer begins."""
    files = {}
    for part, file in _xquad(source, target).items():
        files[part] = file.with_name(f"sentences-{file.stem}.jsonl")
        rows = []
        for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                sentences = list(SENTENCE.finditer(paragraph["context"]))
                for question in paragraph["qas"]:
                    begins = question["answers"][0]["answer_start"]
                    rows += [
                        {
                            "query": question["question"],
                            "document": sentence.group().strip(),
                            "relevance": int(sentence.start() <= begins < sentence.end()),
                        }
                        for sentence in sentences
                    ]
        files[part].write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return files


def _shakespeare(source: Path, target: Path) -> Files:
    """A speech is a line; the last tenth, which is of other plays, is for the test."""
    text = (source.parent / "text/tinyshakespeare.txt").read_text(encoding="utf-8")
    speeches = [" ".join(speech.split()) for speech in text.split("\n\n")]
    cut = len(speeches) * 9 // 10
    files = {"data": target / "train.txt", "test_data": target / "test.txt"}
    for file, part in zip(files.values(), (speeches[:cut], speeches[cut:]), strict=True):
        file.write_text("\n".join(part) + "\n", encoding="utf-8")
    return files


DATA_SETS: dict[str, DataSet] = {
    "sst2": DataSet(
        "SST-2",
        "text-classification",
        _sst2,
        ("accuracy",),
        "whole sentences of film reviews, good or bad",
        {"columns": ["text=sentence"], "epochs": 3},
    ),
    "conjnli": DataSet(
        "ConjNLI",
        "text-classification",
        _conjnli,
        ("accuracy",),
        "does one sentence follow from another; training data made by rules, test data by people",
        {"columns": ["text=Premise", "text_pair=Hypothesis", "label=Label"], "epochs": 2},
    ),
    "wnut17": DataSet(
        "WNUT-17",
        "token-classification",
        _wnut17,
        ("f1",),
        "names in posts, of which the test has others than the training data",
        {"epochs": 6},
    ),
    "xquad": DataSet(
        "XQuAD",
        "question-answering",
        _xquad,
        ("f1", "exact_match"),
        "answers in paragraphs, from half of the articles for the other half",
        {"epochs": 6, "max_length": 256},
    ),
    "piqa": DataSet(
        "PIQA",
        "multiple-choice",
        _piqa,
        ("accuracy",),
        "which of two ways leads to a goal, from half of the rows for the other half",
        {"epochs": 5},
    ),
    "piqa_pairs": DataSet(
        "PIQA, pairs",
        "sentence-embeddings",
        _piqa_pairs,
        ("mrr@10", "recall@10"),
        "which of all ways belongs to a goal, by their vectors, from half of the rows for the other half",
        {"epochs": 10},
    ),
    "xquad_sentences": DataSet(
        "XQuAD, sentences",
        "ranking",
        _xquad_sentences,
        ("mrr@10", "ndcg@10"),
        "which sentence of a paragraph answers a question, from half of the articles for the other half",
        {"epochs": 3},
    ),
    "shakespeare": DataSet(
        "Tiny Shakespeare",
        "masked-lm",
        _shakespeare,
        ("perplexity",),
        "masked tokens of speeches, from nine tenths of the text for the last",
        {"epochs": 4, "max_length": 64, "learning_rate": 2e-3},
    ),
}
