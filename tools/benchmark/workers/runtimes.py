"""ONNX Runtime and OpenVINO, with models that PyTorch exported from transformers, for every shape or the one asked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from transformers import AutoModel

from tools.benchmark.inputs import Batches
from tools.benchmark.workers import sessions
from tools.benchmark.workers.sessions import INPUTS, feed
from tools.benchmark.workers.torch_steps import Call, Settings


class HiddenStates(torch.nn.Module):
    """A model that returns a tensor."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        """The last hidden states."""
        return self.model(input_ids, attention_mask)[0]


def export(settings: Settings, batches: Batches) -> Path:
    """Writes the ONNX file beside the checkpoint, once per shape, or once where `dynamic` asks for every shape.

    OpenVINO refuses the files of the older exporter.
    """
    place, dynamic = Path(settings.get("place", settings["folder"])), settings.get("dynamic", False)
    shape = "any" if dynamic else "{}x{}".format(*batches.ids[0].shape)
    file = place / f"onnx-{shape}.onnx"
    if not file.exists():
        model = HiddenStates(AutoModel.from_pretrained(settings["folder"])).eval()
        arrays = tuple(torch.from_numpy(array) for array in feed(batches).values())
        options: dict[str, Any] = {}
        if dynamic:  # an example of one text would let the exporter take its 1 for a constant
            arrays = tuple(array.expand(max(2, len(array)), -1) for array in arrays)
            axes = dict.fromkeys(range(arrays[0].ndim), torch.export.Dim.DYNAMIC)
            options["dynamic_shapes"] = dict.fromkeys(INPUTS, axes)
        torch.onnx.export(
            model, arrays, file, dynamo=True, external_data=False, input_names=list(INPUTS), verbose=False, **options
        )
    return file


def quantized(file: Path) -> Path:
    """Weights as int8 per channel. Constants are folded before, or those used twice would stay float32.

    Products with folded position tables, one per head, stay float32: ONNX Runtime has no kernel for them.
    """
    target = file.with_suffix(".int8.onnx")
    if not target.exists():
        with tempfile.TemporaryDirectory() as folder:
            folded = Path(folder) / "folded.onnx"
            quant_pre_process(str(file), str(folded), skip_symbolic_shape=True)
            graph = onnx.load(folded).graph
            tables = {array.name for array in graph.initializer if len(array.dims) > 2}
            kept = [node.name for node in graph.node if node.op_type == "MatMul" and tables & set(node.input)]
            quantize_dynamic(folded, target, weight_type=QuantType.QInt8, per_channel=True, nodes_to_exclude=kept)
    return target


def onnx_runtime(settings: Settings, batches: Batches) -> Call:
    """ONNX Runtime in float32, or int8 by dynamic quantisation."""
    file = export(settings, batches)
    return sessions.onnx_runtime(quantized(file) if settings["dtype"] == "int8" else file, batches)


def open_vino(settings: Settings, batches: Batches) -> Call:
    """OpenVINO with the precision `hint`."""
    return sessions.open_vino(export(settings, batches), batches, settings["hint"])


def target(settings: Settings) -> Path:
    """Where `writing` writes, beside the checkpoint."""
    return Path(settings["folder"]).with_name(settings["target"])


def writing(settings: Settings, batches: Batches) -> Call:
    """Exports transformers' model into the folder `target`."""
    place = target(settings)
    place.mkdir(exist_ok=True)

    def call() -> None:
        for file in place.iterdir():
            file.unlink()
        export({**settings, "place": place}, batches)

    return call


def loading(settings: Settings, batches: Batches) -> Call:
    """Loads what `writing` wrote in the runtime of the subject `runtime`, and answers once."""
    given = {**settings, "place": target(settings)}
    return lambda: SUBJECTS[settings["runtime"]](given, batches)()


def outputs(result: Any) -> list[np.ndarray[Any, Any]]:
    """The hidden states of the one batch."""
    return [np.asarray(hidden, dtype=np.float32) for hidden in result]


SUBJECTS = {"onnx_runtime": onnx_runtime, "open_vino": open_vino, "writing": writing, "loading": loading}
