"""What the PyTorch libraries share: calls in inference and steps of training, given how models are loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from tools.benchmark.inputs import Batches

Settings = dict[str, Any]
Load = Callable[..., Any]  # (name of an Auto class, folder, **options) -> model
Call = Callable[[], Any]
LEARNING_RATE = 1e-5
MASK_ID, RTD_WEIGHT = 4, 50  # any id; the weight of the discriminator's loss


@contextlib.contextmanager
def onednn_matmul() -> Iterator[None]:
    """Lets float32 products go through oneDNN, which on some processors rounds them to bfloat16."""
    matmul = torch.backends.mkldnn.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def bfloat16_autocast() -> Any:
    """PyTorch's autocast on the CPU."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


# What surrounds a call.
MODES: dict[str, Callable[[], Any]] = {
    "default": contextlib.nullcontext,
    "flag": onednn_matmul,
    "autocast": bfloat16_autocast,
}


def tensors(batches: Batches) -> list[dict[str, torch.Tensor]]:
    """The inputs of every batch by name."""
    pairs = zip(batches.ids, batches.masks, strict=True)
    made = [{"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)} for ids, mask in pairs]
    for inputs, labels in zip(made, batches.labels or [], strict=False):
        inputs["labels"] = torch.from_numpy(labels)
    return made


def inference(model: Any, batches: Batches, mode: str = "default") -> Call:
    """A call that gives the last hidden states of every batch."""
    model.eval()
    inputs = tensors(batches)

    def call() -> list[torch.Tensor]:
        with torch.inference_mode(), MODES[mode]():
            return [model(**batch).last_hidden_state for batch in inputs]

    return call


def training(load: Load) -> Callable[[Settings, Batches], Call]:
    """A builder of steps of training with AdamW; a step is forward, backward and update on the first batch."""

    def build(settings: Settings, batches: Batches) -> Call:
        model = load(settings["task"], settings["folder"])
        model.train()
        if settings.get("checkpointing"):
            model.gradient_checkpointing_enable({"use_reentrant": False})  # transformers fails with its default
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
        batch, mode = tensors(batches)[0], MODES[settings.get("mode", "default")]

        def call() -> None:
            optimizer.zero_grad()
            with mode():
                loss = model(**batch).loss
            if mode is onednn_matmul:
                with mode():
                    loss.backward()
            else:
                loss.backward()
            optimizer.step()

        return call

    return build


def pretraining(make: Callable[[Settings], Any]) -> Callable[[Settings, Batches], Call]:
    """A builder of steps of replaced-token detection, the generator's before the discriminator's.

    `make` gives an object with `generator`, `discriminator`, `corrupt(masked, mask, labels)`, which gives a loss, ids
    and which of them were replaced, and `discriminate(ids, mask, replaced)`, which gives a loss.
    """

    def build(settings: Settings, batches: Batches) -> Call:
        pair = make(settings)
        optimizers = []
        for part in (pair.generator, pair.discriminator):
            part.train()
            optimizers.append(torch.optim.AdamW(part.parameters(), lr=LEARNING_RATE, fused=True))
        batch = tensors(batches)[0]
        labels, mask = batch["labels"], batch["attention_mask"]
        masked = batch["input_ids"].masked_fill(labels >= 0, MASK_ID)

        def call() -> None:
            loss, ids, replaced = pair.corrupt(masked, mask, labels)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            optimizers[0].step()
            (RTD_WEIGHT * pair.discriminate(ids, mask, replaced)).backward()
            optimizers[1].step()

        return call

    return build


def loading(load: Load) -> Callable[[Settings, Batches], Call]:
    """A builder of calls that load a checkpoint and answer once."""

    def build(settings: Settings, batches: Batches) -> Call:
        return lambda: inference(load("AutoModel", settings["folder"]), batches)()

    return build


def outputs(result: list[torch.Tensor]) -> list[np.ndarray[Any, Any]]:
    """Arrays of what `inference` gives."""
    return [hidden.float().numpy() for hidden in result]
