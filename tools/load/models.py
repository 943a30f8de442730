"""Checkpoints of random weights: what they answer means nothing, how fast and how steadily they do is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
_NAMES = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}


def small_models(folder: Path, texts: list[str]) -> list[Path]:
    """Three small models with a vocabulary trained on the texts: classes, names, words."""
    from deberta_core.tokenization import DebertaV2Tokenizer

    tokenizer = DebertaV2Tokenizer.train(texts, 2000, model_max_length=512)
    heads: dict[str, tuple[str, dict[str, Any]]] = {
        "classes": ("SequenceClassification", {"num_labels": 3}),
        "names": ("TokenClassification", _NAMES),
        "words": ("MaskedLM", {}),
    }
    for name, (head, fields) in heads.items():
        _save(folder / name, head, tokenizer, **_SMALL, **fields)
    return [folder / name for name in heads]


def base_model(folder: Path, layers: int, tokenizer_folder: Path | None, texts: list[str]) -> Path:
    """A classifier of v3-base's shape with fewer layers.

    Args:
        folder: where it is saved.
        layers: how many.
        tokenizer_folder: of the published vocabulary; None: one of 8000 is trained on the texts.
        texts: to train it on.
    """
    from deberta_core.tokenization import DebertaV2Tokenizer

    if tokenizer_folder is None:
        tokenizer = DebertaV2Tokenizer.train(texts, 8000, model_max_length=512)
    else:
        tokenizer = DebertaV2Tokenizer.from_pretrained(tokenizer_folder)
    return _save(folder, "SequenceClassification", tokenizer, num_hidden_layers=layers, num_labels=3)


def _save(folder: Path, head: str, tokenizer: Any, **fields: Any) -> Path:
    import torch

    import deberta_torch

    torch.manual_seed(0)
    config = deberta_torch.DebertaV2Config.preset("deberta-v3-base", vocab_size=len(tokenizer), **fields)
    getattr(deberta_torch, f"DebertaV2For{head}")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
