"""ONNX Runtime and OpenVINO as `Backend`s, which run graphs of this library and train nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, one_of
from deberta_core.inputs import check_inputs
from deberta_core.tasks import task_spec
from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.exporting.cache import cached_graph
from deberta_dual.exporting.onnx_file import onnx_session, openvino_session
from deberta_dual.exporting.targets import TARGETS, exported_config

if TYPE_CHECKING:
    from deberta_dual.finetuning.run import Run

_CPU = (None, "cpu", -1)
_OPTIONS = ("threads",)


@dataclass(frozen=True, slots=True, eq=False)
class GraphModel:
    """A model as a graph in a runtime.

    Attributes:
        config: the configuration.
        task: a name of `deberta_core.tasks.TASKS`; None for the backbone.
        dtype: what it was loaded in.
        run: outputs by name of inputs by name.
        file: the graph.
        framework: "onnx" or "openvino".
    """

    config: BaseConfig
    task: str | None
    dtype: str
    run: Callable[[Arrays], Arrays]
    file: Path
    framework: str


@dataclass(frozen=True, slots=True)
class GraphBackend:
    """A runtime; see `Backend`.

    Args:
        name: of the framework.
        dtypes: what a model can be loaded in -> the dtype of its graph, and what else the session is told.
        session: makes a function of a graph.
    """

    name: str
    dtypes: Mapping[str, tuple[str, Mapping[str, Any]]]
    session: Callable[..., Callable[[Arrays], Arrays]]

    def is_model(self, model: Any) -> bool:
        """See `Backend.is_model`."""
        return isinstance(model, GraphModel) and model.framework == self.name

    def load_model(self, folder: Path, task: str | None, device: Any = None, dtype: Any = None, **options: Any) -> Any:
        """See `Backend.load_model`: an exported folder's graph, or one made of a checkpoint; `threads` is an option."""
        self._check_device(device)
        chosen = "float32" if dtype in (None, "auto") else str(dtype).removeprefix("torch.")
        if chosen not in self.dtypes:
            raise InputError(one_of(f"{self.name}'s dtype", chosen, tuple(self.dtypes)))
        if unknown := sorted({*options} - {*_OPTIONS}):
            raise InputError(f"{unknown[0]!r} is no option of framework={self.name!r}. Leave it out.")
        kind, settings = self.dtypes[chosen]
        config = exported_config(folder, task)
        if config is None:
            from deberta_core.checkpoint import load_config

            config, file = load_config(None, folder, task), cached_graph(folder, task, kind)
        else:
            file = self._exported(folder, kind)
        return GraphModel(config, task, chosen, self.session(file, **settings, **options), file, self.name)

    def place_model(self, model: Any, device: Any) -> Any:
        """See `Backend.place_model`; there is the CPU alone."""
        self._check_device(device)
        return "cpu"

    def tensor(self, array: NDArray[Any]) -> Any:
        """See `Backend.tensor`: arrays are NumPy's."""
        return array

    def array_model(self, model: Any, device: Any = None) -> ArrayModel:
        """See `Backend.array_model`."""
        self._check_device(device)
        return ArrayModel(model.config, model.task, partial(_run, model))

    def trainable_model(
        self, config: BaseConfig, task: str | None, folder: Path | None, dtype: str, device: Any = None
    ) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
        """Raises InputError."""
        self._refuse_training()

    def set_parameters(self, model: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Raises InputError."""
        self._refuse_training()

    def is_finite(self, model: Any) -> bool:
        """Raises InputError."""
        self._refuse_training()

    def train(self, model: Any, run: Run, device: Any = None) -> None:
        """Raises InputError."""
        self._refuse_training()

    def save_model(self, model: Any, folder: Path, adapter: Path | None = None) -> None:
        """Raises InputError."""
        self._refuse_training()

    def peak_memory(self, model: Any) -> int | None:
        """See `Backend.peak_memory`; the process knows."""
        return None

    def _refuse_training(self) -> NoReturn:
        raise InputError(f"framework={self.name!r} runs models and trains none. Use 'torch' or 'tf'.")

    def _check_device(self, device: Any) -> None:
        if device not in _CPU:
            raise InputError(f"framework={self.name!r} runs on the CPU, not on device={device!r}. Leave it out.")

    def _exported(self, folder: Path, kind: str) -> Path:
        for name in (self.name, "onnx"):  # OpenVINO reads both
            target = TARGETS[name]
            file = folder / target.folder / target.file_name(kind, "int64")
            if file.is_file():
                return file
        raise InputError(
            f"{folder} has no {self.name} graph in {kind}, and no weights to make one of. Export it with "
            f"deberta export --to {self.name} --dtype {kind}."
        )


def _run(model: GraphModel, inputs: Arrays, places: NDArray[Any] | None) -> Arrays:
    given, spec = dict(inputs), task_spec(model.task)
    if model.config.type_vocab_size and "token_type_ids" not in given:
        given["token_type_ids"] = np.zeros_like(given["input_ids"])
    # A runtime would say of a text that is too long which of its operators failed.
    check_inputs(model.config, {name: one.reshape(-1, one.shape[-1]) for name, one in given.items()}, spec)
    if places is not None:
        given["places"] = places
    outputs = model.run(given)
    if places is not None and outputs["logits"].ndim == len(places.shape) + 1:  # an exported graph has all tokens
        outputs = {"logits": outputs["logits"][places[:, 0], places[:, 1]]}
    return outputs


_PLAIN: Mapping[str, Any] = {}
ONNX = GraphBackend(
    "onnx",
    {name: (name, _PLAIN) for name in ("float32", "float16", "bfloat16", "int8")},
    onnx_session,
)
OPENVINO = GraphBackend(
    "openvino",
    {
        "float32": ("float32", _PLAIN),
        "bfloat16": ("float32", {"dtype": "bfloat16"}),
        "int8": ("int8-weights", _PLAIN),
    },
    openvino_session,
)
