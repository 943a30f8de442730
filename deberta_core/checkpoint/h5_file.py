"""`tf_model.h5`: Hugging Face's TensorFlow names and layout, as Keras 2 wrote them.

Each top-level layer of the model is a group with the attribute `weight_names`; a variable is the dataset
`<layer>/<model instance>/<path>:0`, for example
`deberta/tf_deberta_v2_model/deberta/embeddings/LayerNorm/gamma:0`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.checkpoint.h5_output import new_h5_file
from deberta_core.checkpoint.h5_safety import read_h5_file
from deberta_core.checkpoint.lazy import LazyWeights
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError
from deberta_core.parameters import BIAS, DENSE, Array, Kind, Parameter, expand
from deberta_core.tasks import TASKS, task_spec

# The masked-LM layer there owns the embedding layer too, for the tied decoder, and stores its variables again.
_ALSO_STORED = {"cls": ("deberta/embeddings/",)}
_KERAS_VERSION = "2.21.0"  # of the Keras 2 whose layout this is
_HEADER_LIMIT = 64512  # bytes HDF5 leaves for one attribute; Keras splits a longer list
# A Keras layer lists the variables it made itself, in the order it made them, before those of its sublayers.
_OWN_VARIABLES = ("word_embeddings", "token_type_embeddings", "position_embeddings", "rel_embeddings.weight")
# The last names whose parameters are called `weight` in PyTorch.
_WEIGHT_LEAVES = ("kernel", "gamma", "embeddings", "weight")


def read_h5(file: Path, config: BaseConfig) -> LazyWeights:
    """Opens a tf_model.h5, or a part of one in several files.

    Args:
        file: the file.
        config: decides which parameters the table knows; other variables are named by the general rule.

    Returns:
        canonical PyTorch names (backbone with `deberta.`) to arrays in PyTorch's layout. A variable that is stored
        in two groups (tied embeddings) is one name, and both copies are compared when it is read.

    Raises:
        WeightError: the file is truncated, damaged or of another layout, or points to data outside itself.
    """
    known = {p.h5_path: p for task in (None, *TASKS) for p in expand(config, task).values()}
    return read_h5_file(file, file, lambda path: _canonical(file, path, known))


def write_h5(file: Path, config: BaseConfig, task: str | None, weights: Mapping[str, Array]) -> None:
    """Writes a tf_model.h5 that transformers' TensorFlow class of this model loads, one array at a time.

    Args:
        file: the file, replaced if it exists.
        config: the model's configuration.
        task: its task; None for the backbone.
        weights: the model's names to arrays in PyTorch's layout.
    """
    parameters = sorted(expand(config, task).values(), key=_build_order)
    layers = _layers(parameters, task)
    with new_h5_file(file) as out:
        _write_names(out.handle, "layer_names", layers)
        out.handle.attrs["backend"] = b"tensorflow"
        out.handle.attrs["keras_version"] = _KERAS_VERSION.encode()
        for layer in (*layers, "top_level_model_weights"):
            group = out.handle.create_group(layer)
            own = [p for p in parameters if p.h5_path.split("/")[0] == layer]
            own += [p for p in parameters if p.h5_path.startswith(_ALSO_STORED.get(layer, ("none",)))]
            paths = {p.name: f"{instance_name(config, task)}/{p.h5_path}:0" for p in own}
            _write_names(group, "weight_names", list(paths.values()))
            for parameter in own:
                path = f"{layer}/{paths[parameter.name]}"
                out.write(path, parameter.kind, weights, parameter.name, parameter.shape)


def write_h5_part(file: Path, config: BaseConfig, task: str | None, weights: Mapping[str, Array]) -> None:
    """Writes some parameters as one of several files, which have no groups of layers.

    Args:
        file: the file, replaced if it exists.
        config: the model's configuration.
        task: its task; None for the backbone.
        weights: names and arrays of the model in PyTorch's layout that go into this file.

    Source:
        transformers 4.57.1 `modeling_tf_utils.py`, `save_pretrained` and `load_tf_shard`.
    """
    table = expand(config, task)
    paths = {name: f"{table[name].h5_path}:0" for name in weights}
    with new_h5_file(file) as out:
        for name, path in paths.items():
            out.write(path, table[name].kind, weights, name, table[name].shape)
        _write_names(out.handle, "layer_names", sorted(paths.values()))


def stored_h5(config: BaseConfig, task: str | None) -> dict[str, str]:
    """The paths `write_h5` gives the parameters of a model, by their names."""
    return {
        name: f"{p.h5_path.split('/')[0]}/{instance_name(config, task)}/{p.h5_path}:0"
        for name, p in expand(config, task).items()
    }


def stored_h5_part(config: BaseConfig, task: str | None) -> dict[str, str]:
    """What the index of several files calls the parameters of a model, by their names."""
    return {name: f"{instance_name(config, task)}/{p.h5_path}:0" for name, p in expand(config, task).items()}


def instance_name(config: BaseConfig, task: str | None) -> str:
    """What Keras calls a model: its TensorFlow class in snake case, such as `tf_deberta_v2_model`."""
    name = type(config).__name__.removesuffix("Config") + task_spec(task).class_suffix
    return "tf_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z0-9])", "_", name).lower()


def _canonical(file: Path, path: str, known: Mapping[str, Parameter]) -> tuple[str, Kind]:
    """The PyTorch name and kind of the dataset at `path`."""
    plain = path.removesuffix(":0")
    if plain in known:  # in one of several files
        return known[plain].canonical, known[plain].kind
    parts = plain.split("/", maxsplit=2)
    if len(parts) < 3:
        raise WeightError(
            f"{file} holds {path}, but a tf_model.h5 of Hugging Face holds <layer>/<model>/<variable>. "
            f"Give a file that was saved by a Hugging Face TensorFlow model."
        )
    if parts[2] in known:
        return known[parts[2]].canonical, known[parts[2]].kind
    own = plain if not parts[1].startswith("tf_") else parts[2]
    *modules, leaf = own.split("/")
    ours = "bias" if leaf == "beta" else "weight" if leaf in _WEIGHT_LEAVES else leaf
    name = ".".join([*modules, ours]).replace("layer_._", "layer.")
    return name, DENSE if leaf == "kernel" else BIAS  # the kinds differ in the layout only


def _layers(parameters: Sequence[Parameter], task: str | None) -> list[str]:
    """The top-level layers of a model: those of Hugging Face's class, and of a head that it does not have.

    The masked LM there has the head `cls` alone; with another head that group is not there.
    """
    spec = task_spec(task)
    filled = dict.fromkeys(p.h5_path.split("/")[0] for p in parameters)
    theirs = [layer for layer in spec.h5_layers if layer in filled or layer not in spec.head_modules]
    return [*theirs, *(layer for layer in filled if layer not in theirs)]


def _build_order(parameter: Parameter) -> tuple[bool, int]:
    """Sorts the parameters of a layer as Keras lists variables: by block of the backbone, a block's own first."""
    parts = parameter.h5_path.split("/")
    own = _OWN_VARIABLES.index(parts[2]) if parts[2:] and parts[2] in _OWN_VARIABLES else len(_OWN_VARIABLES)
    return parts[1] == "encoder", own


def _write_names(group: Any, name: str, names: Sequence[str]) -> None:
    """Writes a list of names as an attribute, or as `name0`, `name1`, ... where HDF5 cannot hold it in one.

    Source:
        tf_keras `save_attributes_to_hdf5_group`: the list counts as an array of equally long strings.
    """
    encoded = [entry.encode() for entry in names]
    chunks = 1
    while any(part.nbytes > _HEADER_LIMIT for part in np.array_split(np.asarray(encoded), chunks)):
        chunks += 1
    if chunks == 1:
        group.attrs[name] = encoded
        return
    for number, part in enumerate(np.array_split(np.asarray(encoded), chunks)):
        group.attrs[f"{name}{number}"] = part
