"""The table of formats, and opening a checkpoint without knowing which it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from deberta_core.arguments import to_path
from deberta_core.checkpoint.bin_file import read_bin, write_bin
from deberta_core.checkpoint.h5_file import read_h5, stored_h5, stored_h5_part, write_h5, write_h5_part
from deberta_core.checkpoint.keras_archive import write_keras_archive
from deberta_core.checkpoint.keras_file import read_keras, stored_keras, write_keras
from deberta_core.checkpoint.lazy import LazyWeights
from deberta_core.checkpoint.safetensors_file import read_safetensors, write_safetensors
from deberta_core.checkpoint.shards import INDEX_SUFFIX, read_shards
from deberta_core.checkpoint.wrappers import unwrapped
from deberta_core.config import BaseConfig
from deberta_core.config_place import GENERATOR
from deberta_core.errors import WeightError, one_of
from deberta_core.other_folders import describe_folder
from deberta_core.parameters import OLD_PREFIXES, Array, expand
from deberta_core.transaction import settle

# By Microsoft's own code, with the number of the step; of several the one that is meant must be given.
_MICROSOFT_FILES = "pytorch.model-*.bin"

Reader = Callable[[Path, BaseConfig], LazyWeights]
Writer = Callable[[Path, BaseConfig, str | None, Mapping[str, Array]], None]
Namer = Callable[[BaseConfig, str | None], dict[str, str]]
_TORCH_DTYPES = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True, slots=True)
class Format:
    """One format of weight files; any pair converts through PyTorch names and layout.

    Attributes:
        name: what `--to` and `save_pretrained(format=...)` call it.
        file_name: the file in a checkpoint folder.
        suffixes: how its files may end.
        read: opens a file.
        write: writes a file from the weights of a model.
        stored_names: the names the parameters of a model get in the file.
        keras_layout: whether the file holds arrays in Keras' layout.
        dtypes: what its parameters can be.
        write_part: writes one of several files; None for a format that has no index.
        indexed_names: the names the parameters get in the index; None for `stored_names`.
    """

    name: str
    file_name: str
    suffixes: tuple[str, ...]
    read: Reader
    write: Writer
    stored_names: Namer
    keras_layout: bool
    dtypes: tuple[str, ...]
    write_part: Writer | None = None
    indexed_names: Namer | None = None

    @property
    def index_name(self) -> str:
        """The index of a checkpoint in several files."""
        return self.file_name + INDEX_SUFFIX


def _own_names(config: BaseConfig, task: str | None) -> dict[str, str]:
    return {name: name for name in expand(config, task)}


FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format(
            name="safetensors",
            file_name="model.safetensors",
            suffixes=(".safetensors",),
            read=read_safetensors,
            write=write_safetensors,
            stored_names=_own_names,
            keras_layout=False,
            dtypes=_TORCH_DTYPES,
            write_part=write_safetensors,
        ),
        Format(
            name="bin",
            file_name="pytorch_model.bin",
            suffixes=(".bin", ".pt", ".pth", ".ckpt"),
            read=read_bin,
            write=write_bin,
            stored_names=_own_names,
            keras_layout=False,
            dtypes=_TORCH_DTYPES,
            write_part=write_bin,
        ),
        Format(
            name="keras",
            file_name="model.weights.h5",
            suffixes=(".weights.h5",),
            read=read_keras,
            write=write_keras,
            stored_names=stored_keras,
            keras_layout=True,
            dtypes=_TORCH_DTYPES,
        ),
        Format(
            name="h5",
            file_name="tf_model.h5",
            suffixes=(".h5",),
            read=read_h5,
            write=write_h5,
            stored_names=stored_h5,
            keras_layout=True,
            # HDF5 has no bfloat16, and transformers' classes make float32 variables and would widen the others.
            dtypes=("float32",),
            write_part=write_h5_part,
            indexed_names=stored_h5_part,
        ),
        Format(
            name="keras-archive",
            file_name="model.keras",
            suffixes=(".keras",),
            read=read_keras,
            write=write_keras_archive,
            stored_names=stored_keras,
            keras_layout=True,
            dtypes=_TORCH_DTYPES,
        ),
    )
}
"""The formats by name, in the order in which a folder with several is read."""

# The weights of a generator, which lie beside those of the discriminator it was trained with.
GENERATOR_FILES = tuple(FORMATS[name].file_name.replace(".", GENERATOR, 1) for name in ("safetensors", "bin"))


def format_named(name: str) -> Format:
    """The row of a format.

    Raises:
        WeightError: no such format; the message lists them.
    """
    if not isinstance(name, str) or name not in FORMATS:
        raise WeightError(one_of("format", name, list(FORMATS)))
    return FORMATS[name]


def find_weight_file(path: str | Path) -> tuple[Path, Format]:
    """The weight file of a checkpoint, or the index of several, and the format.

    Args:
        path: a folder, in which the first format of `FORMATS` wins, and one file before several; or the file itself.

    Raises:
        WeightError: there is none; the message says what was looked for.
    """
    path = to_path("path", path, WeightError)
    names = ", ".join(row.file_name for row in FORMATS.values())
    settle(path if path.is_dir() else path.parent, WeightError)
    if path.is_dir():
        for row in FORMATS.values():
            for name in (row.file_name, row.index_name):
                if (path / name).is_file():
                    return path / name, row
        theirs = sorted(path.glob(_MICROSOFT_FILES))
        if len(theirs) == 1:
            return theirs[0], FORMATS["bin"]
        kind = describe_folder(path) or f"Looked for: {names}, or an index of several files."
        raise WeightError(f"{path} holds no weight file. {kind}")
    if not path.is_file():
        raise WeightError(f"{path} does not exist. Give a folder that holds one of {names}, or such a file.")
    for row in FORMATS.values():
        if path.name.removesuffix(INDEX_SUFFIX).endswith(row.suffixes):
            return path, row
    raise WeightError(f"{path} is no weight file that can be read. Its name must end as one of: {names}.")


def open_weights(path: str | Path | LazyWeights, config: BaseConfig, own: Collection[str] = ()) -> LazyWeights:
    """Opens the weights of a checkpoint.

    Args:
        path: a folder, the file itself, or the index of several files; or weights that are open, under any names.
        config: the model's configuration.
        own: names beside the backbone of a user's model; a file with one of them is that model, and is taken whole.

    Returns:
        PyTorch names, as the checkpoint's kind of model has them, to arrays in PyTorch's layout. Old beginnings of
        names (`OLD_PREFIXES`) are replaced, and of a model inside another module (`unwrapped`) left out.

    Raises:
        WeightError: there is no such file, or it is damaged.
    """
    weights = path if isinstance(path, LazyWeights) else _open_files(path, config)
    if not any(name in weights for name in own):
        weights = unwrapped(weights)
    for old, new in OLD_PREFIXES.items():
        names = {new + name.removeprefix(old) if name.startswith(old) else name: name for name in weights}
        if len(names) == len(weights):  # else both spellings are there, and loading says so
            weights = weights.select(names)
    return weights


def _open_files(path: str | Path, config: BaseConfig) -> LazyWeights:
    file, row = find_weight_file(path)
    is_index = file.name.endswith(INDEX_SUFFIX)
    return read_shards(file, config, row.read) if is_index else row.read(file, config)
