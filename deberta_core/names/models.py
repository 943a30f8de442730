"""Names of transformers at models."""

from __future__ import annotations

from deberta_core.names.rows import Refused, Rows

# Attributes and methods.
MODEL_ATTRIBUTES: Rows = {
    "push_to_hub": Refused("Save the model and upload the folder with huggingface_hub."),
}
