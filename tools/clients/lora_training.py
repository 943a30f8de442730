"""`finetune --lora-rank` in PyTorch: what is trained, that it goes on when killed, and that PEFT reads the adapter."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import torch

import deberta_torch
from deberta_core import AutoTokenizer
from deberta_dual import finetune
from tools.clients.report import report
from tools.clients.tiny import LABELS, SIZES, TEXTS, batch_of

ENVIRONMENTS = ("hf4", "hf5")
CLASSES = {"text-classification": "AutoModelForSequenceClassification", "sentence-embeddings": "AutoModel"}
HEAD = ("pooler.dense.", "classifier.")
TARGETS = {"deberta-base": ("in_proj.weight",), "deberta-v3-small": ("query_proj.weight", "value_proj.weight")}
LORA: dict[str, Any] = {"lora_rank": 2, "lora_alpha": 4.0, "keep_adapter": True}
CLOSE = 1e-5  # logits and vectors are near 1


class Killed(BaseException):
    """What ends a training."""


def kill(row: Mapping[str, Any]) -> None:
    """Ends a training after its first interval."""
    raise Killed


def train(task: str, data: Path, output: Path, **options: Any) -> dict[str, torch.Tensor]:
    """The weights of a model that was fine-tuned."""
    usual = {"framework": "torch", "device": "cpu", "batch_size": 2, "learning_rate": 1e-2, "epochs": 2}
    finetune(task, data, output, **{**usual, **options})
    return weights(task, output)


def weights(task: str, folder: Path) -> dict[str, torch.Tensor]:
    """Those of a folder."""
    found: dict[str, torch.Tensor] = getattr(deberta_torch, CLASSES[task]).from_pretrained(folder).state_dict()
    return found


@torch.no_grad()
def check(task: str, preset: str, data: Path, folder: Path) -> None:
    """Adapters start from nothing, learn alone but for the head, are merged, and are PEFT's."""
    sizes = {**SIZES, "max_position_embeddings": 128, "initializer_range": 0.3}
    fresh = {"preset": preset, "vocab_size": 300, "config": sizes, "learning_rate": 0.0, "epochs": 1}
    with torch.enable_grad():
        before = train(task, data, folder / "base", **fresh)
        first = train(task, data, folder / "first", model=folder / "base", **{**LORA, "learning_rate": 0.0})
        after = train(task, data, folder / "whole", model=folder / "base", **LORA)
        try:
            train(task, data, folder / "killed", model=folder / "base", report=kill, **LORA)
        except Killed:
            again = train(task, data, folder / "killed", model=folder / "base", resume=True, **LORA)
    assert all(torch.equal(value, before[name]) for name, value in first.items())
    assert all(torch.equal(value, again[name]) for name, value in after.items())
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.endswith(TARGETS[preset]) or name.startswith(HEAD)}, moved

    adapter = folder / "whole" / "adapter"
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    heads = ["classifier", "pooler"] if task == "text-classification" else None
    assert (settings["r"], settings["lora_alpha"], settings["modules_to_save"]) == (2, 4.0, heads), settings
    cls = getattr(deberta_torch, CLASSES[task])
    merged, base = (cls.from_pretrained(folder / name) for name in ("whole", "base"))
    batch = batch_of(AutoTokenizer.from_pretrained(folder / "whole"))
    read = peft.PeftModel.from_pretrained(base, str(adapter)).eval()
    difference = read(**batch)[0] - merged(**batch)[0]
    assert float(difference.abs().max()) <= CLOSE, float(difference.abs().max())


def main() -> None:
    """Both versions, with a head and without."""
    rows = [
        {"text": text, "positive": text[::-1], "label": "ab"[label]} for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    for preset in TARGETS:
        for task in CLASSES:
            with tempfile.TemporaryDirectory() as place:
                data = Path(place) / "data.jsonl"
                names = ("text", "label") if task == "text-classification" else ("text", "positive")
                lines = (json.dumps({name: row[name] for name in names}) for row in rows)
                data.write_text("\n".join(lines), encoding="utf-8")
                check(task, preset, data, Path(place))
    checks = ["`finetune --lora-rank`: adapters are trained, go on when killed, are merged into the model, and read"]
    report("peft", checks)


if __name__ == "__main__":
    main()
