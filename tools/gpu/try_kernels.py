"""Times the Triton kernels' block sizes on a GPU, after checking them against float64; prints rows, writes JSON to $OUT.

`python tools/gpu/try_kernels.py`; with TRITON_INTERPRET=1 and `--tiny` the same on a CPU, to see that every line runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import torch
import triton

from deberta_torch.kernels.triton import backward as back
from deberta_torch.kernels.triton import forward as front
from deberta_torch.kernels.triton.attention import disentangled_attention
from deberta_torch.kernels.triton.blocks import Block, Blocks, choose_blocks
from deberta_torch.kernels.triton.problem import Problem

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
HEADS, WIDTH, REACH = (1, 16, 24) if INTERPRETED else (12, 64, 512)
SHAPES = [(1, 16), (1, 40)] if INTERPRETED else [(1, 128), (16, 128), (64, 128), (16, 512), (4, 2048)]
MAIN = (1, 16) if INTERPRETED else (16, 512)
START = time.time()
ROWS: list[dict[str, Any]] = []

# Forward: tile, warps, stages, halves of the context, most registers of a thread.
FORWARD = [
    (32, 2, 2, 2, None), (32, 2, 2, 1, None), (32, 2, 1, 2, None), (32, 2, 3, 2, None), (32, 2, 2, 2, 168),
    (32, 2, 2, 2, 128), (16, 1, 1, 1, None), (16, 1, 2, 1, None), (16, 1, 3, 1, None), (16, 1, 2, 1, 128), (16, 2, 2, 1, None),
    (32, 1, 2, 1, None), (32, 4, 2, 1, None), (32, 4, 2, 2, None), (32, 4, 1, 2, 128), (64, 4, 1, 1, None), (64, 4, 2, 1, None),
    (64, 8, 2, 1, None), (128, 8, 1, 1, None),
]  # fmt: skip
SCORES = [(32, 2, 1), (32, 2, 2), (32, 4, 1), (32, 4, 2), (32, 1, 2), (16, 1, 2), (16, 1, 1), (64, 4, 1), (64, 8, 1)]
SUMS = [(32, 2, 2), (32, 4, 2), (64, 4, 1), (64, 4, 2), (64, 4, 3), (64, 8, 2), (128, 8, 2)]
SCRATCH = [1 << 25, 1 << 26, 1 << 27, 1 << 28]
if INTERPRETED:
    FORWARD, SCORES, SUMS, SCRATCH = FORWARD[::9], SCORES[::8], SUMS[::6], SCRATCH[::3]


def problem(batch: int, length: int, terms: str = "cp", dtype: torch.dtype = torch.bfloat16, **changes: Any) -> Problem:
    generator = torch.Generator(DEVICE).manual_seed(0)
    make = lambda *shape: torch.randn(*shape, generator=generator, device=DEVICE).to(dtype)  # noqa: E731
    query, key, value = make(batch, length, 3, HEADS, WIDTH).unbind(2)
    reach = min(REACH, length - 1)
    content, position = make(2, 2 * reach + 1, HEADS, WIDTH).unbind(0)
    values = dict(
        query=query, key=key, value=value, content_rows=content if "c" in terms else None,
        position_rows=position if "p" in terms else None, starts=None, mask=None, seed=None, longest=length,
        scale=(3 * WIDTH) ** -0.5, dropout=0.0,
    )  # fmt: skip
    return Problem(**{**values, **changes})


def run_forward(p: Problem, size: int, warps: int, stages: int, split: int, registers: int | None) -> Any:
    out = torch.empty(p.query.shape, dtype=p.query.dtype, device=p.query.device)
    lse = torch.empty((p.heads, p.tokens), dtype=torch.float32, device=p.query.device)
    more = {} if registers is None else {"maxnreg": registers}
    front._forward[(triton.cdiv(p.longest, size) * p.texts * p.heads,)](
        *p.pointers, out, lse, *p.strides, p.tokens, p.longest, p.heads, p.width, p.reach, p.scale * 1.4426950408889634,
        p.threshold, p.rescale, PACKED=p.packed, C2P=p.content_rows is not None, P2C=p.position_rows is not None,
        FAR=p.has_far, KIND=p.mask_kind, DROPOUT=p.threshold > 0, ROUNDED=front.ROUNDED[p.query.dtype], M=size,
        D=front.padded_width(p), SPLIT=split, num_warps=warps, num_stages=stages, **more,
    )  # fmt: skip
    return out


class Gradients:
    """The kernels of the backward pass, one by one."""

    def __init__(self, p: Problem) -> None:
        self.p, self.blocks = p, Blocks()
        self.out, self.lse = front.forward(p, self.blocks.forward)
        self.delta = torch.zeros_like(self.lse)
        self.plan = back._plan(p, Blocks(rows=Block(128, 8, 2)))
        self.chunk = back._Chunk(0, self.plan.texts, 0, self.plan.heads, 0)
        self.scratch = self.out.new_zeros((2, self.plan.scratch))[:, self.plan.margin :]
        self.grads = [torch.empty_like(self.out) for _ in range(3)]
        parts = self.out.new_zeros(
            (2, self.plan.parts * self.plan.text_chunks, 2 * p.reach + 1, p.heads, p.width), dtype=torch.float32
        )
        far = self.lse.new_zeros((2, 2, *self.lse.shape))
        self.sides = (
            back._Side(
                self.scratch[0], p.key, False, p.content_rows, self.grads[0], far[0], p.query, False, parts[0], 1
            ),
            back._Side(
                self.scratch[1], p.query, False, p.position_rows, self.grads[1], far[1], p.key, False, parts[1], -1
            ),
        )

    def scores(self, *block: int) -> None:
        back._launch_scores(
            self.p, self.plan, self.chunk, Block(*block), self.out, self.lse, self.delta, self.grads[2], *self.scratch
        )

    def tokens(self, *block: int) -> None:
        for side in self.sides:
            back._launch_tokens(self.p, self.plan, self.chunk, Block(*block), side, self.p.query)

    def rows(self, *block: int) -> None:
        for side in self.sides:
            back._launch_rows(self.p, self.plan, self.chunk, Block(*block), side, self.p.query)


def tasks() -> list[tuple[str, Any, tuple[int, int]]]:
    """What is timed: a name, the variant, and the shape."""
    wanted: list[tuple[str, Any, tuple[int, int]]] = []
    for shape in SHAPES:
        many = shape == MAIN
        wanted += [
            ("forward", variant, shape)
            for variant in (
                FORWARD if many or shape[1] <= 128 else FORWARD[:1] + FORWARD[7:8] + FORWARD[12:13] + FORWARD[15:16]
            )
        ]
    wanted += [(f"forward {terms}", FORWARD[0], MAIN) for terms in ("c", "p", "-")]
    wanted += [("forward -", FORWARD[7 if not INTERPRETED else 0], MAIN)]
    for shape in (MAIN, SHAPES[0] if INTERPRETED else (64, 128)):
        wanted += [("scores", variant, shape) for variant in SCORES]
        wanted += [("tokens", variant, shape) for variant in SUMS]
        wanted += [("rows", variant, shape) for variant in SUMS]
    far = SHAPES[-1]
    wanted += [("scores", v, far) for v in SCORES[1:4:2]] + [
        ("tokens", SUMS[3 if not INTERPRETED else 0], far),
        ("rows", SUMS[3 if not INTERPRETED else 0], far),
    ]
    return wanted


def callable_of(name: str, variant: Any, shape: tuple[int, int], cache: dict[Any, Any]) -> Any:
    terms = name.split()[1] if " " in name else "cp"
    if name.startswith("forward"):
        if (shape, terms) not in cache:
            cache[shape, terms] = problem(*shape, terms=terms)
        return lambda: run_forward(cache[shape, terms], *variant)
    if ("gradients", shape) not in cache:
        for other in [k for k in cache if k[0] == "gradients"]:
            del cache[other]
        cache["gradients", shape] = Gradients(problem(*shape))
    return lambda: getattr(cache["gradients", shape], name)(*variant)


# Shapes small enough for a float64 reference: batch, length, heads, width, reach, terms, mask, packed, type.
CASES = [
    (2, 70, 2, 64, 69, "cp", None, False, "bfloat16"), (2, 200, 2, 64, 60, "cp", "keys", False, "bfloat16"),
    (2, 90, 2, 64, 89, "cp", "pairs", False, "float16"), (3, 150, 2, 64, 149, "cp", None, True, "bfloat16"),
    (3, 150, 1, 32, 40, "cp", None, True, "float16"), (2, 100, 2, 64, 99, "c", "keys", False, "bfloat16"),
    (2, 100, 2, 64, 99, "p", None, False, "bfloat16"), (2, 100, 2, 80, 30, "cp", None, False, "bfloat16"),
    (2, 100, 2, 128, 99, "cp", None, False, "float16"), (2, 70, 2, 64, 30, "cp", "keys", False, "float32"),
    (2, 70, 1, 16, 69, "cp", None, False, "float32"), (1, 1, 1, 64, 1, "cp", None, True, "bfloat16"),
    (2, 64, 2, 64, 1, "-", None, False, "bfloat16"), (2, 300, 3, 64, 299, "cp", None, False, "bfloat16"),
]  # fmt: skip
if INTERPRETED:
    CASES = [(1, 20, 1, 16, 19, "cp", "keys", False, "float32"), (2, 20, 1, 16, 6, "cp", None, True, "float16")]


def reference(q: Any, k: Any, v: Any, c: Any, p: Any, scale: float, mask: Any) -> Any:
    length = q.shape[1]
    q, k, v = (one.double().transpose(1, 2) for one in (q, k, v))
    s = q @ k.mT
    rows = c if c is not None else p
    if rows is not None:
        reach = len(rows) // 2
        at = torch.arange(length, device=q.device)
        at = (at[None] - at[:, None]).clamp(-reach, reach) + reach
        s = s + (0 if c is None else torch.einsum("bhid,ijhd->bhij", q, c.double()[at]))
        s = s + (0 if p is None else torch.einsum("bhjd,ijhd->bhij", k, p.double()[at]))
    s = s * scale
    if mask is not None:
        s = s.masked_fill(~(mask[:, None, None] if mask.ndim == 2 else mask[:, None]), float("-inf"))
    return (s.softmax(-1).nan_to_num(0) @ v).transpose(1, 2)


def check(case: Any) -> dict[str, Any]:
    batch, length, heads, width, reach, terms, kind, packed, dtype_name = case
    dtype = getattr(torch, dtype_name)
    generator = torch.Generator(DEVICE).manual_seed(1)
    make = lambda *shape: torch.randn(*shape, generator=generator, device=DEVICE).to(dtype)  # noqa: E731
    q, k, v = (one.clone().requires_grad_() for one in make(batch, length, 3, heads, width).unbind(2))
    c, p = (make(2 * reach + 1, heads, width).requires_grad_() if one in terms else None for one in "cp")
    mask = None
    if kind == "keys":
        mask = torch.rand((batch, length), generator=generator, device=DEVICE) < 0.7
    if kind == "pairs":
        mask = torch.rand((batch, length, length), generator=generator, device=DEVICE) < 0.3
        mask[0, 3] = False
    inputs = [one for one in (q, k, v, c, p) if one is not None]
    lengths = [length] * batch
    if packed and batch > 1:
        lengths = [length, length // 3, 1][:batch] + [length] * (batch - 3)
    scale = (3 * width) ** -0.5
    wanted_outs, outs = [], None
    grad = make(batch, length, heads, width)
    if packed:
        keep = torch.cat([torch.arange(n, device=DEVICE) + t * length for t, n in enumerate(lengths)])
        starts = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=DEVICE)
        flat = [one.flatten(0, 1)[keep] for one in (q, k, v)]
        outs = disentangled_attention(*flat, c, p, starts=starts, longest=length + 3, scale=scale)
        for t, n in enumerate(lengths):
            wanted_outs.append(reference(q[t : t + 1, :n], k[t : t + 1, :n], v[t : t + 1, :n], c, p, scale, None)[0])
        wanted, grad = torch.cat(wanted_outs), grad.flatten(0, 1)[keep]
    else:
        outs = disentangled_attention(q, k, v, c, p, mask=mask, scale=scale)
        wanted = reference(q, k, v, c, p, scale, mask)
    found = torch.autograd.grad(outs, inputs, grad)
    expected = torch.autograd.grad(wanted, inputs, grad.double())
    errors = [
        float((a.detach().double() - b.detach()).abs().max() / b.detach().abs().max().clamp(min=1e-30))
        for a, b in [(outs, wanted), *zip(found, expected)]
    ]
    bound = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 3e-2}[dtype_name]
    return {
        "kind": "check",
        "case": str(case),
        "errors": [f"{e:.1e}" for e in errors],
        "ok": all(e < bound for e in errors),
    }


def report(row: dict[str, Any]) -> None:
    ROWS.append(row)
    print(f"{time.time() - START:6.1f}s", json.dumps(row), flush=True)
    out = pathlib.Path(os.environ.get("OUT", "."), "try_kernels.json")
    out.write_text(json.dumps(ROWS))


def milliseconds(function: Any) -> float:
    if INTERPRETED:
        start = time.perf_counter()
        function()
        return 1e3 * (time.perf_counter() - start)
    function()
    torch.cuda.synchronize()
    return float(triton.testing.do_bench_cudagraph(function, rep=15))


def work(number: int, count: int) -> None:
    """A worker: compiles its share of the variants by running them once, and checks its share of the cases."""
    jobs: list[tuple[str, Any]] = [("check", case) for case in CASES] + [("task", task) for task in unique_tasks()]
    cache: dict[Any, Any] = {}
    for kind, job in jobs[number::count]:
        start = time.time()
        try:
            if kind == "check":
                row = check(job)
            else:
                name, variant, shape = job
                small = (1, shape[1])
                callable_of(name, variant, small, cache)()
                if DEVICE == "cuda":
                    torch.cuda.synchronize()
                row = {"kind": "compiled", "task": str((name, variant))}
        except Exception as error:
            row = {"kind": "failed", "task": str(job), "error": f"{type(error).__name__}: {error}"[:400]}
            if DEVICE == "cuda" and "CUDA error" in str(error):
                print("ROW" + json.dumps(row), flush=True)
                return
        row["seconds"] = round(time.time() - start, 1)
        print("ROW" + json.dumps(row), flush=True)


def unique_tasks() -> list[tuple[str, Any, tuple[int, int]]]:
    """One of the shapes of each kernel that is compiled once."""
    seen: dict[Any, Any] = {}
    for name, variant, shape in tasks():
        seen.setdefault((name, variant, shape[1] > REACH + 1), (name, variant, shape))
    return list(seen.values())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", type=int)
    parser.add_argument("--workers", type=int, default=2 if INTERPRETED else 14)
    parser.add_argument("--seconds", type=float, default=140)
    options = parser.parse_args()
    if options.worker is not None:
        work(options.worker, options.workers)
        return
    report(
        {
            "kind": "device",
            "name": torch.cuda.get_device_name() if DEVICE == "cuda" else "interpreter",
            "torch": torch.__version__,
            "triton": triton.__version__,
        }
    )
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", str(n), "--workers", str(options.workers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for n in range(options.workers)
    ]
    failed = set()
    limit = START + (80 if DEVICE == "cuda" else 600)
    for process in processes:
        try:
            text, _ = process.communicate(timeout=max(limit - time.time(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
            report({"kind": "failed", "task": "worker", "error": "out of time"})
        for line in text.splitlines():
            if line.startswith("ROW"):
                row = json.loads(line[3:])
                if row["kind"] == "failed":
                    failed.add(row["task"])
                if row["kind"] != "compiled":
                    report(row)
        if process.returncode:
            report({"kind": "failed", "task": "worker", "error": text[-600:]})
    ROWS.append({"kind": "compiled", "seconds": time.time() - START})
    cache: dict[Any, Any] = {}
    for shape in SHAPES:
        p = problem(*shape)
        q, k, v = (one.transpose(1, 2) for one in (p.query, p.key, p.value))
        report(
            {
                "kind": "time",
                "task": "sdpa without positions",
                "shape": shape,
                "ms": milliseconds(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)),
            }
        )  # noqa: B023
    for name, variant, shape in tasks():
        if time.time() - START > options.seconds:
            report({"kind": "failed", "task": "timing", "error": "out of time"})
            break
        if str((name, variant, shape)) in failed:
            continue
        try:
            report(
                {
                    "kind": "time",
                    "task": name,
                    "variant": variant,
                    "shape": shape,
                    "ms": milliseconds(callable_of(name, variant, shape, cache)),
                }
            )
        except Exception as error:
            report(
                {
                    "kind": "failed",
                    "task": str((name, variant, shape)),
                    "error": f"{type(error).__name__}: {error}"[:300],
                }
            )
    cache.clear()
    for shape in SHAPES:
        if time.time() - START > options.seconds:
            break
        p = problem(*shape)
        blocks = choose_blocks(p)
        try:
            out, lse = front.forward(p, blocks.forward)
            for size in SCRATCH if shape == MAIN else SCRATCH[2:3]:
                back.SCRATCH = size
                report(
                    {
                        "kind": "time",
                        "task": "backward",
                        "scratch": size,
                        "shape": shape,
                        "ms": milliseconds(lambda: back.backward(p, out, out, lse, blocks)),
                    }
                )  # noqa: B023
        except Exception as error:
            report({"kind": "failed", "task": f"backward {shape}", "error": f"{type(error).__name__}: {error}"[:300]})
    report({"kind": "end", "seconds": time.time() - START})


if __name__ == "__main__":
    main()
