"""Loading and saving of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import keras
import numpy as np

from deberta_core.checkpoint import LoadReport, load_weights, save_weights
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError
from deberta_core.parameters import BIAS, Parameter, expand

if TYPE_CHECKING:
    from deberta_tf.models import PreTrainedModel

    Model = TypeVar("Model", bound=PreTrainedModel)


def load(
    cls: type[Model],
    config: BaseConfig,
    path: Path,
    *,
    dtype: Any,
    new_head: bool,
    ignore_mismatched_sizes: bool,
) -> tuple[Model, LoadReport]:
    """Builds a model and fills it from a checkpoint; arguments as in `from_pretrained`."""
    loaded = load_weights(path, config, cls.task, new_head=new_head, ignore_mismatched_sizes=ignore_mismatched_sizes)
    model = cls(config, dtype=dtype)
    assign(model, loaded.weights)
    model._tokenizer_folder = path if path.is_dir() else path.parent
    return model, loaded.report


def assign(model: PreTrainedModel, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets parameters by name, from arrays in PyTorch's layout."""
    variables = parameter_variables(model)
    table = expand(model.config, model.task)
    for name, array in arrays.items():
        variables[name].assign(np.ascontiguousarray(table[name].kind.convert(array)))


def save(model: PreTrainedModel, folder: Path, max_shard_size: int | str | None, format: str) -> None:
    """Writes config.json and the weights; arguments as in `save_pretrained`."""
    save_weights(
        folder, published_config(model), model.task, merged_arrays(model), format, max_shard_size, with_config=True
    )
    if model._preprocessor is not None:
        model._preprocessor.tokenizer.save_pretrained(folder)


def published_config(model: PreTrainedModel) -> BaseConfig:
    """The configuration with the name of the PyTorch class, as transformers writes it."""
    published_name = type(model).__name__.removeprefix("TF")
    return model.config.replace(extra=model.config.extra | {"architectures": [published_name]})


def merged_arrays(model: PreTrainedModel) -> Mapping[str, np.ndarray]:
    """The parameters as arrays in PyTorch's layout, with adapters merged, each made when it is asked for.

    Raises:
        WeightError: the model is quantized.
    """
    if any("int" in str(variable.dtype) for variable in parameter_variables(model).values()):
        raise WeightError(
            "the model is quantized, and checkpoints hold floats alone. Save it with model.save('model.keras'), or "
            "before quantize()."
        )
    return _Arrays(model)


def parameter_variables(model: PreTrainedModel) -> dict[str, keras.Variable]:
    """The model's variables by their PyTorch names, in the table's order."""
    prefix = f"{model.path}/"
    by_path = {variable.path.removeprefix(prefix): variable for variable in model.weights}
    return {name: by_path[row.keras_path] for name, row in expand(model.config, model.task).items()}


def layers_by_parameter(model: Any) -> dict[str, Any]:
    """The layers that own the model's parameters, by the parameters' PyTorch names."""
    by_path = {layer.path: layer for layer in model._flatten_layers()}
    owners = {name: variable.path.rpartition("/")[0] for name, variable in parameter_variables(model).items()}
    return {name: by_path[path] for name, path in owners.items()}


def lora_factors(layer: Any) -> tuple[Any, Any]:
    """The two matrices of a layer's adapter, whose product is added to its own, in Keras' layout."""
    if isinstance(layer, keras.layers.Embedding):
        return layer.lora_embeddings_a, layer.lora_embeddings_b
    return layer.lora_kernel_a, layer.lora_kernel_b


def alpha_of(layer: Any) -> float:
    """What a layer's adapter is multiplied by, times its rank; Keras has it since 3.10."""
    return getattr(layer, "lora_alpha", layer.lora_rank)


class _Arrays(Mapping[str, Any]):
    """See `merged_arrays`."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._variables = parameter_variables(model)
        self._table: dict[str, Parameter] = expand(model.config, model.task)
        self._layers = layers_by_parameter(model)

    def __getitem__(self, name: str) -> np.ndarray:
        array = keras.ops.convert_to_numpy(self._variables[name])
        layer, kind = self._layers[name], self._table[name].kind
        if getattr(layer, "lora_enabled", False) and kind is not BIAS:
            one, other = map(keras.ops.convert_to_numpy, lora_factors(layer))
            array = (array.astype(np.float32) + one @ other * (alpha_of(layer) / layer.lora_rank)).astype(array.dtype)
        return np.ascontiguousarray(kind.convert(array))

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)
