"""SGD steps of every case on one replica and on two, in a process of its own: devices are made before TensorFlow runs.

Called with a folder that holds config.json and batch.npz, and the cases' names; writes one npz per case, with the
weights before the steps, after them on one replica, and after them on two, and the two reported losses.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import deberta_tf
from deberta_core import DebertaV2Config
from deberta_core.checkpoint.pairs import generator_config_of
from deberta_tf.weights import parameter_variables

folder = Path(sys.argv[1])
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
# Two steps: of eight texts, four for each of the replicas, then of seven, four and three. (Keras itself cannot begin
# with a batch whose parts differ.)
BATCH, ROWS = 8, 15
config = DebertaV2Config.from_pretrained(folder)
with np.load(folder / "batch.npz") as file:
    batch = {name: file[name][:ROWS] for name in file.files}
ids, mask, row = batch["input_ids"], batch["attention_mask"], np.arange(ROWS)
choices = {name: np.stack([values, np.roll(values, 1, axis=0)], axis=1) for name, values in batch.items()}
classes = row % 3
few = np.where((row % 8 > 4) & (row % 8 != 6), -100, classes)
# The second replica's texts have hardly any label: the mean over labels is far from the mean of the replicas' means.
kept = (mask == 1) & ((row % 8 < 4)[:, None] | (np.arange(ids.shape[1]) == 2))
tokens, tags = np.where(kept, ids, -100), np.where(kept, ids % 3, -100)
starts = np.where((row % 8 > 4) | (row == 1), 10**6, row % 5)  # those far beyond the text are ignored
ends = np.where(row % 8 > 5, 10**6, row % 5 + 1)
weights = (row % 4) / 2.0
sparse = keras.losses.SparseCategoricalCrossentropy

# Case -> class, inputs, labels, sample weights, what is compiled.
CASES = {
    "masked_lm": ("ForMaskedLM", batch, tokens, None, {}),
    "sequence_classification": ("ForSequenceClassification", batch, few, None, {}),
    "token_classification weighted": ("ForTokenClassification", batch, tags, weights, {}),
    "question_answering": ("ForQuestionAnswering", batch, (starts, ends), None, {}),
    "multiple_choice": ("ForMultipleChoice", choices, classes % 2, None, {}),
    "compiled": ("ForSequenceClassification", batch, classes, weights, {"loss": sparse(from_logits=True)}),
    "compiled sum": (
        "ForSequenceClassification", batch, classes, None, {"loss": sparse(from_logits=True, reduction="sum")},
    ),
    "compiled ignoring": (
        "ForTokenClassification", batch, tags, None, {"loss": sparse(from_logits=True, ignore_class=-100)},
    ),
    "replaced tokens": ("ForPreTraining", batch, tokens, None, {}),
    "compiled two": (
        "ForQuestionAnswering", batch, (classes, classes + 1), None, {"loss": [sparse(from_logits=True)] * 2},
    ),
}  # fmt: skip


def step(suffix, x, y, sample_weight, compiled, strategy):
    """The weights before and after one step, by name, and the loss `fit` reports."""
    with strategy.scope():
        replicas = strategy.num_replicas_in_sync
        keras.utils.set_random_seed(0)
        cls = getattr(deberta_tf, f"TFDebertaV2{suffix}")
        # So cold that the replicas, which draw by themselves, draw what one would.
        pair = suffix == "ForPreTraining"
        model = cls(generator_config_of(config), config, temperature=1e-6, seed=0) if pair else cls(config)
        model.compile(**{"optimizer": keras.optimizers.SGD(0.5), "run_eagerly": replicas == 1} | compiled)
    before = values(model)
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    loss = model.fit(x, y, sample_weight=sample_weight, **options).history["loss"][0]
    return before, values(model), loss


def values(model):
    """Of all parameters by name."""
    parts = {"": model} if hasattr(model, "deberta") else {"generator.": model.generator, "own.": model.discriminator}
    return {
        f"{part}{name}": variable.numpy().copy()
        for part, one in parts.items()
        for name, variable in parameter_variables(one).items()
    }


mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for case in sys.argv[2:]:
    arguments = CASES[case]
    before, one, one_loss = step(*arguments, tf.distribute.get_strategy())
    _, two, two_loss = step(*arguments, mirrored)
    named = {
        f"{what}/{name}": v
        for what, values in (("before", before), ("one", one), ("two", two))
        for name, v in values.items()
    }
    np.savez(folder / f"{case}.npz", one_loss=one_loss, two_loss=two_loss, **named)
    print(case, flush=True)
