"""`torch.onnx.export` of our models, run by ONNX Runtime at lengths that the exporter did not see."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnxruntime
import torch

from tools.clients.report import report
from tools.clients.tiny import TEXTS, batch_of, make

ENVIRONMENTS = ("hf5",)
KINDS = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")


def worst(kind: str, folder: Path) -> float:
    """The greatest difference of a model's first output, of real tokens, over batches and lengths."""
    model, tokenizer = make(kind)
    example = batch_of(tokenizer)
    names = ["input_ids", "attention_mask"]
    axes = {name: {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")} for name in names}
    file = folder / f"{kind}.onnx"
    program = torch.onnx.export(
        model, kwargs={name: example[name] for name in names}, dynamo=True, dynamic_shapes=axes, verbose=False
    )
    assert program is not None
    program.save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    greatest = 0.0
    for texts in (TEXTS, TEXTS[:1], [TEXTS[1] * 4, TEXTS[3]]):
        batch = batch_of(tokenizer, texts)
        found = torch.tensor(session.run(None, {name: batch[name].numpy() for name in names})[0])
        with torch.no_grad():
            difference = (found - model(**batch)[0]).abs()
        kept = batch["attention_mask"].bool() if difference.dim() == 3 else slice(None)
        greatest = max(greatest, difference[kept].max().item())
    return greatest


def main() -> None:
    """Every kind."""
    with tempfile.TemporaryDirectory() as folder:
        found = max(worst(kind, Path(folder)) for kind in KINDS)
    assert found < 1e-4, found
    report("onnxruntime", [f"torch.onnx.export(dynamo=True) of four heads, any length: within {found:.0e}"])


if __name__ == "__main__":
    main()
