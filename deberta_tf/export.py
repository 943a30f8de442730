"""Models as SavedModels, which plain TensorFlow and TensorFlow Serving run without Keras and without this library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from deberta_core.errors import InputError, one_of

if TYPE_CHECKING:
    from deberta_tf.models import PreTrainedModel

Serve = Callable[[dict[str, Any]], dict[str, Any]]
# Signature -> the type of its inputs, and whether the mask is one of them. The first one computes, the others call it.
SIGNATURES: dict[str, tuple[str, bool]] = {
    "serving_default": ("int32", True),
    "serving_int64": ("int64", True),
    "serving_without_mask": ("int32", False),
}
# What Keras 3.15 writes of these models, on TensorFlow, and why it cannot write the rest.
FORMATS = ("tf_saved_model", "litert", "openvino")
_NOT_WRITTEN = {
    "onnx": "tf2onnx has no exact GELU. Export deberta_torch's model with torch.onnx.export, or take another format",
    "torch": "it is PyTorch's own. Export deberta_torch's model with torch.export, or take another format",
}
_EXTRA_ASSETS = "assets.extra"  # where the format lets a model keep files of its own


def check_export(model: PreTrainedModel, format: str) -> None:
    """Refuses what Keras cannot write.

    Raises:
        InputError: another format than `FORMATS`, or another backend than TensorFlow.
    """
    if format in _NOT_WRITTEN:
        raise InputError(f"format={format!r} is not written: {_NOT_WRITTEN[format]}: {', '.join(FORMATS)}.")
    if format not in FORMATS:
        raise InputError(one_of("format", format, FORMATS))
    if (backend := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"these models are exported on TensorFlow alone, and Keras runs on {backend}. Save the model, and load and "
            f"export it with KERAS_BACKEND=tensorflow."
        )


def export_saved_model(model: PreTrainedModel, folder: str | Path, verbose: bool | None = None) -> None:
    """Writes a model as a SavedModel.

    Every signature of `SIGNATURES` takes named tensors of one integer type, `[B, L]` of any B and L, `[B, N, L]` for
    multiple choice: `input_ids`, `attention_mask` (not in `serving_without_mask`, which keeps every token), and
    `token_type_ids` where the model has token types. It returns the model's outputs by their names, in evaluation mode:
    `last_hidden_state`, `logits`, or `start_logits` and `end_logits`.

    The configuration, with the names of the labels, lies in `assets.extra/config.json`.

    Args:
        model: any model; it need not have been called.
        folder: where to; what is there is replaced file by file.
        verbose: whether Keras prints the signatures.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    serve = _evaluate(model)
    for name, (dtype, has_mask) in SIGNATURES.items():
        endpoint = archive.add_endpoint(name, serve, [input_specs(model, dtype, has_mask)])
        serve = _as_first(endpoint) if name == "serving_default" else serve
    archive.write_out(str(folder), verbose=bool(verbose))
    model.config.save_pretrained(Path(folder) / _EXTRA_ASSETS)


def input_specs(model: PreTrainedModel, dtype: str = "int32", has_mask: bool = True) -> dict[str, keras.InputSpec]:
    """The inputs that a model is exported with, by name, of any B and L."""
    names = ["input_ids"]
    if has_mask:
        names.append("attention_mask")
    if model.config.type_vocab_size:
        names.append("token_type_ids")
    shape = (None, None, None) if model.spec.folds_choices else (None, None)
    return {name: keras.InputSpec(shape=shape, dtype=dtype, name=name) for name in names}


def _evaluate(model: PreTrainedModel) -> Serve:
    return lambda inputs: dict(model(inputs, return_dict=True, training=False).items())


def _as_first(serve: Serve) -> Serve:
    """Calls `serving_default` with what another signature is given; the model is traced once."""

    def convert(inputs: dict[str, Any]) -> dict[str, Any]:
        mask = ops.ones_like(inputs["input_ids"])
        named = {"attention_mask": mask, **inputs}
        return serve({name: ops.cast(value, "int32") for name, value in named.items()})

    return convert
