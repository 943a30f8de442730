"""Models as programs of `torch.export`, which torch alone runs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

import deberta_torch
from deberta_core.tasks import task_spec

if TYPE_CHECKING:
    from deberta_dual.exporting.source import Run, Source

_EXAMPLE = (2, 16)  # rows and tokens of the inputs a model is traced with; any others are taken


class _Served(nn.Module):
    """A model that takes tensors in a row and returns its outputs by name."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The outputs, in evaluation mode."""
        outputs = self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True)
        return {name: value for name, value in outputs.items() if isinstance(value, Tensor)}


def write_program(source: Source, file: Path, dtype: str) -> None:
    """Writes a source as a program: inputs `input_ids`, `attention_mask` and, where used, `token_type_ids`."""
    model_class = getattr(deberta_torch, task_spec(source.task).auto_class).classes[source.config.model_type]
    model = model_class.from_pretrained(source.folder, source.config).eval()
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if source.config.type_vocab_size else [])]
    folds = task_spec(source.task).folds_choices
    shape = (_EXAMPLE[0], 2, _EXAMPLE[1]) if folds else _EXAMPLE
    example = tuple(torch.ones(shape, dtype=torch.int64) for _ in names)
    shapes = {"inputs": tuple(dict.fromkeys(range(len(shape)), Dim.AUTO) for _ in names)}
    with torch.no_grad():
        program = torch.export.export(_Served(model, names), example, dynamic_shapes=shapes, strict=False)
    content = io.BytesIO()  # torch ends the process where a disk is full
    torch.export.save(program, content)
    file.write_bytes(content.getbuffer())


def load_program(file: Path) -> Run:
    """A program as a function of named arrays."""
    module = torch.export.load(file).module()

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in inputs]
        with torch.no_grad():
            outputs = module(*(torch.from_numpy(inputs[name]).to(torch.int64) for name in names))
        return {name: value.numpy() for name, value in outputs.items()}

    return run
