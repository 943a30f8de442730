"""The table of formats, and opening a checkpoint without knowing which it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deberta_core.checkpoint.h5_file import read_h5, stored_h5, write_h5
from deberta_core.checkpoint.lazy import LazyWeights
from deberta_core.checkpoint.safetensors_file import read_safetensors, write_safetensors
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError, one_of
from deberta_core.parameters import Array, Parameter

Reader = Callable[[Path, BaseConfig], LazyWeights]
Writer = Callable[[Path, BaseConfig, str | None, Mapping[str, Array]], None]


@dataclass(frozen=True, slots=True)
class Format:
    """One format of weight files; any pair converts through PyTorch names and layout.

    Attributes:
        name: what `--to` and `save_pretrained(format=...)` call it.
        file_name: the file in a checkpoint folder.
        read: opens a file.
        write: writes a file from the weights of a model.
        stored_name: the name a parameter of a model gets in the file.
        keras_layout: whether the file holds arrays in Keras' layout.
        dtypes: what its parameters can be.
    """

    name: str
    file_name: str
    read: Reader
    write: Writer
    stored_name: Callable[[Parameter, BaseConfig, str | None], str]
    keras_layout: bool
    dtypes: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """How its files end."""
        return Path(self.file_name).suffix


# In the order in which a folder with several is read.
FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format(
            name="safetensors",
            file_name="model.safetensors",
            read=read_safetensors,
            write=write_safetensors,
            stored_name=lambda parameter, config, task: parameter.name,
            keras_layout=False,
            dtypes=("float32", "float16", "bfloat16", "float64"),
        ),
        Format(
            name="h5",
            file_name="tf_model.h5",
            read=read_h5,
            write=write_h5,
            stored_name=stored_h5,
            keras_layout=True,
            dtypes=("float32",),  # HDF5 has no bfloat16, and transformers' classes make float32 variables
        ),
    )
}


def format_named(name: str) -> Format:
    """The row of a format.

    Raises:
        WeightError: no such format; the message lists them.
    """
    if name not in FORMATS:
        raise WeightError(one_of("format", name, list(FORMATS)))
    return FORMATS[name]


def find_weight_file(path: str | Path) -> tuple[Path, Format]:
    """The weight file of a checkpoint, and its format.

    Args:
        path: a folder, in which the first format of `FORMATS` wins, or the file itself.

    Raises:
        WeightError: there is none; the message says what was looked for.
    """
    path = Path(path)
    names = ", ".join(row.file_name for row in FORMATS.values())
    if path.is_dir():
        for row in FORMATS.values():
            if (path / row.file_name).is_file():
                return path / row.file_name, row
        raise WeightError(f"{path} holds no weight file. Looked for: {names}.")
    if not path.is_file():
        raise WeightError(f"{path} does not exist. Give a folder that holds one of {names}, or such a file.")
    for row in FORMATS.values():
        if path.name.endswith(row.suffix):
            return path, row
    raise WeightError(f"{path} is no weight file that can be read. Its name must end as one of: {names}.")


def open_weights(path: str | Path, config: BaseConfig) -> LazyWeights:
    """Opens the weight file of a checkpoint.

    Args:
        path: a folder or the file itself.
        config: the model's configuration.

    Returns:
        PyTorch names, as the checkpoint's kind of model has them, to arrays in PyTorch's layout.

    Raises:
        WeightError: there is no such file, or it is damaged.
    """
    file, row = find_weight_file(path)
    return row.read(file, config)
