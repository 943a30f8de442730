"""THE parameter table: every parameter's published name, shape, kind, condition and foreign names.

The canonical name is the published PyTorch one with the backbone's prefix `deberta.`; a bare model has the same names
without the prefix. Keras and Hugging Face TensorFlow names, and the layout of the arrays there, follow from the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig
from deberta_core.tasks import BACKBONE_PREFIX, task_spec

Array = npt.NDArray[Any]


# By the model's type, the layers that get a low-rank adapter where none are named, as PEFT chooses them.
ADAPTED = {"deberta": ("in_proj",), "deberta-v2": ("query_proj", "value_proj")}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter is: its last name in Keras, and whether its axes are reversed there.

    Reversing covers both layouts that differ: dense `[out, in] <-> [in, out]` and convolution
    `[out, in / groups, k] <-> [k, in / groups, out]`; it is its own inverse.
    """

    keras_leaf: str
    reversed_axes: bool = False

    def convert(self, array: Array) -> Array:
        """The array in the other framework's layout, either way; a view."""
        return array.transpose() if self.reversed_axes else array

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in the other framework's layout, either way."""
        return shape[::-1] if self.reversed_axes else shape


EMBEDDING = Kind("embeddings")
DENSE = Kind("kernel", reversed_axes=True)
CONVOLUTION = Kind("kernel", reversed_axes=True)
BIAS = Kind("bias")
NORM_SCALE = Kind("gamma")
NORM_SHIFT = Kind("beta")
VECTOR = Kind("")  # a variable that bears its own name in Keras


def _has_own_projection(config: BaseConfig, term: str) -> bool:
    own = config.model_type == "deberta-v2" and not config.shares_position_projections
    return own and term in config.position_terms


# Named sizes of shapes; `i` is the number of the layer, None for a parameter outside the layers.
DIMENSIONS: dict[str, Callable[[BaseConfig, Any], int]] = {
    "vocabulary": lambda c, i: c.vocab_size,
    "embedding": lambda c, i: c.embedding_width,
    "hidden": lambda c, i: c.hidden_size,
    "all_heads": lambda c, i: c.all_heads_size(i),
    "intermediate": lambda c, i: c.intermediate_size,
    "positions": lambda c, i: c.max_position_embeddings,
    "types": lambda c, i: c.type_vocab_size,
    "table_rows": lambda c, i: c.table_rows,
    "kernel": lambda c, i: c.convolution_kernel,
    "group_width": lambda c, i: c.hidden_size // c.convolution_groups,
    "labels": lambda c, i: c.num_labels or 2,
    "heads": lambda c, i: c.heads_in(i),
    "fused_heads": lambda c, i: 3 * c.all_heads_size(i),
    "one": lambda c, i: 1,
    "two": lambda c, i: 2,
}

# When a row is there. A task's rows are chosen by `Row.tasks`.
CONDITIONS: dict[str, Callable[[BaseConfig], bool]] = {
    "always": lambda c: True,
    "absolute_positions": lambda c: c.position_biased_input,
    "enhanced_decoder": lambda c: c.enhances_decoder,
    "token_types": lambda c: c.type_vocab_size > 0,
    "projected_embeddings": lambda c: c.embedding_width != c.hidden_size,
    "relative": lambda c: c.relative_attention,
    "normalized_table": lambda c: c.normalizes_table,
    "convolution": lambda c: c.convolution_kernel > 0,
    "v1": lambda c: c.model_type == "deberta",
    "v2": lambda c: c.model_type == "deberta-v2",
    "v1_position_key": lambda c: c.model_type == "deberta" and "c2p" in c.position_terms,
    "v1_position_query": lambda c: c.model_type == "deberta" and "p2c" in c.position_terms,
    "v2_position_key": lambda c: _has_own_projection(c, "c2p"),
    "v2_position_query": lambda c: _has_own_projection(c, "p2c"),
    "talking_heads": lambda c: c.mixes_heads,
    "legacy_head": lambda c: c.legacy,
    "new_head": lambda c: not c.legacy,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter pattern.

    Attributes:
        name: canonical name, `{i}` for the layer number.
        kind: what it is.
        shape: names of `DIMENSIONS`.
        when: a name of `CONDITIONS`.
        tasks: the tasks whose heads it belongs to; empty for the backbone.
        tf: the end of its name in Hugging Face's tf_model.h5 where the rule does not give it.
        aliases: other canonical names under which files hold it; of several in one file all must be equal.
        left_over: whether published files hold it even if a model of their configuration does not use it.
    """

    name: str
    kind: Kind
    shape: tuple[str, ...]
    when: str = "always"
    tasks: tuple[str, ...] = ()
    tf: str | None = None
    aliases: tuple[str, ...] = ()
    left_over: bool = False


def _dense(name: str, out: str, inner: str, *, bias: bool = True, tf: str | None = None, **where: Any) -> Iterator[Row]:
    yield Row(f"{name}.weight", DENSE, (out, inner), tf=tf and f"{tf}/kernel", **where)
    if bias:
        yield Row(f"{name}.bias", BIAS, (out,), tf=tf and f"{tf}/bias", **where)


def _norm(name: str, width: str, **where: Any) -> Iterator[Row]:
    # The older spelling is that of the first converted BERT checkpoints.
    yield Row(f"{name}.weight", NORM_SCALE, (width,), aliases=(f"{name}.gamma",), **where)
    yield Row(f"{name}.bias", NORM_SHIFT, (width,), aliases=(f"{name}.beta",), **where)


_EMBEDDINGS = "deberta.embeddings"
_LAYER = "deberta.encoder.layer.{i}"
_SELF = f"{_LAYER}.attention.self"
_MASKED_LM = ("masked_lm",)
_REPLACED_TOKEN = ("replaced_token",)

ROWS: tuple[Row, ...] = (  # D3, D4
    # Hugging Face's TensorFlow classes made the word table by add_weight(name="weight"), the other two as "embeddings".
    Row(
        f"{_EMBEDDINGS}.word_embeddings.weight",
        EMBEDDING,
        ("vocabulary", "embedding"),
        tf="word_embeddings/weight",
        aliases=("cls.predictions.decoder.weight",),  # the tied decoder
    ),
    Row(
        f"{_EMBEDDINGS}.position_embeddings.weight",
        EMBEDDING,
        ("positions", "embedding"),
        when="absolute_positions",
        left_over=True,
    ),
    Row(  # the same table, read by the decoder alone
        f"{_EMBEDDINGS}.position_embeddings.weight",
        EMBEDDING,
        ("positions", "embedding"),
        when="enhanced_decoder",
        tasks=_MASKED_LM,
    ),
    Row(f"{_EMBEDDINGS}.token_type_embeddings.weight", EMBEDDING, ("types", "embedding"), when="token_types"),
    *_dense(f"{_EMBEDDINGS}.embed_proj", "hidden", "embedding", bias=False, when="projected_embeddings"),
    *_norm(f"{_EMBEDDINGS}.LayerNorm", "hidden"),
    # v1: the rows of in_proj are laid out per head, [q, k, v] of D rows each; no key bias.
    Row(f"{_SELF}.q_bias", VECTOR, ("all_heads",), when="v1"),
    Row(f"{_SELF}.v_bias", VECTOR, ("all_heads",), when="v1"),
    *_dense(f"{_SELF}.in_proj", "fused_heads", "hidden", bias=False, when="v1"),
    *_dense(f"{_SELF}.pos_proj", "all_heads", "hidden", bias=False, when="v1_position_key"),
    *_dense(f"{_SELF}.pos_q_proj", "all_heads", "hidden", when="v1_position_query"),
    *_dense(f"{_SELF}.head_logits_proj", "heads", "heads", bias=False, when="talking_heads"),
    *_dense(f"{_SELF}.head_weights_proj", "heads", "heads", bias=False, when="talking_heads"),
    *_dense(f"{_SELF}.query_proj", "all_heads", "hidden", when="v2"),
    *_dense(f"{_SELF}.key_proj", "all_heads", "hidden", when="v2"),
    *_dense(f"{_SELF}.value_proj", "all_heads", "hidden", when="v2"),
    # There the separate position projections carry v1's names.
    *_dense(f"{_SELF}.pos_key_proj", "all_heads", "hidden", when="v2_position_key", tf="pos_proj"),
    *_dense(f"{_SELF}.pos_query_proj", "all_heads", "hidden", when="v2_position_query", tf="pos_q_proj"),
    *_dense(f"{_LAYER}.attention.output.dense", "hidden", "all_heads"),
    *_norm(f"{_LAYER}.attention.output.LayerNorm", "hidden"),
    *_dense(f"{_LAYER}.intermediate.dense", "intermediate", "hidden"),
    *_dense(f"{_LAYER}.output.dense", "hidden", "intermediate"),
    *_norm(f"{_LAYER}.output.LayerNorm", "hidden"),
    # And a variable there is called "rel_embeddings.weight", with the dot.
    Row(
        "deberta.encoder.rel_embeddings.weight",
        EMBEDDING,
        ("table_rows", "hidden"),
        when="relative",
        tf="rel_embeddings.weight",
    ),
    *_norm("deberta.encoder.LayerNorm", "hidden", when="normalized_table", left_over=True),
    Row("deberta.encoder.conv.conv.weight", CONVOLUTION, ("hidden", "group_width", "kernel"), when="convolution"),
    Row("deberta.encoder.conv.conv.bias", BIAS, ("hidden",), when="convolution"),
    *_norm("deberta.encoder.conv.LayerNorm", "hidden", when="convolution"),
    Row(
        "cls.predictions.bias",
        VECTOR,
        ("vocabulary",),
        when="legacy_head",
        tasks=_MASKED_LM,
        aliases=("cls.predictions.decoder.bias",),
    ),
    *_dense("cls.predictions.transform.dense", "embedding", "hidden", when="legacy_head", tasks=_MASKED_LM),
    *_norm("cls.predictions.transform.LayerNorm", "embedding", when="legacy_head", tasks=_MASKED_LM),
    *_dense("lm_predictions.lm_head.dense", "embedding", "hidden", when="new_head", tasks=_MASKED_LM),
    *_norm("lm_predictions.lm_head.LayerNorm", "embedding", when="new_head", tasks=_MASKED_LM),
    Row("lm_predictions.lm_head.bias", VECTOR, ("vocabulary",), when="new_head", tasks=_MASKED_LM),
    *_dense("mask_predictions.dense", "hidden", "hidden", tasks=_REPLACED_TOKEN),
    *_norm("mask_predictions.LayerNorm", "hidden", tasks=_REPLACED_TOKEN),
    *_dense("mask_predictions.classifier", "one", "hidden", tasks=_REPLACED_TOKEN),
    *_dense("pooler.dense", "hidden", "hidden", tasks=("sequence_classification", "multiple_choice")),
    *_dense("classifier", "labels", "hidden", tasks=("sequence_classification", "token_classification")),
    *_dense("classifier", "one", "hidden", tasks=("multiple_choice",)),
    *_dense("qa_outputs", "two", "hidden", tasks=("question_answering",)),
)

# Tables -> what discriminators hold beside them or instead: the difference to the generator's (NUMERICS 8).
DELTA_NAMES = {
    f"{_EMBEDDINGS}.{table}.weight": f"{_EMBEDDINGS}.{table}._weight"
    for table in ("word_embeddings", "position_embeddings")
}
# What published files hold although a model of that configuration does not use it: parameters, and a buffer.
UNUSED_NAMES = frozenset(
    {f"{_EMBEDDINGS}.position_ids", *DELTA_NAMES.values(), *(row.name for row in ROWS if row.left_over)}
)
# Older beginnings of names -> what they are now, replaced in this order: of torch's DataParallel, and of Microsoft's
# first checkpoints.
OLD_PREFIXES = {"module.": "", "bert.": BACKBONE_PREFIX}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One concrete parameter of one model.

    Attributes:
        name: its PyTorch name in that model (bare models have no `deberta.`).
        canonical: its name in the table's spelling.
        kind: what it is, with the layout change.
        dimensions: names of its axes' sizes, of `DIMENSIONS`, in PyTorch's layout.
        layer: the number of its layer; None outside the layers.
        shape: in PyTorch's layout.
        keras_path: its path in our Keras model, without the model's own name.
        h5_path: its path in Hugging Face's tf_model.h5, without the model's own name.
        aliases: other canonical names of it.
    """

    name: str
    canonical: str
    kind: Kind
    dimensions: tuple[str, ...]
    layer: int | None
    shape: tuple[int, ...]
    keras_path: str
    h5_path: str
    aliases: tuple[str, ...]

    @property
    def keras_shape(self) -> tuple[int, ...]:
        """The shape in Keras' layout."""
        return self.kind.shape(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


def expand(config: BaseConfig, task: str | None) -> dict[str, Parameter]:
    """Every parameter of the model of `config` and `task` (None: the bare backbone), keyed by its name there.

    Backbone first, layers in order, then the head.

    Raises:
        InputError: no such task.
    """
    spec = task_spec(task)
    chosen = [row for row in ROWS if CONDITIONS[row.when](config) and (not row.tasks or spec.name in row.tasks)]
    parameters: dict[str, Parameter] = {}
    for layer, rows in _by_layer(chosen, config.num_hidden_layers):
        for row in rows:
            canonical = row.name.replace("{i}", str(layer))
            name = canonical if spec.head_modules else canonical.removeprefix(BACKBONE_PREFIX)
            parameters[name] = Parameter(
                name=name,
                canonical=canonical,
                kind=row.kind,
                dimensions=row.shape,
                layer=layer,
                shape=tuple(DIMENSIONS[size](config, layer) for size in row.shape),
                keras_path=_keras_path(name, row.kind),
                h5_path=_h5_path(canonical, row),
                aliases=tuple(alias.replace("{i}", str(layer)) for alias in row.aliases),
            )
    return parameters


def _by_layer(rows: list[Row], layers: int) -> Iterator[tuple[int | None, list[Row]]]:
    """Layer numbers and rows: those before the layers, those of each layer, those after."""
    numbered = [row for row in rows if "{i}" in row.name]
    first = rows.index(numbered[0])
    yield None, rows[:first]
    yield from ((number, numbered) for number in range(layers))
    yield None, [row for row in rows[first:] if row not in numbered]


def _keras_path(name: str, kind: Kind) -> str:
    parts = re.sub(r"\blayer\.(\d+)", r"layer_\1", name).split(".")
    return "/".join([*parts[:-1], kind.keras_leaf or parts[-1]])


def _h5_path(canonical: str, row: Row) -> str:
    parts = re.sub(r"\blayer\.(\d+)", r"layer_%_\1", canonical).split(".")
    parts = [part.replace("layer_%_", "layer_._") for part in parts]
    if row.tf is None:
        return "/".join([*parts[:-1], row.kind.keras_leaf or parts[-1]])
    depth = len(parts) - 2  # a tf entry stands for the last module and the leaf
    return "/".join([*parts[:depth], row.tf])
