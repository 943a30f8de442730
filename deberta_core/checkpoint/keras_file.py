"""`model.weights.h5` and `.keras`: what `save_weights` and `save` of our Keras models write.

Keras keys variables by the attributes that lead to them and their number, such as
`deberta/encoder/layer/layer_1/attention/self/query_proj/vars/0`. The paths follow from the parameter table; no model
is built.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deberta_core.checkpoint.h5_output import new_h5_file
from deberta_core.checkpoint.h5_safety import read_h5_file
from deberta_core.checkpoint.lazy import LazyWeights
from deberta_core.checkpoint.raw_file import RawFile
from deberta_core.checkpoint.zip_archive import data_offset, open_zip
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError
from deberta_core.parameters import BIAS, Array, Kind, Parameter, expand
from deberta_core.tasks import TASKS

IN_ARCHIVE = "model.weights.h5"
_VARIABLES = "vars"
_NO_PARAMETERS = ("optimizer/",)  # what a compiled model saves besides
_LAYER = re.compile(r"\blayer_(\d+)\b")
# Paths of layer names -> those of attributes, where they differ: a name that Keras reserves, a module that is only a
# name, and a property, which leaves its layer in the model's list.
_ATTRIBUTES = {
    "output": "output_block",
    "cls/predictions": "cls/inner",
    "lm_predictions/lm_head": "head/inner",
    "qa_outputs": "layers/dense",
    "mask_predictions": "layers/replaced_token_head",
    "pooler": "layers/context_pooler",
}
# Fields that config.json may lack, which the names in the file then tell.
_UNTOLD: tuple[dict[str, Any], ...] = ({"legacy": True}, {"legacy": False}, {"mlm_decoder": "enhanced"})
_RENAMED = re.compile(
    r"^(?:cls/predictions|lm_predictions/lm_head|qa_outputs|pooler|mask_predictions)(?=/)|\boutput(?=/)"
)


def read_keras(file: Path, config: BaseConfig) -> LazyWeights:
    """Opens weights that a Keras model of ours saved, from a `.weights.h5` or a `.keras` file.

    Args:
        file: the file.
        config: decides the paths of parameters.

    Returns:
        PyTorch names, as the model has them, to arrays in PyTorch's layout.

    Raises:
        WeightError: the file is truncated or damaged, holds a path that no model of `config` has, or points to data
            outside itself.
    """
    known = {
        path: parameter
        for task in (None, *TASKS)
        for changes in _UNTOLD
        if config.can_enhance_decoder or "mlm_decoder" not in changes
        for path, parameter in _parameters(config.replace(**changes), task)
    }

    def canonical(path: str) -> tuple[str, Kind] | None:
        if path in known:
            return known[path].name, known[path].kind
        if path.startswith(_NO_PARAMETERS):
            return None
        return _by_rule(path), BIAS  # unexpected; loading says so

    if not zipfile.is_zipfile(file):
        return read_h5_file(file, file, canonical)
    raw = RawFile(file)
    try:
        part = _Part(raw)
        return read_h5_file(file, part, canonical)
    except BaseException:
        raw.close()
        raise


def write_keras(file: Path, config: BaseConfig, task: str | None, weights: Mapping[str, Array]) -> None:
    """Writes a `.weights.h5` that `load_weights` of our Keras model reads, piece by piece.

    Args:
        file: the file, replaced if it exists.
        config: the model's configuration.
        task: its task; None for the backbone.
        weights: the model's names to arrays in PyTorch's layout.
    """
    with new_h5_file(file) as out:
        for path, parameter in _parameters(config, task):
            out.write(path, parameter.kind, weights, parameter.name, parameter.shape)
            module = path.rsplit("/", 2)[0]
            out.handle[f"{module}/{_VARIABLES}"].attrs["name"] = parameter.keras_path.split("/")[-2]


def stored_keras(config: BaseConfig, task: str | None) -> dict[str, str]:
    """The paths `write_keras` gives the parameters of a model, by their names."""
    return {parameter.name: path for path, parameter in _parameters(config, task)}


def _parameters(config: BaseConfig, task: str | None) -> list[tuple[str, Parameter]]:
    """Paths and parameters; a module's variables are numbered in the table's order."""
    counts: dict[str, int] = {}
    found = []
    for parameter in expand(config, task).values():
        module = parameter.keras_path.rpartition("/")[0]
        number = counts[module] = counts.get(module, -1) + 1
        found.append((f"{_attributes(module)}/{_VARIABLES}/{number}", parameter))
    return found


def _attributes(module: str) -> str:
    module = _RENAMED.sub(lambda match: _ATTRIBUTES[match[0]], f"{module}/")
    # Of a list, the first is named by its class alone.
    return _LAYER.sub(lambda match: "layer/layer" + (f"_{match[1]}" if match[1] != "0" else ""), module)[:-1]


def _by_rule(path: str) -> str:
    """What the parameter at a path of another model is probably called."""
    module, _, number = path.rpartition(f"/{_VARIABLES}/")
    module = re.sub(r"layer/layer(?:_(\d+))?(?=/|$)", lambda match: f"layer/{match[1] or 0}", module)
    for name, attributes in _ATTRIBUTES.items():
        module = re.sub(rf"\b{attributes}\b", name, module)
    return f"{module}/{'bias' if number == '1' else 'weight'}".replace("/", ".")


class _Part(io.RawIOBase):
    """The weights in a `.keras` archive, as a file of their own."""

    def __init__(self, raw: RawFile) -> None:
        super().__init__()
        self._raw = raw
        self._position = 0
        with open_zip(raw) as archive:
            if IN_ARCHIVE not in archive.NameToInfo:
                raise WeightError(f"{raw.file} is an archive without {IN_ARCHIVE}. Save the model again.")
            info = archive.getinfo(IN_ARCHIVE)
        self._begin, self._size = data_offset(raw, info), info.file_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        count = max(0, min(len(view), self._size - self._position))
        view[:count] = self._raw.read_bytes(self._begin + self._position, count)
        self._position += count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
