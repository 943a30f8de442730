"""What the clients of PyTorch share: texts, and a tiny v3 model with its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import deberta_torch
from deberta_core import DebertaV2Tokenizer

TEXTS = [
    "The trout went first, then the herons.",
    "In the end the people who had lived from fishing left Port Louis for Paris.",
    "Anna Weber wrote it down; nobody read it.",
    "Where is the river? It is behind the mill.",
]
LABELS = [0, 1, 1, 0]
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
V3: dict[str, Any] = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ("c2p", "p2c"),
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "max_position_embeddings": 128,
}


def make(kind: str = "ForSequenceClassification", **fields: Any) -> tuple[Any, Any]:
    """A v3 model of a kind with the same random weights each time, in evaluation mode, and a tokenizer."""
    torch.manual_seed(0)
    tokenizer = DebertaV2Tokenizer.train(TEXTS, vocab_size=300, hard_vocab_limit=False)
    config = deberta_torch.DebertaV2Config(vocab_size=len(tokenizer), initializer_range=0.3, **SIZES, **V3, **fields)
    return getattr(deberta_torch, f"DebertaV2{kind}")(config).eval(), tokenizer


def batch_of(tokenizer: Any, texts: Sequence[str] = TEXTS) -> dict[str, torch.Tensor]:
    """Texts, padded; each `[B, L]`."""
    return dict(tokenizer(list(texts), padding=True, return_tensors="pt"))
