"""Keras' `quantize`, whose result is saved with the model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import keras

from deberta_core.errors import InputError

KERAS_CHOOSES_LAYERS = "filters" in inspect.signature(keras.Model.quantize).parameters


class Quantizable(keras.Model):
    """The quantized side of a model, mixed into it."""

    def quantize(self, mode: str | None = None, config: Any = None, filters: Any = None, **options: Any) -> None:
        """Keras' `quantize` of the dense and embedding layers, which are those that can be; the others stay.

        `model.save("model.keras")`, `save_weights` and `export` keep it; `save_pretrained` refuses, since the files
        of a checkpoint hold floats alone.

        Args:
            mode: "int8", "int4" or "float8"; "gptq" and "awq", which calibrate, want a sequential model.
            config: options of Keras; such a model cannot be saved.
            filters: Keras' choice of layers: a pattern of names, several, or a function of a layer.
            **options: Keras' others.

        Raises:
            InputError: Keras is older than 3.13, whose `quantize` chooses no layers.
        """
        if not KERAS_CHOOSES_LAYERS:
            raise InputError(f"quantize needs Keras 3.13 or newer, and this is {keras.__version__}. Update it.")
        super().quantize(
            mode, config=config, filters=lambda layer: isinstance(layer, _KINDS) and _fits(layer, filters), **options
        )

    def quantized_layers(self) -> dict[str, str]:
        """The modes of quantized layers by their paths, without the model's own name."""
        layers = [layer for layer in self._flatten_layers() if getattr(layer, "quantization_mode", None)]
        return {layer.path.removeprefix(f"{self.path}/"): layer.quantization_mode for layer in layers}

    def quantize_layers(self, modes: Mapping[str, str]) -> None:
        """Quantizes layers as `quantized_layers` says."""
        owners = [layer for layer in self._flatten_layers() if layer.path]  # those of others are not known yet
        by_path = {layer.path.removeprefix(f"{self.path}/"): layer for layer in owners}
        for path, mode in modes.items():
            by_path[path].quantize(mode)


_KINDS = (keras.layers.Dense, keras.layers.Embedding)


def _fits(layer: Any, filters: Any) -> bool:
    """As Keras reads `filters`."""
    if filters is None or callable(filters):
        return filters is None or bool(filters(layer))
    return any(re.search(pattern, layer.name) for pattern in ([filters] if isinstance(filters, str) else filters))
