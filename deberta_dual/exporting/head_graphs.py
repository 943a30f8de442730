"""The task heads as ONNX operators (NUMERICS 6)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.reference.arrays import Scope
from deberta_dual.exporting.encoder_graph import Encoded, activation, norm
from deberta_dual.exporting.nodes import Nodes

Outputs = dict[str, str]


def context_token(nodes: Nodes, encoded: Encoded) -> str:
    """The last hidden state of the first real token, `[B, C]`."""
    first = nodes.op("ArgMax", encoded.mask, axis=1, keepdims=1)  # [B, 1]
    return str(nodes.op("GatherND", encoded.hidden, first, batch_dims=1))


def backbone(nodes: Nodes, config: BaseConfig, scope: Scope, encoded: Encoded) -> Outputs:
    """`last_hidden_state [B, L, C]`."""
    return {"last_hidden_state": encoded.hidden}


def sequence_classification(nodes: Nodes, config: BaseConfig, scope: Scope, encoded: Encoded) -> Outputs:
    """`logits [B, N]`."""
    dense = scope / "pooler" / "dense"
    pooled = nodes.linear(context_token(nodes, encoded), "pooler.dense", dense["weight"], dense["bias"])
    pooled = activation(nodes, config.pooler_hidden_act, pooled)
    return {"logits": _classifier(nodes, scope, pooled)}


def token_classification(nodes: Nodes, config: BaseConfig, scope: Scope, encoded: Encoded) -> Outputs:
    """`logits [B, L, N]`."""
    return {"logits": _classifier(nodes, scope, encoded.hidden)}


def question_answering(nodes: Nodes, config: BaseConfig, scope: Scope, encoded: Encoded) -> Outputs:
    """`start_logits` and `end_logits` `[B, L]`."""
    own = scope / "qa_outputs"
    both = nodes.linear(encoded.hidden, "qa_outputs", own["weight"], own["bias"])
    parts = nodes.split(both, 2, (1, 1))
    start, end = (nodes.op("Squeeze", part, nodes.numbers(2)) for part in parts)
    return {"start_logits": start, "end_logits": end}


def masked_lm(nodes: Nodes, config: BaseConfig, scope: Scope, encoded: Encoded) -> Outputs:
    """`logits [B, L, V]`."""
    name = "cls.predictions" if config.legacy else "lm_predictions.lm_head"
    head = scope / name
    inner = f"{name}.transform" if config.legacy else name
    transform = head / "transform" if config.legacy else head
    dense = transform / "dense"
    values = nodes.linear(encoded.hidden, f"{inner}.dense", dense["weight"], dense["bias"])
    values = activation(nodes, config.hidden_act, values)
    values = norm(nodes, config, values, f"{inner}.LayerNorm", transform / "LayerNorm")
    words = nodes.weight("embeddings.word_embeddings.weight", (scope / "embeddings" / "word_embeddings")["weight"])
    logits = nodes.op("MatMul", values, nodes.transpose(words, 1, 0))
    return {"logits": nodes.op("Add", logits, nodes.weight(f"{name}.bias", head["bias"]))}


def replaced_token(nodes: Nodes, config: BaseConfig, scope: Scope, encoded: Encoded) -> Outputs:
    """`logits [B, L]`, above 0 where a token was replaced."""
    name = "mask_predictions"
    head = scope / name
    context = nodes.op("Unsqueeze", context_token(nodes, encoded), nodes.numbers(1))
    values = norm(nodes, config, nodes.op("Add", encoded.hidden, context), f"{name}.LayerNorm", head / "LayerNorm")
    dense, last = head / "dense", head / "classifier"
    values = nodes.linear(values, f"{name}.dense", dense["weight"], dense["bias"])
    values = activation(nodes, config.hidden_act, values)
    logits = nodes.linear(values, f"{name}.classifier", last["weight"], last["bias"])
    return {"logits": nodes.op("Squeeze", logits, nodes.numbers(2))}


def _classifier(nodes: Nodes, scope: Scope, values: str) -> str:
    own = scope / "classifier"
    return nodes.linear(values, "classifier", own["weight"], own["bias"])


Head = Callable[[Nodes, BaseConfig, Scope, Encoded], Outputs]
# Task -> its head; None is the backbone. Multiple choice scores folded texts, `[B * N, 1]`.
HEADS: dict[str | None, Head] = {
    None: backbone,
    "masked_lm": masked_lm,
    "sequence_classification": sequence_classification,
    "token_classification": token_classification,
    "question_answering": question_answering,
    "multiple_choice": sequence_classification,
    "replaced_token": replaced_token,
}
POOLINGS = ("cls", "mean", "max")


def embedding(nodes: Nodes, encoded: Encoded, pooling: str, normalize: bool) -> str:
    """A vector of each text, `[B, C]`: the context token's, or the mean or maximum over real tokens."""
    if pooling == "cls":
        vector = context_token(nodes, encoded)
    else:
        row = nodes.op("Unsqueeze", encoded.mask, nodes.numbers(2))  # [B, L, 1]
        one = nodes.constant(np.array(1, dtype=np.float32))
        if pooling == "mean":
            total = nodes.op("ReduceSum", nodes.op("Mul", encoded.hidden, row), nodes.numbers(1), keepdims=0)
            count = nodes.op("ReduceSum", encoded.mask, nodes.numbers(1), keepdims=1)
            vector = nodes.op("Div", total, nodes.op("Max", count, one))
        else:
            low = nodes.op("Mul", nodes.op("Sub", one, row), nodes.constant(np.array(-1e9, dtype=np.float32)))
            vector = nodes.op("ReduceMax", nodes.op("Add", encoded.hidden, low), nodes.numbers(1), keepdims=0)
    return str(nodes.op("LpNormalization", vector, axis=-1, p=2)) if normalize else vector
