"""The sections that say whether the numbers are right on a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

import deberta_torch
from conformance.suite.compare import at_real_positions, output_kind, output_scale, relative_error
from tools.gpu.rows import Rows
from tools.gpu.subjects import ours, settings, transformers_model

IMPLEMENTATIONS = ("eager", "sdpa", "triton", "flex")
_FEW = ("v1-seq-single", "v2-token", "v2-conv")


def goldens(rows: Rows) -> None:
    """Every golden in each implementation and dtype, and optimised; gradients in float32."""
    from conformance.suite.golden import goldens as found

    cases = [parameter.values[0] for parameter in found()]
    cases = [case for case in cases if not rows.is_tiny or case.folder.name in _FEW]
    half = {"float16": "fused float16", "bfloat16": "fused bfloat16"}
    variants = [(name, "float32") for name in IMPLEMENTATIONS] + [("triton", dtype) for dtype in half]
    variants += [("optimize", "float32"), ("optimize", "bfloat16")]
    for implementation, dtype in variants:
        with rows.attempt("goldens", implementation, dtype=dtype) as row:
            errors: dict[str, float] = {}
            used: set[str] = set()
            for golden in cases:
                if row.get("late") or golden.is_float64 or (implementation == "optimize" and golden.config.mixes_heads):
                    continue
                try:
                    errors[golden.folder.name] = _golden_error(rows, golden, implementation, dtype, used)
                except Exception as error:
                    errors[golden.folder.name] = float("inf")
                    row.setdefault("failed", f"{golden.folder.name}: {type(error).__name__}: {error}"[:300])
            worst = sorted(errors, key=lambda name: -errors[name])[:3]
            row |= {
                "goldens": len(errors),
                "used": sorted(used),
                "worst": {name: f"{errors[name]:.1e}" for name in worst},
            }
    for implementation in IMPLEMENTATIONS[:3]:
        with rows.attempt("golden gradients", implementation, dtype="float32") as row:
            if not row.get("late"):
                errors = dict(error for golden in cases for error in _gradient_errors(rows, golden, implementation))
                worst = sorted(errors, key=lambda name: -errors[name])[:3]
                row |= {"gradients": len(errors), "worst": {name: f"{errors[name]:.1e}" for name in worst}}


def _model(rows: Rows, golden: Any, implementation: str, dtype: str) -> Any:
    from conformance.suite.adapters import TorchAdapter

    model = TorchAdapter(golden.config, golden.task, golden.params()).model.eval()
    if implementation == "optimize":
        return deberta_torch.optimize(model.to(rows.device), dtype)
    model.set_attn_implementation(implementation)
    return model.to(rows.device, getattr(torch, dtype))


def _inputs(rows: Rows, golden: Any) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(value)).to(rows.device) for name, value in golden.tensors("input").items()}


def _golden_error(rows: Rows, golden: Any, implementation: str, dtype: str, used: set[str]) -> float:
    from conformance.suite.adapters import flatten_outputs

    model, worst = _model(rows, golden, implementation, dtype), 0.0
    with torch.no_grad():
        for _ in range(3 if implementation == "optimize" else 1):  # the second call is recorded, the third replayed
            output = model(**_inputs(rows, golden), output_hidden_states=implementation != "optimize")
    if implementation != "optimize" and model.attn_implementation_used is not None:
        used.add(": ".join(filter(None, model.attn_implementation_used[:2])))
    actual = flatten_outputs(output, lambda tensor: tensor.float().cpu().numpy())
    expected, mask = golden.tensors("output"), golden.mask()
    for name in expected.keys() & actual.keys():
        if name == "loss" and golden.task == "question_answering" and not mask.all():
            continue  # NUMERICS decision 10
        own, judge = (at_real_positions(name, side, mask) for side in (actual[name], expected[name]))
        worst = max(worst, relative_error(own, judge, output_scale(output_kind(name), expected[name])))
    return worst


def _gradient_errors(rows: Rows, golden: Any, implementation: str) -> list[tuple[str, float]]:
    expected = golden.tensors("grad")
    if not expected or golden.is_float64 or (golden.task == "question_answering" and not golden.mask().all()):
        return []
    model = _model(rows, golden, implementation, "float32")
    model(**_inputs(rows, golden)).loss.backward()
    largest, worst = max(float(np.abs(values).max()) for values in expected.values()), 0.0
    for name, parameter in model.named_parameters():
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        scale = max(float(np.abs(expected[name]).max()), 1e-3 * largest)
        worst = max(worst, relative_error(grad.float().cpu().numpy(), expected[name], scale))
    return [(golden.folder.name, worst)]


def kernels(rows: Rows) -> None:
    """The Triton kernels by themselves against float64."""
    from deberta_torch.kernels.triton.blocks import Blocks
    from tools.gpu import try_kernels

    for reach in (20, 99):
        with rows.attempt("kernels", f"one text of 100 tokens, reach {reach}") as row:
            if not row.get("late"):
                row["error"] = f"{try_kernels.worst_error(Blocks(), reach, 100):.1e}"


def _batch(rows: Rows, batch: int, length: int, padded: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch * length)
    ids = torch.randint(1, 97, (batch, length), generator=generator).to(rows.device)
    lengths = (
        torch.randint(1, length + 1, (batch, 1), generator=generator) if padded else torch.full((batch, 1), length)
    )
    return ids, (torch.arange(length) < lengths).long()


def graphs(rows: Rows) -> None:
    """optimize() with graphs, against the plain model: sizes, streams, threads, changed weights, a bounded cache."""
    options = settings(rows.is_tiny) | ({} if rows.is_tiny else {"num_hidden_layers": 3, "vocab_size": 1000})
    plain, fast = (ours(options, rows.device, torch.float32) for _ in range(2))
    deberta_torch.optimize(fast, graphs=4)
    sizes = [(1, 8), (2, 24), (5, 40), (3, 64)] if rows.is_tiny else [(1, 32), (3, 100), (8, 128), (16, 300), (2, 512)]
    batches = [_batch(rows, *size, padded=number % 2 == 1) for number, size in enumerate(sizes)]
    with torch.no_grad():
        wanted = [plain(ids, mask.to(rows.device))[0] for ids, mask in batches]

    def error(number: int, mask_on_device: bool = False) -> float:
        ids, mask = batches[number]
        with torch.no_grad():
            found = fast(ids, mask.to(rows.device) if mask_on_device else mask)[0]
        real = mask.to(rows.device) != 0
        return float((found[real] - wanted[number][real]).abs().max())

    with rows.attempt("graphs", "sizes, each four times") as row:
        row["errors"] = [f"{max(error(n, bool(i % 2)) for i in range(4)):.1e}" for n in range(len(sizes))]
        row["recorded"] = getattr(fast.encoder.packed, "recorded", None)  # on a CPU nothing is
    with rows.attempt("graphs", "8 threads, each with a stream, 40 calls") as row:
        found: list[Any] = []

        def work(thread: int) -> None:
            stream = torch.cuda.Stream() if rows.device.type == "cuda" else None
            with torch.cuda.stream(stream):
                for call in range(4 if rows.is_tiny else 40):
                    found.append(error((thread + call) % len(sizes)))

        def guarded(thread: int) -> None:
            try:
                work(thread)
            except Exception as problem:
                found.append(f"{type(problem).__name__}: {problem}"[:300])

        threads = [threading.Thread(target=guarded, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        row["calls"], row["worst"] = len(found), f"{max(one for one in found if isinstance(one, float)):.1e}"
        row["failed"] = [one for one in found if isinstance(one, str)][:2]
    with rows.attempt("graphs", "weights changed in place, and restore") as row:
        with torch.no_grad():
            for model in (plain, fast):
                model.encoder.layer[0].output.dense.weight.mul_(1.5)
                model.embeddings.word_embeddings.weight.mul_(0.5)
            wanted[:] = [plain(ids, mask.to(rows.device))[0] for ids, mask in batches]
        row["error"] = f"{max(error(n) for n in range(len(sizes)) for _ in range(3)):.1e}"
        deberta_torch.restore(fast)
        row["after"] = f"{max(error(n, True) for n in range(len(sizes))):.1e}"
    with rows.attempt("graphs", "transformers' model optimised") as row:
        theirs = transformers_model(options, rows.device, torch.float32)
        with torch.no_grad():
            expected = [theirs(ids, mask.to(rows.device))[0] for ids, mask in batches]
            deberta_torch.optimize(theirs)
            errors = []
            for (ids, mask), want in [*zip(batches, expected, strict=True)] * 3:
                real = mask.to(rows.device) != 0
                errors.append(float((theirs(ids, mask.to(rows.device))[0][real] - want[real]).abs().max()))
        row["worst"] = f"{max(errors):.1e}"


def waiting(rows: Rows) -> None:
    """Forward, loss, backward and optimiser step, and optimize() with a mask on the CPU, in torch's mode "error"."""
    options = settings(rows.is_tiny) | ({} if rows.is_tiny else {"num_hidden_layers": 2, "vocab_size": 1000})
    cuda = rows.device.type == "cuda"
    from deberta_core.config import DebertaV2Config

    for task, labels in [("SequenceClassification", (4,)), ("TokenClassification", (4, 32)), ("MaskedLM", (4, 32))]:
        for implementation in ("sdpa", "triton"):
            with rows.attempt("no waiting", f"{task} training step", implementation=implementation) as row:
                with torch.device(rows.device):
                    model = getattr(deberta_torch, f"DebertaV2For{task}")(DebertaV2Config.from_dict(options)).train()
                model.set_attn_implementation(implementation)
                optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
                ids, mask = _batch(rows, 4, 32, padded=task != "MaskedLM")
                wanted = torch.ones(labels, dtype=torch.long)
                wanted = wanted if task == "MaskedLM" else wanted.to(rows.device)
                masks = {"on the device": mask.to(rows.device), "on the CPU": mask}
                for place, own in masks.items():
                    for is_watched in (False, True):
                        if cuda and is_watched:
                            torch.cuda.set_sync_debug_mode("error")
                        try:
                            with torch.autocast(rows.device.type, torch.bfloat16, enabled=cuda):
                                padding = "error" if task == "MaskedLM" else "ignore"
                                loss = model(ids, own, labels=wanted, labels_at_padding=padding).loss
                            loss.backward()
                            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                            optimizer.step()
                            optimizer.zero_grad()
                        finally:
                            if cuda:
                                torch.cuda.set_sync_debug_mode("default")
                    row[f"mask {place}"] = "did not wait"
    with rows.attempt("no waiting", "optimize(), mask on the CPU") as row:
        model = deberta_torch.optimize(ours(options, rows.device, rows.half))
        ids, mask = _batch(rows, 4, 32)
        with torch.no_grad():
            for call in range(5):
                if cuda and call > 2:
                    torch.cuda.set_sync_debug_mode("error")
                try:
                    model(ids, mask)
                    model(ids)
                finally:
                    if cuda:
                        torch.cuda.set_sync_debug_mode("default")
        row["result"] = "did not wait"


def compiled(rows: Rows) -> None:
    """torch.compile in one graph, forward and backward, and torch.export."""
    options = settings(rows.is_tiny) | ({} if rows.is_tiny else {"num_hidden_layers": 2, "vocab_size": 1000})
    ids, mask = _batch(rows, 4, 32)
    mask = mask.to(rows.device)
    real = mask != 0
    for implementation in ("sdpa", "triton", "flex"):
        with rows.attempt("compile", implementation, fullgraph=True) as row:
            if row.get("late"):
                continue
            torch._dynamo.reset()
            model: Any = ours(options, rows.device, torch.float32)
            model.set_attn_implementation(implementation)
            with torch.no_grad():
                wanted = model(ids, mask)[0]
                found = torch.compile(model, fullgraph=True)(ids, mask)[0]
            row["error forward"] = f"{float((found - wanted)[real].abs().max()):.1e}"
            if implementation != "flex":
                # Not the squares, whose sum LayerNorm fixes: its gradient is rounding noise.
                (model(ids, mask)[0] * mask[:, :, None])[..., :5].sum().backward()
                plain = model.encoder.layer[0].output.dense.weight.grad.clone()
                model.zero_grad()
                (torch.compile(model, fullgraph=True)(ids, mask)[0] * mask[:, :, None])[..., :5].sum().backward()
                again = model.encoder.layer[0].output.dense.weight.grad
                row["error gradient"] = f"{float((again - plain).abs().max() / plain.abs().max()):.1e}"


def blocks(rows: Rows) -> None:
    """Other sizes of the kernels' blocks, each checked and timed; which entries of the table would be better."""
    with rows.attempt("blocks", "the table") as row:
        if row.get("late"):
            return
        environment = {"OUT": tempfile.gettempdir(), **os.environ}
        if rows.device.type == "cpu":
            environment["TRITON_INTERPRET"] = "1"
        command = [sys.executable, str(Path(__file__).with_name("try_kernels.py")), "--seconds", "60", "--few"]
        output = _output(command, environment, 80)
        lines = [json.loads(line[line.index("{") :]) for line in output.splitlines() if "{" in line]
        row["better"] = [line for line in lines if line["kind"] == "better"]
        row["failed"] = [line for line in lines if line["kind"] == "failed" or "failed" in line][:4]
        row["end"] = output.strip().splitlines()[-1][-200:]


def keras(rows: Rows) -> None:
    """The goldens through Keras on JAX, in a process of its own."""
    root = Path(__file__).parents[2]
    environment = {"KERAS_BACKEND": "jax", **os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
                   "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}  # fmt: skip
    with rows.attempt("keras", environment["KERAS_BACKEND"]) as row:
        if not row.get("late"):
            command = [sys.executable, str(Path(__file__).with_name("keras_goldens.py")), *(["--tiny"] * rows.is_tiny)]
            row["result"] = _output([*command, "--seconds", "45"], environment, 90).strip().replace("\n", " ")[-600:]


def _output(command: list[str], environment: dict[str, str], seconds: float) -> str:
    """What a process prints, up to its end or that of the time."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        printed = late.stdout or ""  # bytes, whatever was asked for
        return (printed if isinstance(printed, str) else printed.decode()) + f"\nended after {seconds} s"
    return done.stdout + done.stderr[-300:] * (done.returncode != 0)
