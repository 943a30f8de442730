"""The sections that say how long it takes, and how much memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

import deberta_torch
from tools.gpu import subjects
from tools.gpu.rows import Rows
from tools.gpu.subjects import Call

CELLS = [(1, 32), (1, 128), (1, 512), (16, 128), (64, 128), (16, 512), (4, 2048)]
STEPS = [(32, 128), (16, 512)]


def _ours(rows: Rows, implementation: str, dtype: torch.dtype, options: dict[str, Any]) -> Any:
    model = subjects.ours(options, rows.device, dtype)
    model.set_attn_implementation(implementation)
    return model


def subjects_of(rows: Rows, dtype: torch.dtype) -> Iterator[tuple[str, Callable[[], Call], bool]]:
    """Name, maker, and whether the call may be recorded as a graph from outside."""
    options, device = subjects.settings(rows.is_tiny), rows.device
    lengths = sorted({length for _, length in _cells(rows)})

    def optimized() -> Call:
        return subjects.call_of(deberta_torch.optimize(subjects.ours(options, device, dtype)))

    def optimized_theirs() -> Call:
        return subjects.call_of(deberta_torch.optimize(subjects.transformers_model(options, device, dtype)))

    def without() -> Call:
        return subjects.without_positions(subjects.ours(options, device, dtype))

    def flash(**more: Any) -> Any:
        return subjects.disentangled_flash_model(options, device, dtype, lengths, **more)

    yield "ours, optimize", optimized, False
    yield "ours, triton", lambda: subjects.call_of(_ours(rows, "triton", dtype, options)), True
    yield "no positions", without, True
    yield "DisentangledFlash", lambda: subjects.prepared_call(flash(assume_unpadded=True)), True
    yield "DisentangledFlash, packed", lambda: subjects.packed_call(flash()), False
    yield "FlashDeBERTa", lambda: subjects.call_of(subjects.flashdeberta_model(options, device, dtype)), False
    yield "transformers", lambda: subjects.call_of(subjects.transformers_model(options, device, dtype)), False
    yield "ours, sdpa", lambda: subjects.call_of(_ours(rows, "sdpa", dtype, options)), True
    yield "transformers, optimize", optimized_theirs, False
    yield "ours, optimize, recorded whole by the caller", optimized, True


def _cells(rows: Rows) -> list[tuple[int, int]]:
    return [(1, 8), (2, 16)] if rows.is_tiny else CELLS


def ids_of(rows: Rows, batch: int, length: int) -> Tensor:
    """Token ids `[B, L]`, always the same."""
    return torch.randint(1, 97, (batch, length), generator=torch.Generator().manual_seed(0)).to(rows.device)


def inference(rows: Rows) -> None:
    """The cells of full batches in bfloat16."""
    for name, make, recordable in subjects_of(rows, rows.half):
        try:
            call = make()
        except Exception as error:
            rows.add("inference", name, error=f"{type(error).__name__}: {error}"[:400])
            continue
        for batch, length in _cells(rows):
            with rows.attempt("inference", name, cell=[batch, length]) as row:
                if row.get("late"):
                    continue
                # transformers makes masks of its own; packing needs one.
                run = partial(call, ids_of(rows, batch, length), None)
                row["ms"] = rows.milliseconds(run)
                with rows.memory(row):
                    run()
                if recordable:
                    row["graph_ms"] = rows.replayed(run)


def compiled_transformers(rows: Rows) -> None:
    """Transformers compiled, with CUDA graphs where torch can."""
    options = subjects.settings(rows.is_tiny)
    try:
        model = subjects.transformers_model(options, rows.device, rows.half)
    except Exception as error:
        rows.add("inference", "transformers, compiled", error=f"{type(error).__name__}: {error}"[:400])
        return
    for cell in _cells(rows)[:1] if rows.is_tiny else [(16, 512), (16, 128)]:
        with rows.attempt("inference", "transformers, compiled", cell=list(cell)) as row:
            if row.get("late"):
                continue
            torch._dynamo.reset()
            mode: Any = {"mode": "reduce-overhead"} if rows.device.type == "cuda" else {}
            compiled: Any = torch.compile(model, **mode)
            row["ms"] = rows.milliseconds(partial(subjects.call_of(compiled), ids_of(rows, *cell), None))


def mixed(rows: Rows) -> None:
    """32 texts of mixed lengths, the longest 512, as they come: padded, with masks where a user has them."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randn(32, generator=generator).mul(0.9).add(3.6).exp().clamp(4, 512).long()
    lengths[0] = 512
    if rows.is_tiny:
        lengths = lengths[:4].clamp(max=16)
    longest, tokens = int(lengths.max()), int(lengths.sum())
    mask = (torch.arange(longest) < lengths[:, None]).long()
    ids = (ids_of(rows, len(lengths), longest) * mask.to(rows.device)).contiguous()
    for name, make, _ in subjects_of(rows, rows.half):
        if name in ("no positions", "DisentangledFlash", "ours, optimize, recorded whole by the caller"):
            continue
        own = mask if name == "ours, optimize" else mask.to(rows.device)
        with rows.attempt("mixed lengths", name, texts=len(lengths), tokens=tokens) as row:
            if row.get("late"):
                continue
            call = make()
            row["ms"] = rows.milliseconds(partial(call, ids, own))
            with rows.memory(row):
                call(ids, own)
            if name == "ours, optimize":
                row["ms, mask on the device"] = rows.milliseconds(partial(call, ids, mask.to(rows.device)))


def step_subjects(rows: Rows) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and maker of each backbone that is trained."""
    options, device = subjects.settings(rows.is_tiny), rows.device
    options |= {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    dtype = torch.float32
    for implementation in ("triton", "triton-atomic", "sdpa"):
        yield f"ours, {implementation}", partial(_ours, rows, implementation, dtype, options)

    def flash() -> Any:
        from disentangled_flash import optimize_deberta_training

        backend = "triton" if device.type == "cuda" else "torch"
        return optimize_deberta_training(subjects.transformers_model(options, device, dtype), backend=backend)

    yield "DisentangledFlash", flash
    yield "FlashDeBERTa", lambda: subjects.flashdeberta_model(options, device, dtype)
    yield "transformers", lambda: subjects.transformers_model(options, device, dtype)


def training_step(rows: Rows, model: Any, ids: Tensor, mask: Tensor | None) -> Callable[[], None]:
    """One step: bfloat16 autocast, fused AdamW, which may be recorded as a graph."""
    cuda = rows.device.type == "cuda"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True, capturable=cuda)

    def step() -> None:
        with torch.autocast(rows.device.type, rows.half):
            hidden = model(input_ids=ids, attention_mask=mask)[0]
        hidden[:, 0].float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def training(rows: Rows) -> None:
    """Training steps with dropout 0.1; full batches, then half of the tokens padding; ours replayed as graphs, too."""
    for name, make in step_subjects(rows):
        try:
            model = make().train()
        except Exception as error:
            rows.add("training", name, error=f"{type(error).__name__}: {error}"[:400])
            continue
        unpads = name.startswith("ours, triton")
        for batch, length in [(2, 16)] if rows.is_tiny else STEPS:
            ids = ids_of(rows, batch, length)
            half = (torch.arange(length) < torch.linspace(1, length, batch).long()[:, None]).long()
            # Ours with a mask on the CPU, as the page says: no device is waited for.
            masks = {"full": None if name.startswith("ours") else torch.ones_like(ids)}
            if name != "ours, sdpa":
                masks["half padding"] = half if unpads else half.to(rows.device)
            for kind, mask in masks.items():
                with rows.attempt("training", name, cell=[batch, length], batch=kind) as row:
                    if row.get("late"):
                        continue
                    step = training_step(rows, model, ids, mask)
                    row["ms"] = rows.milliseconds(step, repeats=8)
                    with rows.memory(row):
                        step()
                    if name.startswith("ours") and mask is None and rows.device.type == "cuda":
                        row["graph_ms"] = rows.replayed(step)
        del model
