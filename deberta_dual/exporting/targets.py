"""What a model can be exported to: who writes it, who runs it, and how close it comes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.convert.task import class_name
from deberta_core.auto import AutoConfig
from deberta_core.checkpoint import FORMATS
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.tasks import task_spec
from deberta_dual.exporting.packages import check_package
from deberta_dual.exporting.source import Run


@dataclass(frozen=True, slots=True)
class Target:
    """A format.

    Attributes:
        folder: where its files are, below the folder of the export.
        file: the main one.
        write: "module:function" that writes it: of a source, the path of the main file, a dtype, further options.
        run: "module:function" that makes of the main file a function of named arrays.
        options: further options it takes.
        needs: the packages, and the extra that installs them.
        bounds: the dtypes it has -> the bound of its outputs in `conformance.tolerances`.
        usage: a line of Python that loads it.
    """

    folder: str
    file: str
    write: str
    run: str
    options: tuple[str, ...]
    needs: tuple[tuple[str, str], ...]
    bounds: Mapping[str, str]
    usage: str

    def file_name(self, dtype: str, ids: str) -> str:
        """The main file's name: others than float32 with ids of int64 say what they are."""
        stem, dot, ending = self.file.partition(".")
        own = {"float16": "_fp16", "bfloat16": "_bf16", "int8": "_int8", "int8-weights": "_int8_weights"}.get(dtype, "")
        return f"{stem}{own}{'_ids32' if ids == 'int32' else ''}{dot}{ending}"

    def check(self) -> None:
        """Refuses where a package is missing or too old.

        Raises:
            InputError: with the line for pip.
        """
        for package, extra in self.needs:
            check_package(package, extra)

    def writer(self) -> Callable[..., None]:
        """The function that writes."""
        write: Callable[..., None] = _named(self.write)
        return write

    def runner(self) -> Callable[[Path], Run]:
        """The function that loads."""
        run: Callable[[Path], Run] = _named(self.run)
        return run


def _named(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


_FLOAT32 = {"float32": "converted"}
_STORED = {**_FLOAT32, "float16": "exported float16", "bfloat16": "exported bfloat16"}
TARGETS: dict[str, Target] = {
    "onnx": Target(
        "onnx",
        "model.onnx",
        "deberta_dual.exporting.onnx_file:export_onnx",
        "deberta_dual.exporting.onnx_file:onnx_session",
        ("ids", "pooling", "normalize", "opset"),
        (("onnx", "onnx"), ("onnxruntime", "onnx")),
        {**_STORED, "int8": "optimized int8", "int8-weights": "optimized int8"},
        'onnxruntime.InferenceSession("onnx/{file}")',
    ),
    "openvino": Target(
        "openvino",
        "openvino_model.xml",
        "deberta_dual.exporting.onnx_file:export_openvino",
        "deberta_dual.exporting.onnx_file:openvino_session",
        ("ids", "pooling", "normalize", "opset"),
        (("onnx", "onnx"), ("openvino", "openvino")),
        {"float32": "converted", "float16": "exported float16", "int8-weights": "optimized int8"},
        'openvino.Core().compile_model("openvino/{file}", "CPU")',
    ),
    "torch-export": Target(
        "torch",
        "model.pt2",
        "deberta_dual.backends.torch_export:write_program",
        "deberta_dual.backends.torch_export:load_program",
        (),
        (("torch", "torch"),),
        _FLOAT32,
        'torch.export.load("torch/{file}").module()',
    ),
    "saved-model": Target(
        "saved_model",
        "saved_model.pb",
        "deberta_dual.backends.tf_export:write_saved_model",
        "deberta_dual.backends.tf_export:load_saved_model",
        (),
        (("tensorflow", "tf"), ("keras", "tf")),
        _FLOAT32,
        'tf.saved_model.load("saved_model").signatures["serving_default"]',
    ),
    "litert": Target(
        "litert",
        "model.tflite",
        "deberta_dual.backends.tf_export:write_litert",
        "deberta_dual.backends.tf_export:load_litert",
        (),
        (("tensorflow", "tf"), ("keras", "tf")),
        _FLOAT32,
        'tf.lite.Interpreter("litert/{file}")',
    ),
}


def exported_config(folder: Path, task: str | None) -> BaseConfig | None:
    """The configuration of a folder that holds a graph and no weights; None for any other.

    Raises:
        InputError: its graph is of another task.
        ConfigError: config.json is missing or wrong.
    """
    graphs = [folder / target.folder for name, target in TARGETS.items() if name in GRAPHS]
    if not folder.is_dir() or not any(map(Path.is_dir, graphs)) or has_weights(folder):
        return None
    config = AutoConfig.from_pretrained(folder)
    wanted = class_name(config, task_spec(task))
    if (found := config.extra.get("architectures")) != [wanted]:
        raise InputError(
            f"{folder} holds a graph of {found}, not of {wanted}. Export that one, or choose another task."
        )
    return config


GRAPHS = ("onnx", "openvino")


def has_weights(folder: Path) -> bool:
    """Whether a checkpoint folder holds weights in any format."""
    return any((folder / name).exists() for row in FORMATS.values() for name in (row.file_name, row.index_name))
