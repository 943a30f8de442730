"""Dropout sits where NUMERICS puts it, with the probability of its field, and nowhere else: as in PyTorch's test."""

import keras
import numpy as np
import pytest

import deberta_tf
from conformance.suite.cases import CASES
from deberta_tf import TFDebertaV2ForSequenceClassification

CONFIG = CASES["v2_conv_groups"].config.replace(
    hidden_dropout_prob=0.11,
    attention_probs_dropout_prob=0.22,
    pooler_dropout=0.33,
    cls_dropout=0.44,
    num_hidden_layers=2,
    initializer_range=0.5,
)
V1_CONFIG = CASES["v1_talking_head"].config.replace(
    hidden_dropout_prob=0.11, attention_probs_dropout_prob=0.22, pooler_dropout=0.33, num_hidden_layers=2
)
LAYER_PLACES = {
    "attention/self/table_dropout": 0.11,
    "attention/self/dropout": 0.22,
    "attention/output/dropout": 0.11,
    "output/dropout": 0.11,
}
LAYERS = {f"deberta/encoder/layer_{i}/{name}": p for i in range(2) for name, p in LAYER_PLACES.items()}
BACKBONE = {"deberta/embeddings/dropout": 0.11} | LAYERS
CONVOLUTION = {"deberta/encoder/conv/dropout": 0.11}
HEADS = {
    "MaskedLM": {},
    "QuestionAnswering": {},
    "TokenClassification": {"dropout": 0.11},
    "SequenceClassification": {"pooler/dropout": 0.33, "dropout": 0.44},
    "MultipleChoice": {"pooler/dropout": 0.33, "dropout": 0.44},
}
PLACES = BACKBONE | CONVOLUTION | HEADS["SequenceClassification"]

IDS = np.arange(18).reshape(2, 9) + 5
MASK = np.array([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0, 0]])


def layers_of(model, name=""):
    """Every layer by the names of those around it; a model's own parts have no prefix."""
    for layer in model._layers:
        path = f"{name}{layer.name}"
        yield path, layer
        yield from layers_of(layer, f"{path}/")


def dropouts(model):
    return {path: layer for path, layer in layers_of(model) if isinstance(layer, keras.layers.Dropout)}


@pytest.fixture(scope="module")
def made():
    keras.utils.set_random_seed(0)
    return TFDebertaV2ForSequenceClassification(CONFIG)


@pytest.fixture
def model(made):
    """The one model, without dropout until `only` says where, and as it was made afterwards."""
    only(made)
    yield made
    for path, layer in dropouts(made).items():
        layer.rate = PLACES[path]


@pytest.fixture(scope="module")
def still(made):
    """What the model says in training with every rate at 0."""
    only(made)
    return run(made)


def only(model, *places, rate=0.5):
    for path, layer in dropouts(model).items():
        layer.rate = rate if path in places else 0.0


def run(model, training=True):
    return model(
        {"input_ids": IDS, "attention_mask": MASK}, training=training, output_hidden_states=True, output_attentions=True
    )


@pytest.mark.parametrize("version", ["V2", ""])
@pytest.mark.parametrize("head", HEADS)
def test_the_places_and_their_probabilities(head, version):
    config = CONFIG if version else V1_CONFIG.replace(cls_dropout=0.44)
    model = getattr(deberta_tf, f"TFDeberta{version}For{head}")(config)
    expected = BACKBONE | HEADS[head] | (CONVOLUTION if version else {})
    assert {path: layer.rate for path, layer in dropouts(model).items()} == expected


def test_the_classifiers_default_is_the_hidden_one():
    assert TFDebertaV2ForSequenceClassification(CONFIG.replace(cls_dropout=None)).dropout.rate == 0.11


def test_what_each_place_drops(model, monkeypatch):
    """Its input is the quantity named by the specification, once per forward pass."""
    dropped = {path: [] for path in PLACES}
    made = {}

    def watch(path, layer, call):
        def call_and_keep(inputs, *arguments, **options):
            outputs = call(inputs, *arguments, **options)
            if isinstance(layer, keras.layers.Dropout):
                dropped[path].append(np.asarray(inputs))
            else:
                made[path] = np.asarray(outputs)
            return outputs

        return call_and_keep

    kinds = (keras.layers.Dropout, keras.layers.Dense, keras.layers.LayerNormalization, keras.layers.Conv1D)
    for path, layer in layers_of(model):
        if isinstance(layer, kinds) or path == "pooler":
            monkeypatch.setattr(layer, "call", watch(path, layer, layer.call))
    output = run(model)
    assert {path: len(inputs) for path, inputs in dropped.items()} == dict.fromkeys(PLACES, 1)
    encoder, hidden = "deberta/encoder", [np.asarray(states) for states in output.hidden_states]
    expected = {
        "deberta/embeddings/dropout": hidden[0],
        f"{encoder}/conv/dropout": made[f"{encoder}/conv/conv"] * MASK[..., None],
        "pooler/dropout": np.stack([hidden[-1][0, 2], hidden[-1][1, 0]]),
        "dropout": made["pooler"],
    }
    for i in range(2):
        layer = f"{encoder}/layer_{i}"
        expected |= {
            f"{layer}/attention/self/table_dropout": made[f"{encoder}/LayerNorm"],
            f"{layer}/attention/self/dropout": np.asarray(output.attentions[i]).swapaxes(0, 1),  # heads first inside
            f"{layer}/attention/output/dropout": made[f"{layer}/attention/output/dense"],
            f"{layer}/output/dropout": made[f"{layer}/output/dense"],
        }
    assert set(expected) == set(PLACES)
    for path, value in expected.items():
        np.testing.assert_array_equal(dropped[path][0], value, path)


@pytest.mark.parametrize("place", PLACES)
def test_each_place_alone_is_random(model, still, place):
    """What it makes is used: the logits differ, and differ from call to call."""
    only(model, place)
    one, other = (np.asarray(run(model).logits) for _ in range(2))
    assert not np.array_equal(one, still.logits)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_table_is_dropped_for_each_layer_anew(model, still, layer):
    """Dropping one layer's table leaves the other layer's whole."""
    only(model, f"deberta/encoder/layer_{layer}/attention/self/table_dropout")
    changed = run(model)
    same = [np.array_equal(one, other) for one, other in zip(changed.attentions, still.attentions, strict=True)]
    assert same == [layer == 1, False]


def test_attentions_are_returned_before_dropout(model, still):
    only(model, "deberta/encoder/layer_0/attention/self/dropout")
    np.testing.assert_array_equal(run(model).attentions[0], still.attentions[0])


def test_evaluation_is_training_without_dropout(model, still):
    """And so nothing else is dropped while training."""
    only(model, *PLACES)
    np.testing.assert_array_equal(run(model, training=False).logits, still.logits)
    np.testing.assert_array_equal(run(model, training=None).logits, still.logits)
