"""What has to be ready before a step of pretraining: this library's masks and rows, without a framework."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core import AutoTokenizer
from deberta_core.collation.masker import Masker
from deberta_dual.pretraining.rows import RowMaker
from deberta_dual.pretraining.training import PretrainingOptions
from tools.benchmark.inputs import Batches

Settings = dict[str, Any]
Call = Callable[[], Any]


def masks(settings: Settings, batches: Batches) -> Call:
    """Masks of the ids of a step."""
    (_, masker), ids = _made(settings), batches.ids[0].astype(np.int32)
    return lambda: masker(ids, epoch=0, rows=np.arange(len(ids)))


def rows(settings: Settings, batches: Batches) -> Call:
    """As many tokens of real text as a step has: tokenized, packed and masked."""
    tokenizer, masker = _made(settings)
    texts: list[str] = []
    left = batches.ids[0].size
    for text in re.split(r"\n\s*\n", Path(settings["text"]).read_text(encoding="utf-8")):
        if left > 0 and text.strip():
            texts.append(text)
            left -= len(tokenizer(text)["input_ids"])
    make = RowMaker(tokenizer, masker, "documents", batches.ids[0].shape[1])
    return lambda: make(texts, 0, 0)


def _made(settings: Settings) -> tuple[Any, Masker]:
    tokenizer = AutoTokenizer.from_pretrained(settings["v3"])
    return tokenizer, Masker(tokenizer, PretrainingOptions(objective=settings["objective"]).batches().rule)


SUBJECTS = {"masks": masks, "rows": rows}
