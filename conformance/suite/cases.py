"""The named cases: small configurations that each switch something on, and inputs for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.parameters import DENSE, EMBEDDING, NORM_SCALE, expand
from deberta_core.tasks import BY_PROBLEM, POSITION, TASKS, LabelKind, task_spec

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

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


def _v1(name: str, length: int = 17, **changes: Any) -> Case:
    shared = {name: value for name, value in _V3_LIKE.items() if name in DebertaConfig.field_names()}
    return Case(name, DebertaConfig(**shared | {"relative_attention": True} | changes), length)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        _v1("v1_like"),
        _v1("v1_c2p", pos_att_type="c2p"),
        _v1("v1_p2c", pos_att_type="p2c"),
        _v1("v1_no_relative", relative_attention=False, position_biased_input=True),
        _v1("v1_absolute_types", position_biased_input=True, type_vocab_size=3),
        _v1("v1_embedding_ne_hidden", embedding_size=24),
        _v1("v1_head_size", attention_head_size=5, num_attention_heads=3),
        _v1("v1_talking_head", talking_head=True),
        _v1("v1_short_span", max_relative_positions=5),
        _v1("v1_long", length=150, num_hidden_layers=2),
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
        _v1("v1_pruned_heads", pruned_heads={0: [0, 2], 2: [3]}),
        _v1("v1_enhanced", mlm_decoder="enhanced"),
        _v2("v2_enhanced", mlm_decoder="enhanced"),
        _v2("v2_enhanced_conv", mlm_decoder="enhanced", conv_kernel_size=3, share_att_key=False),
        _v2("v2_enhanced_no_relative", mlm_decoder="enhanced", relative_attention=False),
        _v2("v2_enhanced_one_layer", mlm_decoder="enhanced", num_hidden_layers=1),
        _v2("v2_pruned_heads", share_att_key=False, pruned_heads={0: [1], 1: [0, 2, 3]}),
    )
}

# Label settings per task: what the configuration adds. Of several the last is what a checkpoint is measured with.
LABEL_SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "masked_lm": {"legacy": {"legacy": True}, "new": {"legacy": False}},
    "token_classification": {"tokens": {"num_labels": 5}},
    "replaced_token": {"replaced": {}},
    "question_answering": {"spans": {}},
    "multiple_choice": {"choices": {}},
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
    if config.position_biased_input or config.enhances_decoder:
        inputs["position_ids"] = generator.integers(0, config.max_position_embeddings, (batch, length))
    return inputs


CHOICES = 4


def folded_mask(inputs: Arrays) -> Array:
    """True at tokens that some query sees, `[B, L]`; texts of multiple choice are folded."""
    mask = inputs.get("attention_mask")
    if mask is None:
        return np.ones(next(iter(inputs.values())).shape[:2], bool)
    if "input_ids" in inputs and inputs["input_ids"].ndim == 3:
        mask = mask.reshape(-1, *mask.shape[2:])
    seen: Array = np.asarray(mask.astype(np.float32) != 0)
    return seen if seen.ndim == 2 else np.asarray(seen.any(axis=tuple(range(1, seen.ndim - 1))))


def task_inputs(
    config: BaseConfig,
    task: str,
    setting: str,
    length: int,
    seed: int = 0,
    side: str = "right",
    holes: bool = False,
) -> Arrays:
    """Inputs and labels of a task: 3 texts, or 3 times `CHOICES` for multiple choice; some labels are ignored.

    With `holes`, tokens inside the texts are masked too, the first of the second text among them.
    """
    if task_spec(task).folds_choices:
        inputs = random_inputs(config, length, seed, batch=3 * CHOICES, side=side)
        inputs = {name: values.reshape(3, CHOICES, length) for name, values in inputs.items()}
    else:
        inputs = random_inputs(config, length, seed, side=side)
    if holes:
        inputs["attention_mask"] = with_holes(inputs["attention_mask"])
    return inputs | random_labels(config, task, setting, inputs, seed)


def with_holes(mask: Array) -> Array:
    """The mask `[..., L]` with token 2 hidden in every text, and token 0 in every second one."""
    mask = mask.copy()
    mask[..., 2:3] = 0
    mask.reshape(-1, mask.shape[-1])[1::2, 0] = 0
    return mask


def random_labels(config: BaseConfig, task: str, setting: str, inputs: Arrays, seed: int = 0) -> Arrays:
    """Labels of a task for one of its `LABEL_SETTINGS`."""
    generator = np.random.default_rng(seed)
    count, mask = config.num_labels or 2, inputs["attention_mask"]
    batch, length = len(mask), mask.shape[-1]
    kinds = task_spec(task).labels
    if POSITION in kinds.values():
        # The context token, a position inside the shortest text, and one beyond the text, which is ignored.
        positions = np.array([0, max(0, length // 4), length])[:batch]
        return {name: positions[:: 1 - 2 * number].copy() for number, name in enumerate(kinds)}
    if BY_PROBLEM not in kinds.values():
        classes = {"labels": count, "vocabulary": config.vocab_size, "replaced": 2, "choices": mask.shape[1]}
        return {name: _classes(generator, kind, classes[kind.classes], mask) for name, kind in kinds.items()}
    draws = {
        "single": lambda: np.where(np.arange(batch) == 1, -100, generator.integers(0, count, batch)),
        "multi": lambda: generator.integers(0, 2, (batch, count)).astype(np.float32),
        # Far from the logits: near them the gradient is a difference of almost equal numbers.
        "regression": lambda: (10 + generator.standard_normal((batch, count)[: 1 + (count > 1)])).astype(np.float32),
        "soft": lambda: generator.dirichlet(np.ones(count), batch).astype(np.float32),
    }
    return {"labels": draws[setting.removeprefix("inferred_")]()}


def _classes(generator: np.random.Generator, kind: LabelKind, count: int, mask: Array) -> Array:
    if not kind.per_token:
        return generator.integers(0, count, len(mask))
    chosen = (mask == 1) & (generator.random(mask.shape) < 0.6)
    return np.where(chosen, generator.integers(0, count, mask.shape), -100)
