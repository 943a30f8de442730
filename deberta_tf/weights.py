"""Loading and saving of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import keras
import numpy as np

from deberta_core.checkpoint import LoadReport, load_weights, save_weights
from deberta_core.config import BaseConfig
from deberta_core.parameters import Parameter, expand

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
    published_name = type(model).__name__.removeprefix("TF")  # of the PyTorch class, as transformers writes it
    config = model.config.replace(extra=model.config.extra | {"architectures": [published_name]})
    save_weights(folder, config, model.task, _Arrays(model), format, max_shard_size, with_config=True)


def parameter_variables(model: PreTrainedModel) -> dict[str, keras.Variable]:
    """The model's variables by their PyTorch names, in the table's order."""
    prefix = f"{model.path}/"
    by_path = {variable.path.removeprefix(prefix): variable for variable in model.weights}
    return {name: by_path[row.keras_path] for name, row in expand(model.config, model.task).items()}


class _Arrays(Mapping[str, Any]):
    """Parameters as arrays in PyTorch's layout, each converted when it is asked for."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._variables = parameter_variables(model)
        self._table: dict[str, Parameter] = expand(model.config, model.task)

    def __getitem__(self, name: str) -> np.ndarray:
        array = keras.ops.convert_to_numpy(self._variables[name])
        return np.ascontiguousarray(self._table[name].kind.convert(array))

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)
