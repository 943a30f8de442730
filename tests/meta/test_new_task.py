"""A new head is rows of tables and leaf classes, as CONTRIBUTING says under "A head"; everything else follows."""

import numpy as np
import pytest

from conformance.convert.convert import convert
from conformance.convert.verify import verify
from conformance.suite.cases import CASES, LABEL_SETTINGS, random_labels, random_params, task_inputs
from conformance.suite.compare import assert_outputs_close, worst_errors
from conformance.suite.measure import compare_gradients, compare_values
from conformance.suite.subjects import Subject
from deberta_core import DebertaV2Config, InputError, WeightError, parameters, reference
from deberta_core.outputs import ModelOutput
from deberta_core.parameters import BIAS, DENSE, Row
from deberta_core.reference import label_loss, linear
from deberta_core.tasks import CLASS_OF_TOKEN, TASKS, TaskSpec

pytest.importorskip("torch")
pytest.importorskip("keras")

import deberta_tf
import deberta_torch
from deberta_tf import losses as keras_losses
from deberta_tf import task_models as keras_models
from deberta_tf.layers import dense
from deberta_torch import losses as torch_losses
from deberta_torch import task_models as torch_models
from deberta_torch.kernels.linear import Linear

SHARPNESS = 2  # the new loss is that of twice the logits


class SyllablesOutput(ModelOutput):
    """Output of syllable counting: `loss`, `logits [B, L, N]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


SPEC = TaskSpec(
    name="syllables",
    class_suffix="ForSyllables",
    output=SyllablesOutput,
    head_modules=("counter",),
    h5_layers=("deberta", "counter"),
    labels={"labels": CLASS_OF_TOKEN},
    loss="sharp",
    per_token=True,
)
ROWS = (
    Row("counter.weight", DENSE, ("labels", "hidden"), tasks=("syllables",)),
    Row("counter.bias", BIAS, ("labels",), tasks=("syllables",)),
)


def reference_head(config, scope, hidden, mask):
    return {"logits": linear(hidden, scope / "counter")}


def reference_loss(config, outputs, labels, mask):
    return label_loss(config, {"logits": SHARPNESS * outputs["logits"]}, labels, mask)


def torch_loss(config, predictions, labels, mask, options):
    return torch_losses.label_losses(config, {"logits": SHARPNESS * predictions["logits"]}, labels, mask, options)


def keras_loss(config, predictions, labels, mask, options):
    return keras_losses.label_losses(config, {"logits": SHARPNESS * predictions["logits"]}, labels, mask)


class DebertaV2ForSyllables(torch_models.TaskModel, deberta_torch.DebertaV2PreTrainedModel):
    task = "syllables"

    def __init__(self, config):
        super().__init__(config)
        self.counter = Linear(config.hidden_size, config.num_labels)
        self.reset_parameters(self.counter)

    def predict_outputs(self, encoded):
        return {"logits": self.counter(encoded.last_hidden_state)}


class TFDebertaV2ForSyllables(keras_models.TaskModel, deberta_tf.TFDebertaV2PreTrainedModel):
    task = "syllables"

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.counter = dense(config, config.num_labels, "counter", self.dtype_policy)
        self.build()

    def build(self, input_shape=None):
        self.deberta.build()
        self.counter.build((None, None, self.config.hidden_size))

    def predict_outputs(self, encoded):
        return {"logits": self.counter(encoded.last_hidden_state)}


@pytest.fixture(autouse=True)
def new_task(monkeypatch):
    """The tables with the new rows, and the packages with the new classes, as files with them would have."""
    monkeypatch.setitem(TASKS, SPEC.name, SPEC)
    monkeypatch.setattr(parameters, "ROWS", (*parameters.ROWS, *ROWS))
    monkeypatch.setitem(reference.HEADS, SPEC.name, reference_head)
    for losses, loss in (
        (reference.LOSSES, reference_loss),
        (torch_losses.LOSSES, torch_loss),
        (keras_losses.LOSSES, keras_loss),
    ):
        monkeypatch.setitem(losses, SPEC.loss, loss)
    monkeypatch.setitem(LABEL_SETTINGS, SPEC.name, {"counts": {"num_labels": 4}})
    for package, cls in ((deberta_torch, DebertaV2ForSyllables), (deberta_tf, TFDebertaV2ForSyllables)):
        monkeypatch.setattr(package, cls.__name__, cls, raising=False)


@pytest.fixture
def config() -> DebertaV2Config:
    return CASES["v3_like"].config.replace(num_labels=4)


@pytest.fixture
def subject(config) -> Subject:
    inputs = task_inputs(config, SPEC.name, "counts", 9)
    return Subject("v3_like syllables", config, SPEC.name, random_params(config, SPEC.name), inputs)


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_the_suite_judges_it(subject, framework):
    assert {"logits", "loss"} <= set(worst_errors(compare_values(subject, framework), check=True))
    assert worst_errors(compare_gradients(subject, framework), check=True)


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_wrong_loss_is_found(subject, framework, monkeypatch):
    monkeypatch.setitem(reference.LOSSES, SPEC.loss, label_loss)
    with pytest.raises(AssertionError, match="loss"):
        worst_errors(compare_values(subject, framework), check=True)


def test_its_output_and_its_labels(subject, config):
    import torch

    model = DebertaV2ForSyllables(config)
    inputs = {name: torch.from_numpy(values) for name, values in subject.inputs.items()}
    output = model(**inputs)
    assert isinstance(output, SyllablesOutput)
    assert tuple(output.keys()) == ("loss", "logits")
    with pytest.raises(InputError, match=r"labels holds 4: a class must be an integer in \[0, 4\)"):
        model(**{**inputs, "labels": torch.where(inputs["attention_mask"] == 1, 4, -100)})
    keras_output = TFDebertaV2ForSyllables(config)(dict(subject.inputs))
    assert isinstance(keras_output, SyllablesOutput)


def test_fit_trains_it(subject, config):
    model = TFDebertaV2ForSyllables(config)
    model.compile("sgd")
    inputs = {name: values for name, values in subject.inputs.items() if name != "labels"}
    history = model.fit(inputs, subject.inputs["labels"], verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_it_is_saved_converted_verified_and_recognised(config, tmp_path, capsys):
    made = DebertaV2ForSyllables(config)
    made.save_pretrained(tmp_path / "torch")
    convert(tmp_path / "torch", tmp_path / "keras", "h5")
    assert verify(tmp_path / "torch", tmp_path / "keras")
    assert "logits from the target" in capsys.readouterr().out
    loaded = TFDebertaV2ForSyllables.from_pretrained(tmp_path / "keras")
    inputs = task_inputs(config, SPEC.name, "counts", 9)
    state = {name: value.numpy() for name, value in made.state_dict().items()}
    expected = reference.forward(config, state, inputs, SPEC.name)
    actual = {name: np.asarray(value) for name, value in loaded(inputs).items()}
    assert_outputs_close(actual, {name: expected[name] for name in actual}, inputs["attention_mask"] == 1)
    backbone = deberta_torch.DebertaV2Model.from_pretrained(tmp_path / "torch")
    assert backbone.config.hidden_size == config.hidden_size
    with pytest.raises(WeightError, match="The file holds the head counter: pass new_head=True"):
        deberta_torch.DebertaV2ForQuestionAnswering.from_pretrained(tmp_path / "torch")


def test_labels_are_drawn_by_their_kind(config):
    mask = np.array([[1, 1, 1, 0]])
    labels = random_labels(config, SPEC.name, "counts", {"attention_mask": mask})["labels"]
    assert labels.shape == mask.shape
    assert set(labels[mask == 0]) == {-100}
    assert set(labels[mask == 1]) <= {-100, 0, 1, 2, 3}
