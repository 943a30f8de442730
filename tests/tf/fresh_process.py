"""Loads what another process saved: every class from .keras, one from .weights.h5, and one to be trained on.

Called with the folder of the files; writes outputs.npz, an output per file, and the weights after one more step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

import deberta_tf
from deberta_core import AutoConfig
from deberta_tf.weights import parameter_variables

folder = Path(sys.argv[1])
with np.load(folder / "batch.npz") as file:
    batch = {name: file[name] for name in file.files}
choices = {name: np.stack([values, values[::-1]], axis=1) for name, values in batch.items()}
found = {}
for path in sorted(folder.glob("*.keras")):
    model = keras.models.load_model(path)
    found[path.stem] = next(iter(model(choices if model.spec.folds_choices else batch))).numpy()

config = AutoConfig.from_pretrained(folder)
model = deberta_tf.TFDebertaV2ForSequenceClassification(config)
model.load_weights(folder / "model.weights.h5")
found["weights"] = model(batch).logits.numpy()

model = keras.models.load_model(folder / "trained.keras")  # compiled, with its optimizer's state
model.train_on_batch(batch, np.arange(len(batch["input_ids"])) % 3)
found |= {f"step/{name}": variable.numpy() for name, variable in parameter_variables(model).items()}
np.savez(folder / "outputs.npz", **found)
