"""Torchao: int8 weights of our plain model."""

from __future__ import annotations

import copy

import torch
from torchao.quantization import Int8WeightOnlyConfig, quantize_

from tools.clients.report import report
from tools.clients.tiny import batch_of, make

ENVIRONMENTS = ("hf5",)


def main() -> None:
    """The same logits to what eight bits leave; the weights are torchao's."""
    model, tokenizer = make()
    batch = batch_of(tokenizer)
    smaller = copy.deepcopy(model)
    quantize_(smaller, Int8WeightOnlyConfig())
    kinds = {type(one.weight).__name__ for one in smaller.modules() if isinstance(one, torch.nn.Linear)}
    with torch.inference_mode():
        expected, found = model(**batch).logits, smaller(**batch).logits
        step = (found - expected).abs().max() / expected.abs().max()
    assert kinds != {"Parameter"}, kinds
    assert 0 < step < 0.02, step
    report("torchao", [f"quantize_ with Int8WeightOnlyConfig: logits within {step:.1%}"])


if __name__ == "__main__":
    main()
