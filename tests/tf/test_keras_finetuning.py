"""Fine-tuning with Keras' `fit`: the optimizer, resuming, and what the best model is."""

import keras
import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_dual.finetuning import TrainingOptions, finetune
from deberta_tf import TFDebertaV2ForSequenceClassification
from deberta_tf.optimizer import ParameterAdamW
from tests.finetuning_data import small_start, write_examples


def test_a_step_is_that_of_the_papers_algorithm():
    """Two steps in NumPy, with a share of the rate and decay for one of the variables."""
    variables = [keras.Variable(np.array([1.0, -2.0], np.float32)), keras.Variable(np.array([0.5], np.float32))]
    gradients = [[np.array([0.3, -1e-7]), np.array([2.0])], [np.array([-0.1, 0.4]), np.array([1.0])]]
    rates = {variables[0].path: (0.5, 0.1)}
    optimizer = ParameterAdamW(0.01, rates, beta_1=0.9, beta_2=0.999, epsilon=1e-6)
    optimizer.build(variables)
    optimizer._rates = [(0.5, 0.1), (1.0, 0.0)]  # these variables have one path
    expected, kept = [np.array([1.0, -2.0]), np.array([0.5])], [[0.0, 0.0], [0.0, 0.0]]
    for step, own in enumerate(gradients, 1):
        optimizer.apply([keras.ops.convert_to_tensor(one, "float32") for one in own], variables)
        for place, (share, decay) in enumerate(((0.5, 0.1), (1.0, 0.0))):
            mean = 0.9 * kept[place][0] + 0.1 * own[place]
            square = 0.999 * kept[place][1] + 0.001 * own[place] ** 2
            kept[place] = [mean, square]
            rate = 0.01 * share
            change = (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-6)
            expected[place] = expected[place] * (1 - rate * decay) - rate * change
    for variable, wanted in zip(variables, expected, strict=True):
        assert_close(np.asarray(variable.numpy()), wanted, quantity="hidden", name="variable")


def test_clipping_sees_repeated_rows_as_one_gradient():
    """Keras alone takes the norm of every use of a row by itself."""
    table = keras.Variable(np.zeros((3, 2), np.float32))
    optimizer = ParameterAdamW(1.0, {}, beta_1=0.0, beta_2=0.0, epsilon=1e6, global_clipnorm=1.0)
    optimizer.build([table])
    tf = pytest.importorskip("tensorflow")
    rows = tf.IndexedSlices(tf.constant([[3.0, 0.0], [3.0, 0.0]]), tf.constant([1, 1]), tf.constant([3, 2]))
    optimizer.apply([rows], [table])  # of length 6 together: clipped to 1, divided by epsilon
    assert_close(np.asarray(table.numpy())[1, :1] * -1e6, np.array([1.0]), quantity="hidden", name="row")


@pytest.fixture(scope="module")
def runs(prose, small_tokenizer, tmp_path_factory):
    """A whole run, and one that was killed and resumed: rows and folders. Dropout is on, in two pieces a step."""
    folder = tmp_path_factory.mktemp("runs")
    file = write_examples(folder, "text-classification", prose)
    start = small_start(folder / "tokenizer", small_tokenizer, num_hidden_layers=1)  # most of the time is tracing
    training = TrainingOptions(epochs=3, batch_size=6, accumulation=2, learning_rate=1e-3, evaluate_every=2)
    settings = {"eval_data": file, "framework": "tf", "device": "cpu"}

    def kill(row):
        if row["step"] == 4:
            raise KeyboardInterrupt

    whole = finetune("text-classification", file, folder / "whole", start, training, **settings)
    with pytest.raises(KeyboardInterrupt):
        finetune("text-classification", file, folder / "killed", start, training, **settings, report=kill)
    resumed = finetune("text-classification", file, folder / "killed", start, training, **settings, resume=True)
    return folder, whole, resumed


def test_a_killed_run_goes_on_to_the_same_end(runs):
    folder, whole, resumed = runs
    assert [row["step"] for row in whole] == [2, 4, 6, 8, 9]  # the last interval is shorter
    for one, other in zip(whole, resumed, strict=True):
        del one["tokens_per_second"], other["tokens_per_second"]
        assert one == other
    models = [TFDebertaV2ForSequenceClassification.from_pretrained(folder / name) for name in ("whole", "killed")]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        assert np.array_equal(one, other)


def test_the_folder_holds_the_best_model(runs):
    folder, *_ = runs
    names = {file.name for file in (folder / "whole").iterdir()}
    assert {"config.json", "model.safetensors", "metrics.jsonl", "spm.model"} <= names
    assert "training" not in names
