from pathlib import Path

import numpy as np
import pytest

from conformance.convert.task import find_task
from deberta_core import DebertaConfig
from deberta_core.checkpoint import Entry, LazyWeights
from deberta_core.errors import WeightError
from deberta_core.parameters import expand
from deberta_core.tasks import TASKS

V1 = DebertaConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20, num_labels=3
)
MASK_PREDICTIONS = {"mask_predictions.dense.weight": (16, 16), "mask_predictions.classifier.bias": (1,)}


@pytest.fixture(params=["v1", "v2"])
def config(request, small_config):
    return V1 if request.param == "v1" else small_config


def weights(shapes):
    def fail():
        pytest.fail("numbers were read")

    entries = {name: Entry(name, shape, np.dtype("float32"), fail) for name, shape in shapes.items()}
    return LazyWeights(Path("model.safetensors"), entries, lambda: None)


def shapes_of(config, task):
    return {name: parameter.shape for name, parameter in expand(config, task).items()}


def declaring(config, *architectures):
    return config.replace(extra={"architectures": list(architectures)})


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("task", [None, *TASKS])
def test_every_task_declared(config, task, legacy):
    config = config.replace(legacy=legacy)
    suffix = TASKS[task].class_suffix if task else "Model"
    assert find_task(declaring(config, f"Deberta{suffix}"), weights(shapes_of(config, task))) == task


@pytest.mark.parametrize("task", [None, *TASKS])
def test_every_task_not_declared(config, task):
    """One choice has one number; three labels have three."""
    assert find_task(config, weights(shapes_of(config, task))) == task


def test_equal_heads(config):
    """With one label, sequence classification and multiple choice have the same weights."""
    config = config.replace(num_labels=1)
    stored = weights(shapes_of(config, "multiple_choice"))
    assert find_task(config, stored) == "sequence_classification"
    assert find_task(declaring(config, "DebertaForMultipleChoice"), stored) == "multiple_choice"
    assert find_task(declaring(config, "SomethingElse"), stored) == "sequence_classification"


@pytest.mark.parametrize("extra", [MASK_PREDICTIONS, {"cls.predictions.bias": (40,)}])
def test_additional_heads_of_pretraining(config, extra):
    config = config.replace(legacy=False)
    assert find_task(config, weights(shapes_of(config, "masked_lm") | extra)) == "masked_lm"
    assert find_task(config, weights(shapes_of(config, "token_classification") | extra)) == "token_classification"


def test_a_discriminator_with_the_head_its_training_started_with(config):
    config = config.replace(legacy=False)
    both = weights(shapes_of(config, "masked_lm") | shapes_of(config, "replaced_token"))
    assert find_task(config, both) == "replaced_token"
    assert find_task(declaring(config, "DebertaForMaskedLM"), both) == "masked_lm"


@pytest.mark.parametrize(
    ("task", "change", "found"),
    [
        ("sequence_classification", {"num_labels": 5}, "sequence_classification"),
        ("masked_lm", {"legacy": False}, "masked_lm"),
        ("replaced_token", {"hidden_size": 24}, "replaced_token"),
    ],
)
def test_a_head_that_does_not_fit_the_config_is_left_to_loading(config, task, change, found):
    assert find_task(config.replace(**change), weights(shapes_of(config, task))) == found


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"qa_outputs.bias": (2,), "classifier.bias": (3,)}, "the head classifier, qa_outputs and"),
        ({"pooler.dense.bias": (16,)}, "the head pooler and"),
    ],
)
def test_no_fitting_task(config, shapes, message):
    with pytest.raises(
        WeightError, match=f"model.safetensors holds {message}.* Supported are: Deberta.*MultipleChoice"
    ):
        find_task(config, weights(shapes_of(config, None) | shapes))


@pytest.mark.parametrize("architecture", ["DebertaV2ForMultipleChoice", "DebertaV2ForMaskedLM"])
def test_a_declared_task_that_does_not_fit(config, architecture):
    stored = weights(shapes_of(config, "sequence_classification"))
    with pytest.raises(
        WeightError, match=rf"head classifier, pooler and config\.json says architectures=.*{architecture}"
    ):
        find_task(declaring(config, architecture), stored)
