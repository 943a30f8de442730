"""The rules a configuration obeys, as a table: which field, what is allowed, and how to mend it."""

from __future__ import annotations

import dataclasses
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from deberta_core.errors import shown
from deberta_core.limits import LIMITS, bound

ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "relu", "silu", "swish", "tanh", "sigmoid", "mish", "linear")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
POSITION_TERMS = ("c2p", "p2c")
MLM_DECODERS = ("plain", "enhanced")
NOT_SET = -1

# Other values that files hold in a field, and the one that means the same here.
SPELLINGS: dict[str, dict[Any, Any]] = {
    "pad_token_id": {None: 0},
    "pooler_dropout": {None: 0.0},
    **{name: {"gelu_pytorch_tanh": "gelu_new"} for name in ("hidden_act", "pooler_hidden_act", "conv_act")},
}

Check = Callable[[Any], bool]


def _integer(least: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(allowed: Check) -> Check:
    # Of an int with hundreds of digits there is no float.
    return lambda value: (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
        and allowed(value)
    )


def _size(limit: str, least: int = 1) -> tuple[Check, str]:
    """The rule of a count with a bound."""
    return (
        lambda value: _integer(least)(value) and value <= bound(limit),
        f"an integer from {least} to {LIMITS[limit].most}, the bound of {limit} in deberta_core.limits",
    )


def _size_or_null(limit: str, null: str) -> tuple[Check, str]:
    check, allowed = _size(limit)
    return _optional(check), f"{allowed}, or null for {null}"


def _name(allowed: tuple[str, ...]) -> Check:
    return lambda value: isinstance(value, str) and value in allowed


def _heads(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_integer(0), value))


def _are(of: type, values: Iterable[Any]) -> bool:
    return all(isinstance(value, of) for value in values)


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


_PROBABILITY = (_number(lambda value: 0 <= value < 1), "a probability in [0, 1)")
_FLAG = (lambda value: isinstance(value, bool), "true or false")
_ACTIVATION = (_name(ACTIVATIONS), f"one of {', '.join(ACTIVATIONS)}")
_POSITION = (
    lambda value: _size("distance", NOT_SET)[0](value) and value != 0,
    f"{_size('distance')[1]}, or -1 for not set",
)

# field: (check of its value alone, what is allowed). A field a config class does not have is passed over.
FIELD_RULES: dict[str, tuple[Check, str]] = {
    "vocab_size": _size("vocabulary"),
    "hidden_size": _size("width"),
    "num_hidden_layers": _size("layers"),
    "num_attention_heads": _size("heads"),
    "intermediate_size": _size("width"),
    "max_position_embeddings": _size("distance"),
    "conv_groups": _size("width"),
    "num_labels": _size_or_null("labels", "as many as id2label names"),
    "embedding_size": _size_or_null("width", "hidden_size"),
    "attention_head_size": _size_or_null("width", "hidden_size / num_attention_heads"),
    "type_vocab_size": _size("token_types", least=0),
    "pad_token_id": (_integer(0), "an integer of at least 0"),
    "conv_kernel_size": (
        lambda value: _size("width", 0)[0](value) and (value == 0 or value % 2 == 1),
        "an odd integer (of at most the bound of width in deberta_core.limits), or 0 for no convolution",
    ),
    "max_relative_positions": _POSITION,
    "position_buckets": _POSITION,
    "hidden_dropout_prob": _PROBABILITY,
    "attention_probs_dropout_prob": _PROBABILITY,
    "pooler_dropout": _PROBABILITY,
    "cls_dropout": (_optional(_PROBABILITY[0]), "a probability in [0, 1), or null for hidden_dropout_prob"),
    "initializer_range": (_number(lambda value: value >= 0), "a number of at least 0"),
    "layer_norm_eps": (_number(lambda value: value > 0), "a number above 0"),
    "hidden_act": _ACTIVATION,
    "pooler_hidden_act": _ACTIVATION,
    "conv_act": _ACTIVATION,
    "position_biased_input": _FLAG,
    "relative_attention": _FLAG,
    "share_att_key": _FLAG,
    "talking_head": _FLAG,
    "legacy": _FLAG,
    "mlm_decoder": (_name(MLM_DECODERS), f"one of {', '.join(MLM_DECODERS)}"),
    "output_attentions": _FLAG,
    "output_hidden_states": _FLAG,
    "return_dict": _FLAG,
    "pruned_heads": (
        lambda value: isinstance(value, dict) and all(map(_integer(0), value)) and all(map(_heads, value.values())),
        "a mapping of layer numbers to lists of head numbers, all from 0",
    ),
    "pos_att_type": (
        lambda value: isinstance(value, tuple) and len(set(value)) == len(value) and set(value) <= set(POSITION_TERMS),
        'each of "c2p" and "p2c" at most once (p2p, position-to-position, was never used by a published model)',
    ),
    "norm_rel_ebd": (
        lambda value: isinstance(value, str) and set(value.split("|")) <= {"none", "layer_norm"},
        '"none" or "layer_norm"',
    ),
    "problem_type": (_optional(_name(PROBLEM_TYPES)), f"null or one of {', '.join(PROBLEM_TYPES)}"),
    "id2label": (
        _optional(lambda value: isinstance(value, dict) and _are(int, value) and _are(str, value.values())),
        "a mapping of label numbers to names",
    ),
    "label2id": (
        _optional(lambda value: isinstance(value, dict) and _are(str, value) and _are(int, value.values())),
        "a mapping of label names to numbers",
    ),
}

# (fields it reads, is it kept, the mend): rules about several fields, checked once each field alone is right.
JOINT_RULES: tuple[tuple[tuple[str, ...], Check, str], ...] = (
    (
        ("hidden_size", "num_attention_heads"),
        lambda c: c.attention_head_size is not None or c.hidden_size % c.num_attention_heads == 0,
        "hidden_size must be divisible by num_attention_heads: choose a multiple, or set attention_head_size.",
    ),
    (
        ("pruned_heads", "num_hidden_layers"),
        lambda c: all(layer < c.num_hidden_layers for layer in c.pruned_heads),
        "pruned_heads must name layers below num_hidden_layers.",
    ),
    (
        ("pruned_heads", "num_attention_heads"),
        lambda c: all(head < c.num_attention_heads for heads in c.pruned_heads.values() for head in heads),
        "pruned_heads must name heads below num_attention_heads.",
    ),
    (
        ("pruned_heads", "num_attention_heads"),
        lambda c: all(len(heads) < c.num_attention_heads for heads in c.pruned_heads.values()),
        "pruned_heads must leave every layer at least one head.",
    ),
    (
        ("pruned_heads", "talking_head"),
        lambda c: not c.pruned_heads or not c.mixes_heads,
        "pruned_heads must be empty with talking heads: every head mixes into every other, so that none can be left "
        "out.",
    ),
    (
        ("pad_token_id", "vocab_size"),
        lambda c: c.pad_token_id < c.vocab_size,
        "pad_token_id must be below vocab_size.",
    ),
    (
        ("hidden_size", "conv_groups"),
        lambda c: not c.conv_kernel_size or c.hidden_size % c.conv_groups == 0,
        "hidden_size must be divisible by conv_groups.",
    ),
    (
        ("mlm_decoder", "position_biased_input"),
        lambda c: c.mlm_decoder == "plain" or not c.position_biased_input,
        "the enhanced decoder is where positions come in, so position_biased_input must be false with it: choose one.",
    ),
    (
        ("mlm_decoder", "embedding_size", "hidden_size"),
        lambda c: c.mlm_decoder == "plain" or c.embedding_width == c.hidden_size,
        "the enhanced decoder adds rows of the position table to hidden states, so embedding_size must be hidden_size.",
    ),
    (
        ("mlm_decoder", "num_hidden_layers", "conv_kernel_size"),
        lambda c: c.mlm_decoder == "plain" or c.num_hidden_layers > 1 or not c.conv_kernel_size,
        "the enhanced decoder would leave out the convolution of the only layer: take two layers, or no convolution.",
    ),
    (
        ("position_buckets",),
        lambda c: not c.relative_attention or not c.buckets or (c.buckets % 2 == 0 and c.buckets >= 4),
        "position_buckets must be even and at least 4: the logarithmic buckets are not defined otherwise.",
    ),
    (
        ("num_labels", "id2label"),
        lambda c: sorted(c.id2label) == list(range(c.num_labels)),
        "id2label must name the labels 0 to num_labels - 1, each once: give one of the two, or make them agree.",
    ),
)


def label_fields(num_labels: Any, id2label: Any, label2id: Any) -> dict[str, Any]:
    """The three label fields, each that is None made from the others; 2 labels where all are.

    Numbers and names become `int` and `str`, since JSON's keys are strings. What cannot be read is left as it is, for
    the rules to name.
    """
    if isinstance(label2id, Mapping):
        label2id = _converted(label2id, str, int)
    if isinstance(id2label, Mapping):
        id2label = _converted(id2label, int, str)
    elif id2label is None and label2id is not None:
        id2label = _inverted(label2id)
    elif id2label is None:
        count = 2 if num_labels is None else num_labels
        if isinstance(count, int) and 0 < count <= bound("labels"):
            id2label = {index: f"LABEL_{index}" for index in range(count)}
    if id2label is not None:
        label2id = _inverted(id2label) if label2id is None else label2id
        num_labels = len(id2label) if num_labels is None and isinstance(id2label, dict) else num_labels
    return {"num_labels": num_labels, "id2label": id2label, "label2id": label2id}


def usual_spelling(config: Any, name: str) -> Any:
    """The value of a field of `SPELLINGS`, by the spelling that is used here."""
    value = getattr(config, name)
    return SPELLINGS[name].get(value, value) if isinstance(value, str | None) else value


def head_numbers(pruned_heads: Any) -> Any:
    """Pruned heads as layer numbers to sorted tuples of head numbers, layers without any left out.

    Layer numbers may be strings, since JSON's keys are. What cannot be read is left as it is, for the rules to name.
    """
    if pruned_heads is None:
        return {}
    try:
        read = {
            int(layer) if isinstance(layer, str) else operator.index(layer): tuple(
                sorted(set(map(operator.index, heads)))
            )
            for layer, heads in pruned_heads.items()
        }
    except (AttributeError, TypeError, ValueError):
        return pruned_heads
    return {layer: heads for layer, heads in sorted(read.items()) if heads}


def violations(config: Any) -> list[str]:
    """Every rule a configuration breaks, as sentences; an empty list where all is well."""
    names = {field.name for field in dataclasses.fields(config)}
    broken = list(_broken_fields(config, names))
    return broken or list(_broken_joints(config, names))


def _converted(labels: Mapping[Any, Any], key: Callable[[Any], Any], value: Callable[[Any], Any]) -> dict[Any, Any]:
    try:
        return {key(left): value(right) for left, right in labels.items()}
    except (TypeError, ValueError, OverflowError):
        return dict(labels)


def _inverted(labels: Any) -> dict[Any, Any] | None:
    """The mapping the other way round; None where a rule is broken."""
    if not isinstance(labels, dict) or not all({type(name) for name in pair} == {int, str} for pair in labels.items()):
        return None
    return {right: left for left, right in labels.items()}


def _broken_fields(config: Any, names: set[str]) -> Iterator[str]:
    for name, (check, allowed) in FIELD_RULES.items():
        if name in names and not check(getattr(config, name)):
            yield f"{name}={shown(getattr(config, name))} is not allowed: it must be {allowed}."


def _broken_joints(config: Any, names: set[str]) -> Iterator[str]:
    for fields, check, mend in JOINT_RULES:
        if names.issuperset(fields) and not check(config):
            values = ", ".join(f"{name}={shown(getattr(config, name))}" for name in fields)
            yield f"{values}: {mend}"
