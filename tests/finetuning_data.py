"""Small files of real sentences for every task of fine-tuning, and a model that learns them in a second."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deberta_dual.finetuning import Start

# Every switch of v3, small; dropout is off where two runs are compared.
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 32,
    "max_position_embeddings": 96,
    "position_buckets": 8,
    "initializer_range": 0.1,
}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def write_examples(folder: Path, task: str, prose: Sequence[str]) -> Path:
    """Writes a file of examples whose labels follow from their sentences."""
    make = {
        "text-classification": _classified,
        "token-classification": _tagged,
        "question-answering": _asked,
        "multiple-choice": _chosen,
        "ranking": _ranked,
        "masked-lm": _plain,
        "sentence-embeddings": _halved,
        "reward": _preferred,
    }[task]
    file = folder / f"{task}.jsonl"
    lines = (json.dumps(make(number, text, prose)) for number, text in enumerate(prose))
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def small_start(folder: Path, tokenizer: Any, **changes: Any) -> Start:
    """A small model of v3's kind with fresh weights and this vocabulary."""
    if not folder.exists():
        tokenizer.save_pretrained(folder)
    return Start(preset="deberta-v3-small", changes={**SIZES, **changes}, tokenizer=str(folder))


def _classified(number: int, text: str, prose: Sequence[str]) -> dict[str, Any]:
    return {"text": text, "text_pair": prose[number - 1], "label": ("long", "short", "even")[len(text) % 3]}


def _tagged(number: int, text: str, prose: Sequence[str]) -> dict[str, Any]:
    words = text.split()
    return {"words": words, "labels": ["B-name" if word[0].isupper() else "O" for word in words]}


def _asked(number: int, text: str, prose: Sequence[str]) -> dict[str, Any]:
    answer = text.split()[number % 4 + 1]
    answers = [{"text": answer, "answer_start": text.index(answer)}] if number % 5 else []
    return {"question": "What comes behind the first word?", "context": text, "answers": answers}


def _chosen(number: int, text: str, prose: Sequence[str]) -> dict[str, Any]:
    first, rest = text[: len(text) // 2], text[len(text) // 2 :]
    choices = [rest, prose[number - 1], prose[number - 2]]
    return {"text": first, "choices": choices[number % 3 :] + choices[: number % 3], "label": -number % 3}


def _ranked(number: int, text: str, prose: Sequence[str]) -> dict[str, Any]:
    query = prose[number - number % 3].split()[-1]
    return {"query": f"{query} {number // 3}", "document": text, "relevance": float(len(text) % 3 == 0)}


def _plain(number: int, text: str, prose: Sequence[str]) -> dict[str, Any]:
    return {"text": text}


def _halved(number: int, text: str, prose: Sequence[str]) -> dict[str, Any]:
    words = text.split()
    return {"anchor": " ".join(words[::2]), "positive": " ".join(words[1::2])}


def _preferred(number: int, text: str, prose: Sequence[str]) -> dict[str, Any]:
    words = text.split()
    return {"prompt": words[0], "chosen": " ".join(words[1:]), "rejected": " ".join(words[:0:-1])}
