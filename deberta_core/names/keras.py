"""Names of keras-hub and of TensorFlow in transformers 4."""

from __future__ import annotations

from deberta_core.names.rows import Refused, Renamed, Rows

# Arguments of the Keras models.
KERAS_OPTIONS: Rows = {
    "saved_model": Refused("Call model.export(folder)."),
    "state_dict": Refused("Make the model of its configuration and assign to its variables."),
}
# Arguments of `TextPreprocessor`.
PREPROCESSOR_OPTIONS: Rows = {
    "sequence_length": Renamed("max_length", note='`padding="max_length"` for rows of that length'),
    "truncate": Refused("Texts are cut from the end, the longer one of a pair first."),
}
