"""A whole model as an ONNX graph, built from its configuration and parameters alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, one_of
from deberta_core.reference.arrays import Scope
from deberta_core.tasks import BACKBONE_PREFIX, task_spec
from deberta_dual.exporting.encoder_graph import Inputs, encode, enhanced_decoder
from deberta_dual.exporting.head_graphs import HEADS, POOLINGS, embedding
from deberta_dual.exporting.nodes import STORAGES, Nodes
from deberta_dual.version import own_version

OPSETS = (20, 21, 22)  # the first has Gelu; the operators are the same in all
OPSET = OPSETS[0]
IR_VERSION = 10  # that of the releases which brought these
IDS = {"int64": TensorProto.INT64, "int32": TensorProto.INT32}
# The axes of every output.
_AXES = {
    "last_hidden_state": ("batch", "length", "hidden"),
    "start_logits": ("batch", "length"),
    "end_logits": ("batch", "length"),
    "sentence_embedding": ("batch", "hidden"),
}
LOGITS = "logits"
OUTPUTS = (LOGITS, *_AXES)
_LOGITS = {
    "masked_lm": ("batch", "length", "vocabulary"),
    "token_classification": ("batch", "length", "labels"),
    "replaced_token": ("batch", "length"),
    "multiple_choice": ("batch", "choices"),
}


def build_graph(
    config: BaseConfig,
    params: Mapping[str, NDArray[Any]],
    task: str | None = None,
    *,
    storage: str = "float32",
    ids: str = "int64",
    pooling: str | None = None,
    normalize: bool = False,
    opset: int = OPSET,
    takes_places: bool = False,
) -> ModelProto:
    """Builds the graph of a model in evaluation mode.

    Its inputs are `input_ids` and `attention_mask` `[B, L]` (`[B, N, L]` of multiple choice) and, where the model has
    token types, `token_type_ids`; B and L are free. Its outputs have the names of the models' own, the main one first.
    Weights of linear layers are initializers `[in, out]`, each with one MatMul at the top level, so that any quantizer
    finds them; the position rows of every layer are folded into one constant.

    Args:
        config: the model's configuration.
        params: checkpoint names to arrays in PyTorch's layout; backbone names with or without the prefix `deberta.`.
        task: a name of `deberta_core.tasks.TASKS`; None is the backbone.
        storage: of weights: "float32", "float16", "bfloat16" or "int8", see `Nodes`; computed is in float32.
        ids: type of the inputs, "int64" or "int32".
        pooling: of the backbone: also returns `sentence_embedding [B, C]`, as the first output; "cls", "mean" or "max".
        normalize: whether that vector is divided by its length.
        opset: of `OPSETS`.
        takes_places: of masked LM: a further input `places [M, 2]`, row and token, at which alone there are logits
            `[M, V]`; of other tasks it changes nothing.

    Raises:
        InputError: an argument is not allowed.
        MissingName: a parameter is missing.
    """
    spec = task_spec(task)
    for name, value, allowed in (("storage", storage, STORAGES), ("ids", ids, IDS)):
        if value not in allowed:
            raise InputError(one_of(name, value, tuple(allowed)))
    if opset not in OPSETS:
        raise InputError(f"opset={opset} is not one of {', '.join(map(str, OPSETS))}. Use {OPSET}.")
    if pooling is not None and pooling not in POOLINGS:
        raise InputError(one_of("pooling", pooling, POOLINGS))
    if pooling is not None and spec.head_modules:
        raise InputError(f"pooling={pooling!r} is of the backbone, not of task={spec.name!r}. Leave one of them out.")
    scope = Scope({name.removeprefix(BACKBONE_PREFIX): np.asarray(value) for name, value in params.items()})
    nodes = Nodes(storage)
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if config.type_vocab_size else [])]
    axes = ["batch", "choices", "length"] if spec.folds_choices else ["batch", "length"]
    infos = [helper.make_tensor_value_info(name, IDS[ids], axes) for name in names]
    shape = nodes.op("Slice", nodes.op("Shape", "input_ids"), nodes.numbers(0), nodes.numbers(2))
    folded = [_folded(nodes, name) for name in names] if spec.folds_choices else names
    decodes = spec.scores_words and config.enhances_decoder
    encoded = encode(nodes, config, scope, Inputs(*folded, *[None] * (3 - len(folded))), skips_last=decodes)
    if decodes:
        encoded = enhanced_decoder(nodes, scope, encoded)
    if takes_places and spec.scores_words:
        infos.append(helper.make_tensor_value_info("places", TensorProto.INT64, ["places", 2]))
        encoded = replace(encoded, hidden=nodes.op("GatherND", encoded.hidden, "places"))
    outputs = HEADS[spec.name if spec.head_modules else None](nodes, config, scope, encoded)
    if spec.folds_choices:
        outputs["logits"] = nodes.op("Reshape", outputs["logits"], shape)
    if pooling is not None:
        outputs = {"sentence_embedding": embedding(nodes, encoded, pooling, normalize), **outputs}
    shown = []
    for name, value in outputs.items():
        nodes.op("Identity", value, name=name)
        own = _AXES.get(name) or _LOGITS.get(spec.name, ("batch", "labels"))
        own = ("places", "vocabulary") if takes_places and spec.scores_words else own
        shown.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, own))
    return helper.make_model(
        nodes.graph("deberta", infos, shown),
        producer_name="deberta-dual",
        producer_version=own_version(),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSION,
    )


def _folded(nodes: Nodes, name: str) -> str:
    """`[B, N, L] -> [B * N, L]`."""
    length = nodes.op("Slice", nodes.op("Shape", name), nodes.numbers(2), nodes.numbers(3))
    return str(nodes.op("Reshape", name, nodes.op("Concat", nodes.numbers(-1), length, axis=0)))
