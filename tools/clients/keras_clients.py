"""What Keras' users do with a model: callbacks, tf.data, serving, KerasTuner, keras-hub's ways; one line of JSON each.

Run with TensorFlow, keras-tuner, tensorboard and this library installed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_tf import (
    DebertaV2Config,
    TextPreprocessor,
    TFDebertaV2ForSequenceClassification,
    TFDebertaV2Model,
)
from tools.clients.report import report

ENVIRONMENTS = ("keras",)
TEXTS = ["A film that never loses its nerve.", "Two hours I would like to have back.", "Fine.", "Old jokes."] * 3
LABELS = [1, 0, 1, 0] * 3
TOKENIZER = DebertaV2Tokenizer.train(TEXTS, vocab_size=320, hard_vocab_limit=False)


def close(actual: Any, expected: Any) -> bool:
    """Whether two arrays are one but for rounding."""
    return bool(np.abs(np.asarray(actual) - np.asarray(expected)).max() <= 1e-5)


def build(rate: float = 3e-3) -> Any:
    """A small classifier of texts, compiled."""
    config = DebertaV2Config.preset(
        "deberta-v3-xsmall", vocab_size=len(TOKENIZER), num_hidden_layers=1, hidden_size=48, intermediate_size=40
    )
    model = TFDebertaV2ForSequenceClassification(config)
    model.preprocessor = TextPreprocessor(TOKENIZER, max_length=24)
    model.compile(keras.optimizers.Adam(rate), metrics=["accuracy"])
    return model


def callbacks(folder: Path) -> list[str]:
    """Keras' own callbacks."""
    model = build()
    watched = {"monitor": "val_loss", "save_best_only": True}
    chosen = [
        keras.callbacks.ModelCheckpoint(str(folder / "best.keras"), **watched),
        keras.callbacks.ModelCheckpoint(str(folder / "best.weights.h5"), save_weights_only=True, **watched),
        keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(patience=1),
        keras.callbacks.CSVLogger(str(folder / "log.csv")),
        keras.callbacks.TensorBoard(str(folder / "board")),
        keras.callbacks.BackupAndRestore(str(folder / "backup")),
    ]
    model.fit(TEXTS, LABELS, validation_data=(TEXTS, LABELS), epochs=4, callbacks=chosen, verbose=0)
    expected = model.predict(TEXTS, verbose=0).logits
    best = keras.models.load_model(folder / "best.keras")
    best.preprocessor = model.preprocessor
    assert close(best.predict(TEXTS, verbose=0).logits, expected)
    other = build()
    other.load_weights(folder / "best.weights.h5")
    assert close(other.predict(TEXTS, verbose=0).logits, expected)
    assert any((folder / "board").rglob("events*"))
    return [
        "ModelCheckpoint of .keras and .weights.h5",
        "EarlyStopping",
        "TensorBoard",
        "CSVLogger",
        "BackupAndRestore",
    ]


def data(folder: Path) -> list[str]:
    """tf.data datasets of texts and of arrays."""
    import tensorflow as tf

    model = build()
    texts = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).shuffle(12).batch(4).prefetch(1)
    model.fit(texts, epochs=2, verbose=0)
    arrays = model.preprocessor(TEXTS)
    ready = tf.data.Dataset.from_tensor_slices((arrays, LABELS)).batch(4)
    model.fit(ready.repeat(), steps_per_epoch=2, epochs=2, verbose=0)
    model.fit(texts.repeat(), steps_per_epoch=2, epochs=2, verbose=0)
    assert close(model.evaluate(ready, verbose=0), model.evaluate(TEXTS, LABELS, batch_size=4, verbose=0))
    return ["texts and arrays", "shuffle, batch, prefetch, repeat with steps_per_epoch"]


def serving(folder: Path) -> list[str]:
    """The signatures of a SavedModel."""
    import tensorflow as tf

    model = build()
    model.export(folder / "served", verbose=False)
    signature = tf.saved_model.load(str(folder / "served")).signatures["serving_default"]
    inputs = {name: tf.constant(model.preprocessor(TEXTS)[name]) for name in ("input_ids", "attention_mask")}
    assert close(signature(**inputs)["logits"], model.predict(TEXTS, verbose=0).logits)
    return ["tf.saved_model.load, serving_default"]


def tuner(folder: Path) -> list[str]:
    """A search over learning rates."""
    import keras_tuner  # type: ignore[import-not-found] # of an environment of its own

    search = keras_tuner.RandomSearch(
        lambda space: build(space.Float("rate", 1e-4, 1e-2, sampling="log")),
        objective="val_loss",
        max_trials=2,
        directory=folder,
    )
    search.search(TEXTS, np.array(LABELS), validation_data=(TEXTS, np.array(LABELS)), epochs=1, verbose=0)
    best = search.get_best_models()[0]
    assert best.predict(TEXTS, verbose=0).logits.shape == (12, 2)
    return ["RandomSearch over texts, get_best_models"]


def keras_hub(folder: Path) -> list[str]:
    """What the pages of DebertaV3TextClassifier show."""
    model = build()
    model.predict(["The quick brown fox jumped.", "I forgot my homework."], verbose=0)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), optimizer="adam", jit_compile=True)
    model.fit(x=TEXTS, y=LABELS, batch_size=2, verbose=0)
    model.deberta.trainable = False
    model.compile(optimizer="adam")
    model.fit(TEXTS, LABELS, verbose=0)
    assert len(model.trainable_weights) == 4
    arrays = model.preprocessor(TEXTS, LABELS)
    model.fit(*arrays, verbose=0)
    encoder = TFDebertaV2Model(model.config)
    encoder.enable_lora(4)
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("input_ids", "attention_mask")}
    functional = keras.Model(inputs, keras.layers.Dense(2)(encoder(inputs).last_hidden_state[:, 0]))
    functional.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    functional.fit({name: arrays[0][name] for name in inputs}, np.array(LABELS), verbose=0)
    return ["fit and predict of texts", "jit_compile", "frozen backbone", "preprocessed data", "functional head, LoRA"]


CLIENTS: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "Keras callbacks": ("keras", callbacks),
    "tf.data": ("tensorflow-cpu", data),
    "SavedModel": ("tensorflow-cpu", serving),
    "KerasTuner": ("keras-tuner", tuner),
    "keras-hub's ways": ("keras", keras_hub),
}

if __name__ == "__main__":
    for client, (package, check) in CLIENTS.items():
        keras.utils.set_random_seed(0)
        with tempfile.TemporaryDirectory() as place:
            checks = check(Path(place))
        report(client, checks, package=package)
