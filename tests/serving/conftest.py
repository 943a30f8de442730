"""Small models of every head, behind one server."""

from __future__ import annotations

import pytest

from deberta_core import DebertaV2Config

for needed in ("fastapi", "uvicorn", "prometheus_client", "httpx", "torch"):
    pytest.importorskip(needed)

HEADS = {
    "classes": ("SequenceClassification", {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}),
    "ranks": ("SequenceClassification", {"num_labels": 1}),
    "names": ("TokenClassification", {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}),
    "reader": ("QuestionAnswering", {}),
    "words": ("MaskedLM", {}),
    "vectors": ("Model", {}),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory, small_tokenizer):
    """A folder for each of `HEADS`."""
    import torch

    import deberta_torch

    made = {}
    for name, (head, fields) in HEADS.items():
        torch.manual_seed(len(name))
        config = DebertaV2Config(
            vocab_size=len(small_tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            position_buckets=8,
            pos_att_type=("p2c", "c2p"),
            share_att_key=True,
            position_biased_input=False,
            max_position_embeddings=64,
            **fields,
        )
        made[name] = tmp_path_factory.mktemp("served") / name
        cls = "DebertaV2Model" if head == "Model" else f"DebertaV2For{head}"
        getattr(deberta_torch, cls)(config).save_pretrained(made[name])
        small_tokenizer.save_pretrained(made[name])
    return made
