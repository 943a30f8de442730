"""How all folders of tokenizers are read."""

from __future__ import annotations

from pathlib import Path
from random import Random

from deberta_core.auto import AutoTokenizer

_TEXTS = (
    "The heron waits.",
    "  naïve café — 東京 😀 ",
    "[MASK] <new> two words [SEP] <s1>",
    "a" * 300,
    "\u0130ΣΑΣ\u200b\t\n",
)


def read_tokenizer(folder: Path, random: Random) -> None:
    """Loads a tokenizer, encodes and decodes with it, saves it and loads it again."""
    tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=random.random() < 0.7)
    batch = tokenizer(list(_TEXTS), padding=True, truncation=True, max_length=48, return_offsets_mapping=True)
    for row in batch["input_ids"]:
        tokenizer.decode(row, skip_special_tokens=random.random() < 0.5)
    tokenizer(_TEXTS[0], _TEXTS[2])
    tokenizer.tokenize(_TEXTS[1])
    tokenizer.save_pretrained(folder / "again")
    type(tokenizer).from_pretrained(folder / "again")(_TEXTS[2])
