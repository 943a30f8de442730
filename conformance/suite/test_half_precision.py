"""float16 with queries, keys and relative positions of element size 40: no score overflows, and little is lost."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.suite.adapters import FRAMEWORKS, ReferenceAdapter
from conformance.suite.cases import CASES, random_params
from conformance.suite.compare import assert_close, at_real_positions, output_scale
from conformance.suite.report import record

SIZE = 40.0  # of an element; as in trained checkpoints, whose scores overflow unless the scale is folded in before
TOKENS = 6
TASK = "sequence_classification"
SIZES = {
    "vocab_size": TOKENS + 1,
    "hidden_size": 128,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
}
CONFIGS = {name: CASES[name].config.replace(**SIZES) for name in ("v1_like", "v3_like")}
HALVES = [("torch", "float16"), ("keras", "float16"), ("keras", "mixed_float16")]
LARGEST = float(np.finfo(np.float16).max)


# Seeds 0 to 4 were measured for the bound. In the sixth, two scores of v1 are nearly tied and float16 picks the other
# key: no bound on values holds there, and none is claimed.
def stress_params(config, seed=0):
    """Weights where a token's query is its key, and its relative position the token: all three terms reach |q|^2."""
    params = {name: value.astype(np.float64) for name, value in random_params(config, TASK, seed).items()}
    width, size = config.hidden_size, config.head_size
    generator = np.random.default_rng(seed)
    words = params["deberta.embeddings.word_embeddings.weight"]
    for name in params:
        if name.endswith("LayerNorm.weight"):
            params[name][:] = SIZE
        if name.endswith("LayerNorm.bias") or ("self" in name and "bias" in name):
            params[name][:] = 0
    rows = words[1 + np.arange(config.table_rows) % TOKENS]  # the norm of the table makes of it what it makes of tokens
    if not config.normalizes_table:
        rows = SIZE * (rows - rows.mean(-1, keepdims=True)) / rows.std(-1, keepdims=True)
    params["deberta.encoder.rel_embeddings.weight"] = rows
    for layer in range(config.num_hidden_layers):
        own = f"deberta.encoder.layer.{layer}.attention.self."
        shared = np.linalg.qr(generator.standard_normal((width, width)))[0]  # a rotation keeps the size of elements
        if f"{own}in_proj.weight" in params:
            fused = params[f"{own}in_proj.weight"].reshape(config.num_attention_heads, 3, size, width)
            fused[:, 0] = fused[:, 1] = shared.reshape(config.num_attention_heads, size, width)
            names, biased = ("pos_proj", "pos_q_proj"), "pos_q_proj"
        else:
            names, biased = ("query_proj", "key_proj"), "query_proj"
        # Breaks the symmetry of the three terms, by which two keys could have the same score but for rounding.
        params[f"{own}{biased}.bias"] = SIZE / 4 * generator.standard_normal(width)
        params |= {f"{own}{name}.weight": shared for name in names}
    return {name: value.astype(np.float16).astype(np.float32) for name, value in params.items()}


def stress_inputs(seed=0):
    generator = np.random.default_rng(seed)
    mask = np.arange(12)[None] < np.array([[12], [9], [5]])
    return {"input_ids": np.where(mask, generator.integers(1, TOKENS + 1, mask.shape), 0), "attention_mask": mask}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_case_overflows_where_the_scale_comes_late(name):
    """Content, content-to-position and position-to-content, each before its scale, and in every layer."""
    config = CONFIGS[name]
    outputs = ReferenceAdapter(config, TASK, stress_params(config)).forward(stress_inputs())
    scale = 1 / np.sqrt(3 * config.head_size)
    assert np.abs(outputs["hidden_states.0"]).mean() > SIZE / 2
    for term in ("content", "c2p", "p2c"):
        scores = outputs[f"scores.0.{term}"]
        assert np.abs(scores).max() / scale > LARGEST, term
        assert np.abs(scores).max() < LARGEST / 3, term
    assert np.abs(outputs["scores.1.content"]).max() / scale > LARGEST


@pytest.mark.parametrize(("framework", "dtype"), HALVES)
@pytest.mark.parametrize("name", CONFIGS)
def test_scores_do_not_overflow(name, framework, dtype):
    config, inputs = CONFIGS[name], stress_inputs()
    params = stress_params(config)
    expected = ReferenceAdapter(config, TASK, params).forward(inputs)
    outputs = FRAMEWORKS[framework](config, TASK, params, dtype).forward(inputs)
    worst = 0.0
    for output, values in outputs.items():
        assert np.isfinite(values).all(), output
        actual, judge = (
            at_real_positions(output, side, inputs["attention_mask"]) for side in (values, expected[output])
        )
        error = assert_close(actual, judge, quantity="half", name=output, scale=output_scale("logits", judge))
        worst = max(worst, error)
    record(f"{name} {dtype}, elements of 40", framework, {"half": worst})
