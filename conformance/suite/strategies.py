"""The only home of Hypothesis strategies: configurations and inputs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from conformance.suite.cases import Case
from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.config_rules import ACTIVATIONS, POSITION_TERMS
from deberta_core.tasks import TASKS

seeds = st.integers(0, 2**31 - 1)
sides = st.sampled_from(("right", "left", "none"))
tasks = st.sampled_from(tuple(TASKS))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A small configuration of either version with any combination of switches, and a text length."""
    heads = draw(st.integers(2, 4), label="heads")
    head_size = draw(st.integers(4, 8), label="head_size")
    hidden = heads * head_size if draw(st.booleans(), label="plain_heads") else draw(st.integers(8, 32), label="hidden")
    layers = draw(st.integers(1, 3), label="layers")
    gone = st.sets(st.integers(0, heads - 1), min_size=1, max_size=heads - 1)
    pruned = draw(st.dictionaries(st.integers(0, layers - 1), gone, max_size=2), label="pruned")
    shared: dict[str, Any] = {
        "vocab_size": draw(st.integers(5, 40), label="vocabulary"),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "attention_head_size": head_size,
        "pruned_heads": pruned,
        "intermediate_size": draw(st.integers(1, 32), label="intermediate"),
        "embedding_size": draw(st.none() | st.integers(4, 12), label="embedding"),
        "hidden_act": draw(st.sampled_from(ACTIVATIONS), label="act"),
        "pooler_hidden_act": draw(st.sampled_from(ACTIVATIONS), label="pooler_act"),
        "max_position_embeddings": draw(st.integers(24, 64), label="positions"),
        "type_vocab_size": draw(st.integers(0, 3), label="types"),
        "pad_token_id": draw(st.integers(0, 4), label="padding"),
        "position_biased_input": draw(st.booleans(), label="absolute"),
        "relative_attention": draw(st.booleans(), label="relative"),
        "pos_att_type": draw(st.lists(st.sampled_from(POSITION_TERMS), unique=True), label="terms"),
        "num_labels": draw(st.integers(1, 4), label="labels"),
        "legacy": draw(st.booleans(), label="legacy"),
        # A LayerNorm over a few numbers may divide by any small deviation and so amplify rounding without limit; with
        # this eps the yardstick of the wide models holds.
        "layer_norm_eps": 1e-3,
    }
    length = draw(st.integers(1, 24), label="length")
    enhanced = draw(st.booleans(), label="enhanced")
    if draw(st.booleans(), label="v1"):
        own: dict[str, Any] = {
            "talking_head": not pruned and draw(st.booleans(), label="talking"),
            "max_relative_positions": draw(st.just(-1) | st.integers(1, 40), label="distance"),
        }
        return Case("random v1", _decoded(DebertaConfig(**shared, **own), enhanced), length)
    kernel = draw(st.sampled_from((0, 1, 3, 5)), label="kernel")
    divisors = [groups for groups in range(1, hidden + 1) if hidden % groups == 0]
    buckets = draw(st.sampled_from((-1, 4, 6, 8, 14)), label="buckets")
    own = {
        "conv_act": draw(st.sampled_from(ACTIVATIONS), label="conv_act"),
        "conv_kernel_size": kernel,
        "conv_groups": draw(st.sampled_from(divisors), label="groups") if kernel else 1,
        "max_relative_positions": draw(st.just(-1) | st.integers(1, 40), label="distance"),
        "position_buckets": buckets,
        "share_att_key": draw(st.booleans(), label="shared"),
        "norm_rel_ebd": draw(st.sampled_from(("none", "layer_norm")), label="norm"),
    }
    return Case("random v2", _decoded(DebertaV2Config(**shared, **own), enhanced), length)


def _decoded(config: BaseConfig, enhanced: bool) -> BaseConfig:
    """With the enhanced decoder of masked LM, where that is drawn and the other switches allow it."""
    return config.replace(mlm_decoder="enhanced") if enhanced and config.can_enhance_decoder else config
