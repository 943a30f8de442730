"""The named cases: small configurations that each switch something on, and inputs for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig, DebertaV2Config
from deberta_core.parameters import DENSE, EMBEDDING, NORM_SCALE, expand
from deberta_core.tasks import TASKS

Array = npt.NDArray[Any]

_V3_LIKE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "position_buckets": 8,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration and the length of its texts."""

    name: str
    config: BaseConfig
    length: int = 17


def _v2(name: str, length: int = 17, **changes: Any) -> Case:
    return Case(name, DebertaV2Config(**_V3_LIKE | changes), length)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        _v2("v3_like"),
        _v2("v2_conv", conv_kernel_size=3, conv_act="gelu"),
        _v2("v2_conv_groups", conv_kernel_size=5, conv_groups=4),
        _v2("v2_unshared", share_att_key=False),
        _v2("v2_unshared_c2p", share_att_key=False, pos_att_type="c2p"),
        _v2("v2_c2p", pos_att_type="c2p"),
        _v2("v2_p2c", pos_att_type="p2c"),
        _v2("v2_no_terms", pos_att_type=None),
        _v2("v2_no_buckets", position_buckets=-1, norm_rel_ebd="none"),
        _v2("v2_short_span", position_buckets=-1, max_relative_positions=5),
        _v2("v2_no_relative", relative_attention=False, position_biased_input=True),
        _v2("v2_absolute_types", position_biased_input=True, type_vocab_size=3),
        _v2("v2_embedding_ne_hidden", embedding_size=24),
        _v2("v2_odd_width", hidden_size=30, num_attention_heads=3, intermediate_size=41),
        _v2("v2_head_size", attention_head_size=5, num_attention_heads=3),
        _v2("v2_padding_id", pad_token_id=7),
        _v2("v2_gelu_new", hidden_act="gelu_new", pooler_hidden_act="tanh"),
        _v2("v2_gelu_fast", hidden_act="gelu_fast", pooler_hidden_act="relu"),
        _v2("v2_silu", hidden_act="silu", pooler_hidden_act="sigmoid"),
        _v2("v2_mish", hidden_act="mish", pooler_hidden_act="linear"),
        _v2("v2_one_token", length=1),
        _v2("v2_long", length=150, num_hidden_layers=2),
    )
}

# Label settings per task: what the configuration adds, and how labels are drawn.
LABEL_SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "sequence_classification": {
        "single": {"num_labels": 3, "problem_type": "single_label_classification"},
        "multi": {"num_labels": 4, "problem_type": "multi_label_classification"},
        "regression": {"num_labels": 1, "problem_type": "regression"},
        "inferred_regression": {"num_labels": 1},
        "inferred_single": {"num_labels": 3},
        "soft": {"num_labels": 3},
    },
}
TASK_NAMES = (None, *TASKS)


def random_params(config: BaseConfig, task: str | None, seed: int = 0) -> dict[str, Array]:
    """Parameters of a lively model, where attention is far from uniform: float32, by PyTorch name."""
    generator = np.random.default_rng(seed)
    params = {}
    for name, parameter in expand(config, task).items():
        values = generator.standard_normal(parameter.shape)
        if parameter.kind is NORM_SCALE:
            values = 1 + 0.2 * values
        elif len(parameter.shape) == 1:
            values = 0.2 * values
        elif parameter.kind is not EMBEDDING:
            values = values / np.sqrt(np.prod(parameter.shape[1:])) * (1.5 if parameter.kind is DENSE else 1.0)
        params[name] = values.astype(np.float32)
    return params


def padding_mask(batch: int, length: int, side: str = "right") -> Array:
    """A mask `[B, L]` of texts of different lengths, the first one whole; `side` is "right", "left" or "none"."""
    lengths = [max(1, length - row * max(1, length // (batch + 1))) for row in range(batch)]
    if side == "none":
        lengths = [length] * batch
    mask = np.arange(length)[None] < np.array(lengths)[:, None]
    return (mask[:, ::-1] if side == "left" else mask).astype(np.int64)


def random_inputs(
    config: BaseConfig, length: int, seed: int = 0, batch: int = 3, side: str = "right"
) -> dict[str, Array]:
    """Token ids, a mask with padding, and what else the configuration reads."""
    generator = np.random.default_rng(seed)
    mask = padding_mask(batch, length, side)
    ids = generator.integers(0, config.vocab_size, (batch, length))
    inputs = {"input_ids": np.where(mask == 1, ids, config.pad_token_id), "attention_mask": mask}
    if config.type_vocab_size:
        inputs["token_type_ids"] = generator.integers(0, config.type_vocab_size, (batch, length))
    if config.position_biased_input:
        inputs["position_ids"] = generator.integers(0, config.max_position_embeddings, (batch, length))
    return inputs


def random_labels(config: BaseConfig, task: str, setting: str, batch: int, seed: int = 0) -> dict[str, Array]:
    """Labels of a task for one of its `LABEL_SETTINGS`; one single label is ignored."""
    generator = np.random.default_rng(seed)
    count = config.num_labels or 2
    draws = {
        "single": lambda: np.where(np.arange(batch) == 1, -100, generator.integers(0, count, batch)),
        "multi": lambda: generator.integers(0, 2, (batch, count)).astype(np.float32),
        # Far from the logits: near them the gradient is a difference of almost equal numbers.
        "regression": lambda: (10 + generator.standard_normal(batch)).astype(np.float32),
        "soft": lambda: generator.dirichlet(np.ones(count), batch).astype(np.float32),
    }
    assert task == "sequence_classification"
    return {"labels": draws[setting.removeprefix("inferred_")]()}
