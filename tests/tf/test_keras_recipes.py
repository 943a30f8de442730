"""Recipes of fine-tuning in Keras, against what they are by hand, and against PyTorch's where those were."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

import deberta_tf
from conformance.suite.compare import assert_close
from deberta_dual.backends.protocol import TEACHER_LOGITS
from deberta_dual.backends.tf_recipes import RecipeStep, WeightAverage, perturb
from deberta_dual.finetuning import TrainingOptions, finetune
from deberta_tf.sift import SiFT
from deberta_tf.weights import parameter_variables
from tests.finetuning_data import small_start, write_examples
from tests.sift_cases import distillation_gradient, make_case

TASK = "text-classification"
WEIGHTS = np.tile(np.float32([0.5, 0.25]), (4, 1))  # shares of a piece: of the labels' weight, and of the rows


@pytest.fixture
def case(request):
    """A model without dropout, inputs, and labels."""
    config, _, batch, _ = make_case(getattr(request, "param", "classes"))
    keras.utils.set_random_seed(0)
    model = deberta_tf.TFDebertaV2ForSequenceClassification(config)
    labels = {"labels": tf.constant(batch.pop("labels"))}
    return model, {name: tf.constant(array) for name, array in batch.items()}, labels


def close(found, wanted, quantity="loss"):
    wanted = np.asarray(wanted, dtype=np.asarray(found).dtype)
    scale = max(float(np.abs(wanted).max()), 1.0)
    assert_close(np.asarray(found), wanted, quantity=quantity, name=quantity, scale=scale)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_r_drop_by_hand(case, monkeypatch):
    """Two passes of other predictions, as with dropout."""
    model, x, y = case
    step = RecipeStep(model, TrainingOptions(r_drop=3.0), 0)
    passes = iter([1.0, 1.5])
    call = type(model).__call__

    def other(self, *arguments, **options):
        output = call(self, *arguments, **options)
        return output._replace(logits=output.logits * next(passes))

    logits = np.float64(model(x, return_dict=True).logits.numpy())
    with monkeypatch.context() as held:
        held.setattr(type(model), "__call__", other)
        task, total = step.losses(x, y, tf.constant(WEIGHTS))
    p, q = softmax(logits), softmax(1.5 * logits)
    divergence = ((p * np.log(p / q)).sum(-1) + (q * np.log(q / p)).sum(-1)).mean() / 2
    rows = np.arange(4), y["labels"].numpy()
    wanted = -(np.log(p[rows]) + np.log(q[rows])).mean() / 2
    close(task.numpy(), 0.5 * wanted)
    close(total.numpy(), 0.5 * wanted + 0.25 * 3 * divergence)
    assert divergence > 0.01


@pytest.mark.parametrize("case", ["classes", "labels", "numbers"], indirect=True)
def test_distillation_by_hand(case, request):
    kind = request.node.callspec.params["case"]
    model, x, y = case
    logits = model(x, return_dict=True).logits.numpy()
    teacher = np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)
    task = model.compute_loss(x, y, model(x, return_dict=True), None).numpy()
    bias = parameter_variables(model)["classifier.bias"].value
    for weight in (0.7, 1.0):
        step = RecipeStep(model, TrainingOptions(teacher="one", teacher_temperature=2.0, teacher_weight=weight), 0)
        with tf.GradientTape() as tape:
            found, total = step.losses(x, {**y, TEACHER_LOGITS: tf.constant(teacher)}, tf.constant(WEIGHTS))
        close(found.numpy(), (1 - weight) * task * 0.5)
    close(
        tape.gradient(total, bias).numpy(), 0.25 * distillation_gradient(kind, logits, teacher, 2.0).sum(0), "gradient"
    )
    _, none = step.losses(x, {**y, TEACHER_LOGITS: tf.constant(logits)}, tf.constant(WEIGHTS))
    close(none.numpy(), 0.0)


def test_sift_is_the_librarys(case):
    model, x, y = case
    with SiFT(model, 5.0, seed=3) as sift:
        output = model(x, return_dict=True, training=True)
        wanted = sift.loss(output, **x, **y)
    model.compile("sgd")
    step = RecipeStep(model, TrainingOptions(sift=5.0), 3)
    with step.installed():
        task, total = step.losses(x, y, tf.constant(WEIGHTS))
    close((total - task).numpy(), 0.25 * wanted.numpy())


def test_weights_are_perturbed_and_put_back(case):
    model, x, y = case
    variables = [variable for variable in model.trainable_variables if "rel_embeddings" not in variable.path]
    before = [np.array(variable.numpy()) for variable in variables]
    gradients = [np.random.default_rng(0).standard_normal(one.shape).astype(np.float32) for one in before]
    perturb(variables, [tf.constant(one) for one in gradients], 0.1)
    for variable, own, gradient in zip(variables, before, gradients, strict=True):
        length = np.linalg.norm(own) / np.linalg.norm(gradient) if own.ndim > 1 else 0.0
        close(variable.numpy(), own + 0.1 * gradient * length, "gradient")
        variable.assign(own)
    model.compile(keras.optimizers.SGD(0.0))
    step = RecipeStep(model, TrainingOptions(awp=0.1), 0)
    with step.installed():
        model.fit(tf.data.Dataset.from_tensors((x, y, tf.constant(WEIGHTS))), shuffle=False, verbose=0)
    for variable, own in zip(variables, before, strict=True):
        assert np.array_equal(variable.numpy(), own)


def test_averages_by_hand(case):
    model, *_ = case
    average = WeightAverage(model, 0.9)
    variable = model.trainable_variables[0]
    wanted = np.array(variable.numpy())
    for _ in range(3):
        variable.assign_add(np.ones(variable.shape, np.float32))
        average.update()
        wanted = 0.9 * wanted + 0.1 * variable.numpy()
    last = np.array(variable.numpy())
    average.exchange()
    close(variable.numpy(), wanted, "gradient")
    average.exchange()
    assert np.array_equal(variable.numpy(), last)


@pytest.fixture
def learn(prose, small_tokenizer, tmp_path):
    file = write_examples(tmp_path, TASK, prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, num_hidden_layers=1)

    def run(name, resume=False, report=None, **options):
        training = TrainingOptions(epochs=2, batch_size=6, learning_rate=1e-3, **options)
        settings = {"framework": "tf", "device": "cpu", "eval_data": file, "resume": resume, "report": report}
        finetune(TASK, file, tmp_path / name, start, training, **settings)
        return load_file(tmp_path / name / "model.safetensors")

    run.folder = tmp_path
    return run


@pytest.mark.parametrize(
    "recipes",
    [
        {"ema": 0.9, "awp": 0.01, "awp_start": 1, "sift": 1.0},
        {"lora_rank": 2, "lora_alpha": 4.0, "keep_adapter": True},
    ],
)
def test_a_killed_run_goes_on_with_its_recipes(learn, recipes):
    wanted = learn("whole", **recipes)

    class Killed(BaseException):
        pass

    def kill(row):
        raise Killed

    with pytest.raises(Killed):
        learn("killed", report=kill, **recipes)
    found = learn("killed", resume=True, **recipes)
    for name, array in wanted.items():
        assert np.array_equal(array, found[name]), name


def test_adapters_are_merged_and_kept(learn):
    found = learn("lora", lora_rank=2, keep_adapter=True)
    folder = learn.folder / "lora"
    settings = json.loads((folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (settings["r"], settings["lora_alpha"]) == (2, 2)
    stored = load_file(folder / "adapter" / "adapter_model.safetensors")
    name = "deberta.encoder.layer.0.attention.self.query_proj"
    assert stored[f"base_model.model.{name}.lora_B.weight"].any()
    assert np.array_equal(stored["base_model.model.classifier.weight"], found["classifier.weight"])
    assert {path.name for path in (folder / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
