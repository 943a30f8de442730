"""Which places of which parameters stay, and what the reference computes with them."""

import numpy as np
import pytest

from conformance.suite.cases import CASES, random_inputs, random_params
from conformance.suite.compare import assert_close
from deberta_core import ConfigError, DebertaConfig, DebertaV2Config, InputError, reference
from deberta_core.checkpoint import load_weights, save_weights
from deberta_core.parameters import expand
from deberta_core.surgery import prune_heads, resize_vocabulary, trim_vocabulary
from deberta_core.tasks import TASKS

HEADS = {0: [1], 2: [3, 0]}
MODELS = ["v1_like", "v1_c2p", "v1_p2c", "v3_like", "v2_unshared", "v2_c2p", "v2_p2c", "v2_no_relative", "v2_conv"]


def operated(operation, params, task, fresh=0.0):
    """The changed parameters, new places filled with one number."""
    table = expand(operation.after, task)
    params = dict(params)
    for change in operation.changes(task):
        name = change.parameter.name
        params[name] = change.apply(params[name], np.full(table[name].shape, fresh, np.float32))
    return params


def without_heads(config, params, heads):
    """A backbone's parameters with what the heads' outputs are multiplied by set to zero."""
    params = {name: values.copy() for name, values in params.items()}
    for layer, numbers in heads.items():
        columns = params[f"encoder.layer.{layer}.attention.output.dense.weight"]
        for head in numbers:
            columns[:, head * config.head_size : (head + 1) * config.head_size] = 0
    return params


@pytest.mark.parametrize("name", MODELS)
def test_other_heads_compute_what_they_did(name):
    config, length = CASES[name].config, 11
    params, inputs = random_params(config, None), random_inputs(CASES[name].config, 11)
    operation = prune_heads(config, HEADS)
    pruned = reference.forward(operation.after, operated(operation, params, None), inputs)
    whole = reference.forward(config, without_heads(config, params, HEADS), inputs)
    assert_close(pruned["last_hidden_state"], whole["last_hidden_state"], quantity="hidden", name=name)
    for layer in range(config.num_hidden_layers):
        kept = list(operation.after.kept_heads(layer))
        assert pruned[f"attentions.{layer}"].shape == (3, len(kept), length, length)
        expected = whole[f"attentions.{layer}"][:, kept]
        assert_close(pruned[f"attentions.{layer}"], expected, quantity="attentions", name=f"{name} {layer}")


@pytest.mark.parametrize("name", ["v1_like", "v1_talking_head", "v2_unshared", "v2_conv", "v2_embedding_ne_hidden"])
@pytest.mark.parametrize("task", [None, *TASKS])
def test_shapes_are_those_of_the_changed_configuration(name, task):
    config = CASES[name].config
    operations = [resize_vocabulary(config, 130), trim_vocabulary(config, [config.pad_token_id, 9, 50])]
    operations += [] if config.mixes_heads else [prune_heads(config, {0: [1]})]
    for operation in operations:
        shapes = {key: values.shape for key, values in operated(operation, random_params(config, task), task).items()}
        assert shapes == {key: parameter.shape for key, parameter in expand(operation.after, task).items()}


def changed_names(operation, task):
    return {change.parameter.name: (change.axis, len(change.kept), change.fresh) for change in operation.changes(task)}


def test_what_pruning_changes():
    """In v1 32 places of a fused projection become 8 * 3 * 2; in layers that keep their heads nothing changes."""
    own = "encoder.layer.1.attention"
    assert changed_names(prune_heads(CASES["v1_like"].config, {1: [0, 2]}), None) == {
        f"{own}.self.q_bias": (0, 16, 0),
        f"{own}.self.v_bias": (0, 16, 0),
        f"{own}.self.in_proj.weight": (0, 48, 0),
        f"{own}.self.pos_proj.weight": (0, 16, 0),
        f"{own}.self.pos_q_proj.weight": (0, 16, 0),
        f"{own}.self.pos_q_proj.bias": (0, 16, 0),
        f"{own}.output.dense.weight": (1, 16, 0),
    }


@pytest.mark.parametrize(("legacy", "bias"), [(True, "cls.predictions.bias"), (False, "lm_predictions.lm_head.bias")])
def test_what_a_vocabulary_changes(legacy, bias):
    config = CASES["v3_like"].config.replace(legacy=legacy)
    words = "deberta.embeddings.word_embeddings.weight"
    assert changed_names(resize_vocabulary(config, 100), "masked_lm") == {words: (0, 97, 3), bias: (0, 97, 3)}
    assert changed_names(trim_vocabulary(config, [5, 0]), "masked_lm") == {words: (0, 2, 0), bias: (0, 2, 0)}
    assert changed_names(resize_vocabulary(config, None), "masked_lm") == {}
    assert changed_names(trim_vocabulary(config, range(97)), "masked_lm") == {}


def test_heads_keep_the_numbers_of_the_whole_model():
    config = CASES["v1_like"].config
    once = prune_heads(config, {0: [0, 2], 1: [1]})
    first = prune_heads(config, {0: [0], 1: [1]})
    second = prune_heads(first.after, {"0": [0, 2]})
    assert second.after == once.after
    assert second.after.pruned_heads == {0: (0, 2), 1: (1,)}
    params = random_params(config, None)
    in_one, in_two = operated(once, params, None), operated(second, operated(first, params, None), None)
    for name, values in in_one.items():
        np.testing.assert_array_equal(in_two[name], values)


@pytest.mark.parametrize("format", ["safetensors", "h5"])
@pytest.mark.parametrize("name", ["v1_pruned_heads", "v2_pruned_heads"])
def test_checkpoints_of_pruned_models(name, format, tmp_path):
    config, task = CASES[name].config, "sequence_classification"
    params = random_params(config, task)
    save_weights(tmp_path, config, task, params, format)
    config.save_pretrained(tmp_path)
    read = type(config).from_pretrained(tmp_path)
    assert read == config
    with load_weights(tmp_path, read, task) as loaded:
        for key, values in params.items():
            np.testing.assert_array_equal(loaded.weights[key], values)


def test_growing_then_shrinking_changes_nothing():
    config = CASES["v3_like"].config
    params = random_params(config, "masked_lm")
    grown = resize_vocabulary(config, 120, 64)
    assert grown.after.vocab_size == 128
    larger = operated(grown, params, "masked_lm", fresh=7.0)
    assert (larger["cls.predictions.bias"][97:] == 7).all()
    back = resize_vocabulary(grown.after, config.vocab_size)
    assert back.after == config
    for name, values in operated(back, larger, "masked_lm").items():
        np.testing.assert_array_equal(values, params[name])


def test_other_ids_of_the_configuration_are_renumbered():
    config = CASES["v3_like"].config.replace(
        extra={"bos_token_id": 8, "eos_token_id": 9, "mask_token_id": None, "x": 8}
    )
    trimmed = trim_vocabulary(config, np.array([8, 30, 0], np.int32)).after
    assert (trimmed.vocab_size, trimmed.pad_token_id) == (3, 2)
    assert trimmed.extra == {"bos_token_id": 0, "eos_token_id": None, "mask_token_id": None, "x": 8}


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({3: [0]}, "must name layers below num_hidden_layers"),
        ({0: [4]}, "must name heads below num_attention_heads"),
        ({0: [-1]}, "must be a mapping of layer numbers"),
        ([0], "must be a mapping of layer numbers"),
        ({0: [0, 1, 2, 3]}, "must leave every layer at least one head"),
        ({1: [0, 3]}, "must leave every layer at least one head"),
    ],
)
def test_heads_that_cannot_be_pruned(heads, message):
    config = CASES["v3_like"].config.replace(pruned_heads={1: [1, 2]})
    with pytest.raises(ConfigError, match=message):
        prune_heads(config, heads)


def test_mixed_heads_cannot_be_pruned():
    with pytest.raises(ConfigError, match="must be empty with talking heads"):
        prune_heads(DebertaConfig(talking_head=True), {0: [1]})


@pytest.mark.parametrize("multiple", [0, -8, 1.5, True, "8"])
def test_a_wrong_multiple_is_named(multiple):
    with pytest.raises(InputError, match=f"pad_to_multiple_of={multiple!r} is not a positive int"):
        resize_vocabulary(DebertaV2Config(), None, multiple)


@pytest.mark.parametrize(("size", "message"), [(0, "vocab_size=0"), (1.5, "vocab_size=1.5"), (3, "pad_token_id must")])
def test_a_wrong_size_is_named(size, message):
    with pytest.raises(ConfigError, match=message):
        resize_vocabulary(DebertaV2Config(pad_token_id=3), size)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2], "keep_ids lacks 0, the pad_token_id"),
        ([], "keep_ids is .* Give token ids"),
        ([0, 97, -1], "keep_ids holds -1, 97: ids are 0 to 96"),
        ([0, 5, 5, 6, 6], "keep_ids holds 5, 6 more than once"),
        ([0.0, 1.0], "keep_ids is .* Give token ids"),
        ([[0, 1]], "keep_ids is .* Give token ids"),
        ([True, False], "keep_ids is .* Give token ids"),
    ],
)
def test_wrong_ids_are_named(ids, message):
    with pytest.raises(InputError, match=message):
        trim_vocabulary(CASES["v3_like"].config, ids)
