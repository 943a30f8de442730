"""Runs a small model by every way its kernels know, and names each on a line before; for `test_kernel_routes.py`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import torch

import deberta_torch
from deberta_core.config import DebertaConfig, DebertaV2Config
from deberta_torch.kernels import linear, onednn

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
SIZES |= {"max_position_embeddings": 1024, "relative_attention": True, "pos_att_type": ("c2p", "p2c")}
MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "v1": lambda: deberta_torch.DebertaForSequenceClassification(DebertaConfig(**SIZES, hidden_act="gelu_new")),
    "v2": lambda: deberta_torch.DebertaV2ForMaskedLM(
        DebertaV2Config(**SIZES, position_buckets=16, conv_kernel_size=3, norm_rel_ebd="layer_norm")
    ),
    "v3": lambda: deberta_torch.DebertaV2Model(
        DebertaV2Config(**SIZES, position_buckets=16, share_att_key=True, hidden_act="relu")
    ),
}
LENGTHS = (5, 65, 150)  # whole; in blocks of heads; and with far keys
LONG = 600  # in blocks of queries


def batch(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.ones(2, length, dtype=torch.long)
    mask[1, length // 2 :] = 0
    return torch.randint(3, 64, (2, length)), mask


def ways(model: torch.nn.Module) -> Iterator[tuple[str, Callable[[int], object]]]:
    """Names of ways, and what goes one for texts of a length."""

    def answer(length: int) -> object:
        with torch.no_grad():
            return model(*batch(length))

    def train(length: int) -> None:
        model.train()
        model(*batch(length))[0].sum().backward()
        model.eval()

    def autocast(run: Callable[[int], object]) -> Callable[[int], object]:
        return lambda length: torch.autocast("cpu", torch.bfloat16)(run)(length)

    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        yield implementation, answer
        yield f"{implementation} autocast", autocast(answer)
    yield "training", train
    yield "training autocast", autocast(train)
    for dtype in ("float32", "bfloat16", "int8"):
        if dtype != "int8" or onednn.available(torch.int8):
            deberta_torch.optimize(model, dtype)
            yield f"optimize {dtype}", answer
            deberta_torch.restore(model)
    for half in (torch.bfloat16, torch.float16):
        model.to(half)
        yield str(half), answer


def main(smallest: int | None) -> None:
    if smallest is not None:
        linear._SMALLEST = smallest
    for name, make in MODELS.items():
        torch.manual_seed(0)
        for way, run in ways(make().eval()):
            lengths = (*LENGTHS, LONG) if way in ("sdpa", "optimize float32") else LENGTHS[:2]
            for length in lengths:
                print(f"WAY {name} {way} {length}", flush=True)
                run(length)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
