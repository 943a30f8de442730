"""Times block sizes of the Triton kernels on a GPU, after a check of each against float64; writes JSON to $OUT.

`python tools/gpu/try_kernels.py` compiles the variants in parallel first. With TRITON_INTERPRET=1 it runs tiny shapes
on the CPU, to see that every line works.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import torch
import triton
from torch import Tensor

from deberta_torch.kernels.triton.attention import disentangled_attention
from deberta_torch.kernels.triton.backward import backward
from deberta_torch.kernels.triton.blocks import Block, Blocks, choose_blocks
from deberta_torch.kernels.triton.forward import forward
from deberta_torch.kernels.triton.problem import Problem

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
HEADS, WIDTH, REACH = (1, 16, 24) if INTERPRETED else (12, 64, 512)
SHAPES = [(1, 16), (1, 40)] if INTERPRETED else [(1, 128), (16, 128), (64, 128), (16, 512), (8, 1024), (4, 2048)]
FEW = SHAPES[:1] if INTERPRETED else [(16, 512), (16, 128)]
DTYPE = torch.float16 if INTERPRETED else torch.bfloat16
BOUND = 2e-2  # a check that the kernel is the right one, not of its rounding

# Of each kernel: size of tiles, warps, stages; the others then have the table's blocks.
VARIANTS: dict[str, list[tuple[int, int, int]]] = {
    "forward": [(32, 2, 2), (32, 2, 3), (32, 2, 4), (32, 1, 2), (32, 1, 3), (64, 4, 1), (64, 4, 2), (64, 4, 3)],
    "scores": [(32, 2, 2), (32, 2, 3), (32, 4, 2), (32, 4, 3), (16, 1, 2), (16, 1, 3), (64, 4, 1)],
    "tokens": [(64, 4, 1), (64, 4, 3), (64, 4, 4), (32, 2, 3), (128, 8, 1)],
    "rows": [(64, 4, 1), (64, 4, 3), (64, 2, 1), (64, 8, 1), (128, 8, 1)],
}
if INTERPRETED:
    VARIANTS = {kernel: variants[:2] for kernel, variants in VARIANTS.items()}
START, ROWS = time.time(), list[dict[str, Any]]()


def make(batch: int, length: int, reach: int) -> list[Tensor]:
    """Query, key and value as views of one product, and the rows of content and position."""
    generator = torch.Generator(DEVICE).manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=DEVICE).to(DTYPE)

    tokens = draw(batch, length, 3, HEADS, WIDTH).unbind(2)
    return [one.requires_grad_() for one in (*tokens, *draw(2, 2 * reach + 1, HEADS, WIDTH).unbind(0))]


def attend(given: list[Tensor], blocks: Blocks | None, mask: Tensor | None = None) -> Tensor:
    """Of what `make` made."""
    return disentangled_attention(*given[:5], scale=(3 * WIDTH) ** -0.5, blocks=blocks, mask=mask)


def formula(query: Tensor, key: Tensor, value: Tensor, content: Tensor, position: Tensor) -> Tensor:
    """In float64, pair by pair."""
    at, reach = torch.arange(query.shape[1], device=query.device), len(content) // 2
    distance = (at - at[:, None]).clamp(-reach, reach) + reach
    query, key, value = (one.double().transpose(1, 2) for one in (query, key, value))
    scores = query @ key.mT + torch.einsum("bhid,ijhd->bhij", query, content.double()[distance])
    scores = scores + torch.einsum("bhjd,ijhd->bhij", key, position.double()[distance])
    context: Tensor = ((scores * (3 * WIDTH) ** -0.5).softmax(-1) @ value).transpose(1, 2)
    return context


def worst_error(blocks: Blocks, reach: int, length: int) -> float:
    """Of the context and all gradients, of a short text."""
    given = make(1, length, reach)
    found, wanted = attend(given, blocks), formula(*given)
    grad = torch.randn_like(found)
    pairs = [(found, wanted)]
    gradients = (torch.autograd.grad(out, given, grad.to(out.dtype)) for out in (found, wanted))
    pairs += zip(*gradients, strict=True)
    return max(float((one.detach() - other.detach()).abs().max() / other.detach().abs().max()) for one, other in pairs)


def tasks() -> list[tuple[str, tuple[int, int, int]]]:
    """Every kernel with every variant."""
    return [(kernel, variant) for kernel, variants in VARIANTS.items() for variant in variants]


def blocks_of(kernel: str, variant: tuple[int, int, int]) -> Blocks:
    """The table's blocks but for one kernel's."""
    return Blocks()._replace(**{kernel: Block(*variant)})


def check(number: int, workers: int) -> None:
    """A worker: compiles its share of the variants, near and far, and prints their errors."""
    for kernel, variant in tasks()[number::workers]:
        for reach in (20, 99):
            row: dict[str, Any] = {"kind": "check", "kernel": kernel, "variant": variant, "reach": reach}
            try:
                row["error"] = worst_error(blocks_of(kernel, variant), reach, 30 if INTERPRETED else 100)
            except Exception as error:
                row["failed"] = f"{type(error).__name__}: {error}"[:300]
            print("ROW" + json.dumps(row), flush=True)


def milliseconds(function: Callable[[], Any]) -> float:
    """Of the GPU, in a CUDA graph; on the CPU, of one call."""
    if INTERPRETED:
        start = time.perf_counter()
        function()
        return 1e3 * (time.perf_counter() - start)
    function()
    torch.cuda.synchronize()
    return float(triton.testing.do_bench_cudagraph(function, rep=15))


def report(row: dict[str, Any]) -> None:
    """Prints a row, and writes all so far."""
    ROWS.append(row)
    print(f"{time.time() - START:6.1f}s", json.dumps(row), flush=True)
    pathlib.Path(os.environ.get("OUT", "."), "try_kernels.json").write_text(json.dumps(ROWS))


def run_backward(given: list[Tensor], blocks: Blocks | None, ordered: bool = True) -> Callable[[], Any]:
    """The backward pass by itself: autograd would leave the stream whose work is captured."""
    query, key, value, content, position = (one.detach() for one in given)
    sizes = (query.shape[1], (3 * WIDTH) ** -0.5, 0.0, ordered)
    problem = Problem(query, key, value, content, position, None, None, None, *sizes)
    blocks = blocks or choose_blocks(problem)
    out, lse = forward(problem, blocks.forward)
    return lambda: backward(problem, out, out, lse, blocks)


def main() -> None:
    """Checks, then times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=int)
    parser.add_argument("--workers", type=int, default=1 if INTERPRETED else 14)
    parser.add_argument("--seconds", type=float, default=140)
    parser.add_argument("--few", action="store_true", help="two shapes alone")
    options = parser.parse_args()
    if options.worker is not None:
        check(options.worker, options.workers)
        return
    name = "interpreter" if INTERPRETED else torch.cuda.get_device_name()
    report({"kind": "device", "name": name, "torch": torch.__version__, "triton": triton.__version__})
    command = [sys.executable, __file__, "--workers", str(options.workers), "--worker"]
    workers = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for number in range(options.workers)
    ]
    right: dict[tuple[str, tuple[int, ...]], bool] = {}
    for worker in workers:
        try:
            text, _ = worker.communicate(timeout=max(START + 0.65 * options.seconds - time.time(), 1))
        except subprocess.TimeoutExpired:
            worker.kill()
            text, _ = worker.communicate()
        rows = [json.loads(line[3:]) for line in text.splitlines() if line.startswith("ROW")]
        if worker.returncode:
            report({"kind": "failed", "output": text[-500:]})
        for row in rows:
            key = (row["kernel"], tuple(row["variant"]))
            right[key] = right.get(key, True) and row.get("error", 1.0) < BOUND
            if not right[key]:
                report(row)
    report({"kind": "checked", "right": sum(right.values()), "of": len(tasks())})
    for batch, length in FEW if options.few else SHAPES[::-1]:
        given = make(batch, length, min(REACH, length - 1))
        with torch.no_grad():
            table = {"forward": milliseconds(lambda: attend(given, None))}  # noqa: B023 - called at once
            mask = torch.ones((batch, length), dtype=torch.bool, device=DEVICE)
            masked = milliseconds(lambda: attend(given, None, mask))  # noqa: B023
        table["backward"] = milliseconds(run_backward(given, None))
        atomic = milliseconds(run_backward(given, None, ordered=False))
        report({"kind": "time", "shape": (batch, length), **table, "with a mask": masked, "atomic": atomic})
        for kernel, variant in tasks():
            if not right.get((kernel, variant)) or time.time() - START > options.seconds:
                continue
            blocks = blocks_of(kernel, variant)
            if kernel == "forward":
                with torch.no_grad():
                    taken = milliseconds(lambda: attend(given, blocks))  # noqa: B023
            else:
                taken = milliseconds(run_backward(given, blocks))
            row = {"shape": (batch, length), "kernel": kernel, "variant": variant, "ms": taken}
            report({"kind": "time", **row})
            now = table["forward" if kernel == "forward" else "backward"]
            if taken < 0.98 * now:
                report({"kind": "better", **row, "than": now})
    report({"kind": "end", "seconds": time.time() - START})


if __name__ == "__main__":
    main()
