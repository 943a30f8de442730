"""Runs SavedModels with plain TensorFlow: Keras and this library cannot be imported here.

Called with a folder of SavedModels, each beside an npz of its inputs, `signature/batch number/input name`; writes an
npz of its outputs.
"""

from __future__ import annotations

import sys
from pathlib import Path

for name in ("keras", "deberta_tf", "deberta_core"):
    sys.modules[name] = None

import numpy as np  # noqa: E402 - after what is forbidden
import tensorflow as tf  # noqa: E402 - the same

for path in sorted(Path(sys.argv[1]).glob("*.inputs.npz")):
    model = tf.saved_model.load(str(path).removesuffix(".inputs.npz"))
    calls, outputs = {}, {}
    with np.load(path) as file:
        for key in file.files:
            signature, number, name = key.split("/")
            calls.setdefault((signature, number), {})[name] = tf.constant(file[key])
    for (signature, number), inputs in calls.items():
        found = model.signatures[signature](**inputs)
        outputs |= {f"{signature}/{number}/{name}": value.numpy() for name, value in found.items()}
    np.savez(str(path).replace("inputs", "outputs"), **outputs)
