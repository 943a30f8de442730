"""Names of keras-hub and of TensorFlow in transformers 4."""

from __future__ import annotations

from deberta_core.names.rows import Refused, Rows

# Arguments of the Keras models.
KERAS_OPTIONS: Rows = {
    "saved_model": Refused("Call model.export(folder)."),
}
