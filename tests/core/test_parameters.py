"""The parameter table, without any framework."""

import numpy as np
import pytest

from conformance.suite.cases import CASES, TASK_NAMES
from deberta_core import DebertaConfig, DebertaV2Config, InputError
from deberta_core.parameters import (
    BIAS,
    CONDITIONS,
    CONVOLUTION,
    DENSE,
    DIMENSIONS,
    EMBEDDING,
    NORM_SCALE,
    NORM_SHIFT,
    ROWS,
    UNUSED_NAMES,
    expand,
)
from deberta_core.presets import PRESETS
from deberta_core.tasks import FRESH_MODULES, TASKS, head_modules, task_spec

CONFIGS = {name: case.config for name, case in CASES.items()}
CONFIGS |= {f"{name}_new_head": CASES[name].config.replace(legacy=False) for name in ("v1_like", "v3_like")}
CONFIGS |= {name: DebertaConfig.preset(name) for name in PRESETS["deberta"]}
CONFIGS |= {name: DebertaV2Config.preset(name) for name in PRESETS["deberta-v2"]}
KINDS = {"dense": DENSE, "convolution": CONVOLUTION, "embedding": EMBEDDING, "bias": BIAS}
KINDS |= {"scale": NORM_SCALE, "shift": NORM_SHIFT}

over_all = pytest.mark.parametrize("task", TASK_NAMES)


def patterns(names):
    """Canonical names with the layer number taken out."""
    return {".".join("{i}" if part.isdigit() else part for part in name.split(".")) for name in names}


def test_every_row_and_condition_and_dimension_is_used():
    used = {
        parameter.canonical for c in CONFIGS.values() for task in TASK_NAMES for parameter in expand(c, task).values()
    }
    assert patterns(used) == {row.name for row in ROWS}
    assert {row.when for row in ROWS} == set(CONDITIONS)
    assert {size for row in ROWS for size in row.shape} == set(DIMENSIONS)


def test_every_condition_is_off_somewhere():
    for name, condition in CONDITIONS.items():
        assert name == "always" or not all(condition(config) for config in CONFIGS.values()), name


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_rows_are_unique(config):
    """But for the classifier, whose width depends on the task."""
    chosen = [row for row in ROWS if CONDITIONS[row.when](config)]
    names = [(row.name, task) for row in chosen for task in row.tasks or TASK_NAMES]
    assert len(set(names)) == len(names)


@over_all
@pytest.mark.parametrize("name", CONFIGS)
def test_names_are_unique_in_every_scheme(name, task):
    table = expand(CONFIGS[name], task)
    for scheme in ("name", "canonical", "keras_path", "h5_path"):
        names = [getattr(parameter, scheme) for parameter in table.values()]
        assert len(set(names)) == len(names), scheme
    assert all(key == parameter.name for key, parameter in table.items())


@over_all
def test_names_of_a_model(task):
    table = expand(CONFIGS["v2_conv"], task)
    for name, parameter in table.items():
        module = name.split(".")[0]
        if task is None:
            assert module in ("embeddings", "encoder")
            assert parameter.canonical == f"deberta.{name}"
        else:
            assert module == "deberta" or module in task_spec(task).head_modules
            assert parameter.canonical == name
    if task:
        either = {"lm_predictions"}  # the other masked-LM head
        assert {name.split(".")[0] for name in table} - {"deberta"} == set(task_spec(task).head_modules) - either


def test_the_order_is_backbone_layers_head():
    names = list(expand(CONFIGS["v2_conv"], "sequence_classification"))
    assert names[0] == "deberta.embeddings.word_embeddings.weight"
    assert names[-4:] == ["pooler.dense.weight", "pooler.dense.bias", "classifier.weight", "classifier.bias"]
    layers = [int(name.split(".")[3]) for name in names if ".layer." in name]
    assert layers == sorted(layers)


@pytest.mark.parametrize(
    ("name", "shape", "keras_path", "h5_path"),
    [
        (
            "deberta.encoder.layer.2.attention.self.pos_query_proj.weight",
            (32, 32),
            "deberta/encoder/layer_2/attention/self/pos_query_proj/kernel",
            "deberta/encoder/layer_._2/attention/self/pos_q_proj/kernel",
        ),
        (
            "deberta.encoder.layer.0.attention.self.pos_key_proj.bias",
            (32,),
            "deberta/encoder/layer_0/attention/self/pos_key_proj/bias",
            "deberta/encoder/layer_._0/attention/self/pos_proj/bias",
        ),
        (
            "deberta.encoder.layer.1.intermediate.dense.weight",
            (48, 32),
            "deberta/encoder/layer_1/intermediate/dense/kernel",
            "deberta/encoder/layer_._1/intermediate/dense/kernel",
        ),
        (
            "deberta.encoder.rel_embeddings.weight",
            (16, 32),
            "deberta/encoder/rel_embeddings/embeddings",
            "deberta/encoder/rel_embeddings.weight",
        ),
        (
            "deberta.encoder.LayerNorm.weight",
            (32,),
            "deberta/encoder/LayerNorm/gamma",
            "deberta/encoder/LayerNorm/gamma",
        ),
        (
            "deberta.embeddings.word_embeddings.weight",
            (97, 32),
            "deberta/embeddings/word_embeddings/embeddings",
            "deberta/embeddings/word_embeddings/weight",
        ),
        ("classifier.bias", (2,), "classifier/bias", "classifier/bias"),
    ],
)
def test_names_and_shapes_as_published(name, shape, keras_path, h5_path):
    parameter = expand(CONFIGS["v2_unshared"], "sequence_classification")[name]
    assert (parameter.shape, parameter.keras_path, parameter.h5_path) == (shape, keras_path, h5_path)


def test_shapes_follow_the_configuration():
    table = expand(CONFIGS["v2_conv_groups"], None)
    convolution = table["encoder.conv.conv.weight"]
    assert (convolution.shape, convolution.keras_shape, convolution.size) == ((32, 8, 5), (5, 8, 32), 32 * 8 * 5)
    table = expand(CONFIGS["v2_head_size"], None)
    assert table["encoder.layer.0.attention.self.query_proj.weight"].shape == (15, 32)
    assert table["encoder.layer.0.attention.output.dense.weight"].keras_shape == (15, 32)
    table = expand(CONFIGS["v2_embedding_ne_hidden"], None)
    assert table["embeddings.embed_proj.weight"].shape == (32, 24)
    assert expand(CONFIGS["v3_like"].replace(num_labels=5), "sequence_classification")["classifier.weight"].shape == (
        5,
        32,
    )


V1_LAYER = {
    "q_bias": (32,),
    "v_bias": (32,),
    "in_proj.weight": (96, 32),
    "pos_proj.weight": (32, 32),
    "pos_q_proj.weight": (32, 32),
    "pos_q_proj.bias": (32,),
}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("v1_like", {}),
        ("v1_c2p", {"pos_q_proj.weight": None, "pos_q_proj.bias": None}),
        ("v1_p2c", {"pos_proj.weight": None}),
        ("v1_no_relative", {"pos_proj.weight": None, "pos_q_proj.weight": None, "pos_q_proj.bias": None}),
        ("v1_talking_head", {"head_logits_proj.weight": (4, 4), "head_weights_proj.weight": (4, 4)}),
    ],
)
def test_self_attention_of_v1(name, changes):
    prefix = "encoder.layer.1.attention.self."
    table = expand(CONFIGS[name], None)
    found = {key.removeprefix(prefix): row.shape for key, row in table.items() if key.startswith(prefix)}
    assert found == {key: shape for key, shape in (V1_LAYER | changes).items() if shape}


def test_the_fused_projection_follows_the_head_size():
    assert expand(CONFIGS["v1_head_size"], None)["encoder.layer.0.attention.self.in_proj.weight"].shape == (45, 32)


@pytest.mark.parametrize("name", ["v1_like", "v3_like"])
@pytest.mark.parametrize("legacy", [True, False])
def test_heads_of_masked_lm(name, legacy):
    """Dense C -> E; the decoder is the word embeddings and has a bias only."""
    table = expand(CONFIGS[name].replace(legacy=legacy, embedding_size=24), "masked_lm")
    start = "cls.predictions" if legacy else "lm_predictions.lm_head"
    inner = f"{start}.transform" if legacy else start
    assert {key: row.shape for key, row in table.items() if not key.startswith("deberta.")} == {
        f"{inner}.dense.weight": (24, 32),
        f"{inner}.dense.bias": (24,),
        f"{inner}.LayerNorm.weight": (24,),
        f"{inner}.LayerNorm.bias": (24,),
        f"{start}.bias": (97,),
    }


@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("token_classification", {"classifier": (5, 32)}),
        ("question_answering", {"qa_outputs": (2, 32)}),
        ("multiple_choice", {"pooler.dense": (32, 32), "classifier": (1, 32)}),
        ("sequence_classification", {"pooler.dense": (32, 32), "classifier": (5, 32)}),
    ],
)
def test_heads_of_the_other_tasks(task, head):
    table = expand(CONFIGS["v1_like"].replace(num_labels=5), task)
    expected = {f"{name}.weight": shape for name, shape in head.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in head.items()}
    assert {key: row.shape for key, row in table.items() if not key.startswith("deberta.")} == expected


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4)])
def test_the_layout_change_is_its_own_inverse(kind, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    there = kind.convert(array)
    assert there.shape == kind.shape(shape)
    assert kind.shape(there.shape) == shape
    assert np.shares_memory(there, array)
    np.testing.assert_array_equal(kind.convert(there), array, strict=True)


def test_layouts():
    array = np.arange(24).reshape(2, 3, 4)
    assert CONVOLUTION.convert(array)[3, 1, 0] == array[0, 1, 3]
    assert DENSE.convert(array[0])[3, 2] == array[0, 2, 3]
    assert all(kind.convert(array) is array for kind in (BIAS, EMBEDDING, NORM_SCALE, NORM_SHIFT))


def test_an_unknown_task_is_refused():
    with pytest.raises(
        InputError, match=r"task='x' is unknown. Use one of: masked_lm, multiple_choice, question_answering"
    ):
        expand(CONFIGS["v3_like"], "x")


def test_task_rows_name_what_exists():
    modules = {module for spec in TASKS.values() for module in spec.head_modules}
    assert modules <= head_modules()
    assert set(FRESH_MODULES) <= head_modules()
    assert {task for row in ROWS for task in row.tasks} == set(TASKS)
    assert all(name.startswith("deberta.") for name in UNUSED_NAMES)
