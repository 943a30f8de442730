"""The reference on DeBERTa v1, talking heads and the task heads, against plain loops and hand-made layouts."""

import numpy as np
import pytest

from conformance.suite.cases import CASES, LABEL_SETTINGS, TASK_NAMES, random_inputs, random_params, task_inputs
from conformance.suite.compare import assert_close
from deberta_core import InputError, reference

OWN = "encoder.layer.0.attention.self"
V1 = [name for name, case in CASES.items() if case.config.model_type == "deberta"]


def scoped(params):
    return reference.Scope({name: value.astype(float) for name, value in params.items()})


def forward(config, params, task=None, dtype=np.float64, **inputs):
    return reference.forward(config, params, inputs, task, dtype=dtype)


def attention_scope(params):
    prefix = f"{OWN}."
    return scoped({name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)})


# The fused projection


@pytest.mark.parametrize("name", ["v1_like", "v1_head_size"])
def test_rows_of_the_fused_projection(name):
    """Per head: D rows of the query, D of the key, D of the value; biases for query and value only."""
    config = CASES[name].config
    heads, size = config.num_attention_heads, config.head_size
    scope = attention_scope(random_params(config, None))
    weight = scope["in_proj.weight"]
    hidden = np.random.default_rng(0).standard_normal((2, 3, config.hidden_size))
    query, key, value = reference.content(config, scope, hidden)
    assert query.shape == key.shape == value.shape == (2, 3, heads * size)
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        first = 3 * size * head
        rows = [weight[first + part * size : first + (part + 1) * size] for part in range(3)]
        parts = [hidden @ part.T for part in rows]
        expected = [parts[0] + scope["q_bias"][own], parts[1], parts[2] + scope["v_bias"][own]]
        for kind, actual, wanted in zip("qkv", (query, key, value), expected, strict=True):
            assert_close(actual[..., own], wanted, quantity="hidden", name=f"{kind} of head {head}")


def test_other_layouts_of_the_fused_projection_would_show():
    """All queries first, as a plain fused layer has it, gives other hidden states."""
    config = CASES["v1_like"].config
    params = random_params(config, None)
    ids = np.arange(9)[None]
    before = forward(config, params, input_ids=ids)["last_hidden_state"]
    heads, size = config.num_attention_heads, config.head_size
    for layer in range(config.num_hidden_layers):
        name = f"encoder.layer.{layer}.attention.self.in_proj.weight"
        params[name] = params[name].reshape(heads, 3, size, -1).swapaxes(0, 1).reshape(params[name].shape)
    assert np.abs(forward(config, params, input_ids=ids)["last_hidden_state"] - before).max() > 0.1


@pytest.mark.parametrize("bias", ["q_bias", "v_bias"])
def test_both_biases_are_read(bias):
    config = CASES["v1_like"].config.replace(num_hidden_layers=1)
    params = random_params(config, None)
    ids = np.arange(9)[None]
    before = forward(config, params, input_ids=ids)
    params[f"{OWN}.{bias}"] = params[f"{OWN}.{bias}"] + 1
    after = forward(config, params, input_ids=ids)
    assert np.abs(after["last_hidden_state"] - before["last_hidden_state"]).max() > 0.05
    assert np.array_equal(after["attentions.0"], before["attentions.0"]) == (bias == "v_bias")


def test_v1_equals_v2_with_the_projections_taken_apart():
    """Without terms of relative positions the two versions differ in the layout only; the key's bias is 0."""
    v1 = CASES["v1_like"].config.replace(relative_attention=False, pos_att_type=None)
    v2 = CASES["v2_no_terms"].config.replace(relative_attention=False)
    params = random_params(v1, None)
    apart = {name: value for name, value in params.items() if ".attention.self." not in name}
    for layer in range(v1.num_hidden_layers):
        own = f"encoder.layer.{layer}.attention.self"
        rows = params[f"{own}.in_proj.weight"].reshape(v1.num_attention_heads, 3, v1.head_size, -1)
        for part, name in enumerate(("query_proj", "key_proj", "value_proj")):
            apart[f"{own}.{name}.weight"] = rows[:, part].reshape(v1.all_heads_size(0), -1)
        apart[f"{own}.query_proj.bias"] = params[f"{own}.q_bias"]
        apart[f"{own}.key_proj.bias"] = np.zeros_like(params[f"{own}.q_bias"])
        apart[f"{own}.value_proj.bias"] = params[f"{own}.v_bias"]
    inputs = random_inputs(v1, 9)
    one = forward(v1, params, **inputs)["last_hidden_state"]
    other = forward(v2, apart, **inputs)["last_hidden_state"]
    assert_close(one, other, quantity="hidden", name="v1 as v2")


# Positions and talking heads


def test_position_terms_of_v1():
    """Element by element, the table unnormalised: `pos_proj` without bias for c2p, `pos_q_proj` with bias for p2c."""
    config = CASES["v1_short_span"].config.replace(num_hidden_layers=1)
    params = random_params(config, None)
    scope = attention_scope(params)
    outputs = forward(config, params, input_ids=np.arange(12)[None])
    query, key, _ = reference.content(config, scope, outputs["hidden_states.0"])
    table = params["encoder.rel_embeddings.weight"].astype(float)
    pos_key = table @ scope["pos_proj.weight"].T
    pos_query = table @ scope["pos_q_proj.weight"].T + scope["pos_q_proj.bias"]
    size, scale = config.head_size, 1 / np.sqrt(config.head_size * 3)
    for head, i, j in [(0, 0, 0), (1, 3, 1), (2, 1, 3), (3, 11, 0), (0, 0, 11)]:
        own = slice(head * size, (head + 1) * size)
        row = min(max(i - j + 5, 0), 9)
        c2p, p2c = (outputs[f"scores.0.{term}"][0, head, i, j] for term in ("c2p", "p2c"))
        assert c2p == pytest.approx(scale * query[0, i, own] @ pos_key[row, own])
        assert p2c == pytest.approx(scale * key[0, j, own] @ pos_query[row, own])


def test_heads_are_mixed_as_the_specification_says():
    """Scores before the mask, probabilities after it; what is reported is what multiplies the values."""
    config = CASES["v1_talking_head"].config.replace(num_hidden_layers=1)
    params = random_params(config, None)
    scope = attention_scope(params)
    mask = np.array([[0, 1, 1, 1, 1, 0]])
    outputs = forward(config, params, input_ids=np.arange(6)[None], attention_mask=mask)
    scores = sum(outputs[f"scores.0.{term}"] for term in ("content", "c2p", "p2c"))
    before, after = (scope[f"head_{kind}_proj.weight"] for kind in ("logits", "weights"))
    mixed = np.stack([sum(before[g, h] * scores[0, h] for h in range(4)) for g in range(4)])
    weights = np.exp(mixed) * mask[0]
    weights /= weights.sum(axis=-1, keepdims=True)
    expected = np.stack([sum(after[g, h] * weights[h] for h in range(4)) for g in range(4)])
    assert_close(outputs["attentions.0"][0], expected, quantity="attentions", name="mixed")
    assert not outputs["attentions.0"][..., mask[0] == 0].any()


def test_mixing_with_the_identity_changes_nothing():
    config = CASES["v1_talking_head"].config
    params = random_params(config, None)
    for name in params:
        if name.split(".")[-2].startswith("head_"):
            params[name] = np.eye(4, dtype=np.float32)
    inputs = random_inputs(config, 9)
    plain = {name: value for name, value in params.items() if ".head_" not in name}
    mixed, expected = forward(config, params, **inputs), forward(config.replace(talking_head=False), plain, **inputs)
    assert_close(mixed["last_hidden_state"], expected["last_hidden_state"], quantity="hidden", name="identity")


# Heads


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("name", ["v1_like", "v1_embedding_ne_hidden", "v2_embedding_ne_hidden"])
def test_masked_lm_by_hand(name, legacy):
    config = CASES[name].config.replace(legacy=legacy, hidden_act="relu")
    params = random_params(config, "masked_lm")
    scope = scoped(params)
    outputs = forward(config, params, "masked_lm", input_ids=np.arange(5)[None])
    start = "cls.predictions" if legacy else "lm_predictions.lm_head"
    inner = f"{start}.transform" if legacy else start
    hidden = outputs[f"hidden_states.{config.num_hidden_layers}"][0, 3]
    values = np.maximum(scope[f"{inner}.dense.weight"] @ hidden + scope[f"{inner}.dense.bias"], 0)
    values = (values - values.mean()) / np.sqrt(values.var() + config.layer_norm_eps)
    values = values * scope[f"{inner}.LayerNorm.weight"] + scope[f"{inner}.LayerNorm.bias"]
    expected = scope["deberta.embeddings.word_embeddings.weight"] @ values + scope[f"{start}.bias"]
    assert outputs["logits"].shape == (1, 5, 97)
    assert_close(outputs["logits"][0, 3], expected, quantity="logits", name=name)


@pytest.mark.parametrize("name", ["v1_like", "v2_conv"])
def test_choices_are_texts_of_their_own(name):
    """The logits are those of every choice alone, in every form of input."""
    config = CASES[name].config.replace(num_labels=1)
    params = random_params(config, "multiple_choice")
    inputs = task_inputs(config, "multiple_choice", "choices", 7)
    labels = inputs.pop("labels")
    outputs = forward(config, params, "multiple_choice", **inputs, labels=labels)
    assert outputs["logits"].shape == (3, 4)
    for text in range(3):
        alone = forward(
            config, params, "sequence_classification", **{key: value[text] for key, value in inputs.items()}
        )
        assert_close(outputs["logits"][text], alone["logits"][:, 0], quantity="logits", name=f"text {text}")
    chosen = np.exp(outputs["logits"])[np.arange(3), labels] / np.exp(outputs["logits"]).sum(axis=1)
    assert float(outputs["loss"]) == pytest.approx(-np.log(chosen).mean())
    mask = inputs["attention_mask"]
    wide = np.broadcast_to(mask[:, :, None], (3, 4, 7, 7))
    for form in (wide, wide[:, :, None]):
        again = forward(config, params, "multiple_choice", **inputs | {"attention_mask": form})
        assert_close(again["logits"], outputs["logits"], quantity="logits", name=f"mask of rank {form.ndim}")
    with pytest.raises(InputError, match=r"input_ids has shape \(4, 7\): multiple choice"):
        forward(config, params, "multiple_choice", **{key: value[0] for key, value in inputs.items()})


@pytest.mark.parametrize("dtype", ["float16", "float32", "longdouble"])
@pytest.mark.parametrize("task", TASK_NAMES[1:])
@pytest.mark.parametrize("name", ["v1_like", "v1_talking_head", "v3_like"])
def test_the_dtype_stays_in_every_task(name, task, dtype):
    setting, changes = next(iter(LABEL_SETTINGS[task].items()))
    config = CASES[name].config.replace(**changes)
    outputs = forward(config, random_params(config, task), task, dtype, **task_inputs(config, task, setting, 7))
    assert {key for key, value in outputs.items() if value.dtype != np.dtype(dtype)} == set()
    assert all(np.isfinite(value).all() for value in outputs.values())


@pytest.mark.parametrize("task", TASK_NAMES)
@pytest.mark.parametrize("name", V1)
def test_the_side_of_padding_does_not_matter(name, task):
    config = CASES[name].config.replace(
        position_biased_input=False, mlm_decoder="plain"
    )  # positions count from the left edge
    if task == "multiple_choice":
        config = config.replace(num_labels=1)
    params = random_params(config, task)
    ids = np.random.default_rng(0).integers(1, config.vocab_size, (1, 9))
    alone = forward(config, params, task, input_ids=ids[:, None] if task == "multiple_choice" else ids)
    for side in ((4, 0), (2, 2)):
        padded, mask = (np.pad(array, ((0, 0), side)) for array in (ids, np.ones_like(ids)))
        if task == "multiple_choice":
            padded, mask = padded[:, None], mask[:, None]
        outputs = forward(config, params, task, input_ids=padded, attention_mask=mask)
        for key in {"logits", "start_logits", "end_logits", "last_hidden_state"} & set(alone):
            values = outputs[key]
            if values.shape != alone[key].shape:
                values = values[:, side[0] : side[0] + 9]
            quantity = "hidden" if key == "last_hidden_state" else "logits"
            assert_close(values, alone[key], quantity=quantity, name=f"{key} {side}")
