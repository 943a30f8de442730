"""The limit: nothing but the linear layers of the encoder, on all tokens, in oneDNN's packed products."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch

from tools.benchmark.inputs import Batches
from tools.benchmark.workers.torch_steps import Call, Settings


def shapes(settings: Settings) -> Iterator[tuple[int, int]]:
    """Outputs and inputs of every product of every layer: query, key and value as one, output, the two of the FFN."""
    config = json.loads((Path(settings["folder"]) / "config.json").read_text(encoding="utf-8"))
    hidden, intermediate = config["hidden_size"], config["intermediate_size"]
    for _ in range(config["num_hidden_layers"]):
        yield from ((3 * hidden, hidden), (hidden, hidden), (intermediate, hidden), (hidden, intermediate))


def float32(settings: Settings, batches: Batches) -> Call:
    """float32 with packed weights."""
    tokens = int(sum(mask.sum() for mask in batches.masks))
    layers = [
        (torch.randn(tokens, inputs), torch.ops.mkldnn._reorder_linear_weight(torch.randn(out, inputs), tokens))
        for out, inputs in shapes(settings)
    ]

    def call() -> None:
        with torch.inference_mode():
            for x, weight in layers:
                torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    return call


def int8(settings: Settings, batches: Batches) -> Call:
    """Eight-bit products with a scale per output channel; making int8 of the activations is left out."""
    tokens = int(sum(mask.sum() for mask in batches.masks))
    layers = []
    for out, inputs in shapes(settings):
        x = torch.randint(0, 255, (tokens, inputs), dtype=torch.uint8)
        weight = torch.ops.onednn.qlinear_prepack(torch.randint(-127, 127, (out, inputs), dtype=torch.int8), None)
        layers.append((x, weight, torch.full((out,), 0.01), torch.zeros(out, dtype=torch.int64)))

    def call() -> None:
        with torch.inference_mode():
            for x, weight, scales, zeros in layers:
                torch.ops.onednn.qlinear_pointwise(
                    x, 0.03, 128, weight, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
                )

    return call


SUBJECTS = {"float32": float32, "int8": int8}
