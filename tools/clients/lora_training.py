"""`finetune --lora-rank` in PyTorch: what PEFT reads of the adapter is what the saved model computes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import peft
import torch

from deberta_dual.backends import torch as backend
from deberta_dual.backends.torch_lora import add_adapters, merged_state
from deberta_torch import AutoModelForSequenceClassification
from tools.clients.report import report
from tools.clients.tiny import LABELS, TEXTS, make

ENVIRONMENTS = ("hf4", "hf5")


def main() -> None:
    """Adapters are put in, trained for a step, saved merged and by themselves, and read by PEFT."""
    model, tokenizer = make()
    batch: Any = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder / "base")
        add_adapters(model, 2, 4.0, ("query_proj", "value_proj"), 0)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert all(".lora_" in name or not name.startswith("deberta.") for name in trained)
        assert any(".lora_A." in name for name in trained)
        before = AutoModelForSequenceClassification.from_pretrained(folder / "base").state_dict()
        merged = merged_state(model)
        assert merged is not None
        assert all(torch.equal(merged[name], before[name]) for name in before)  # the second matrices are 0

        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
        for _ in range(2):  # in the first step the first matrices have no gradient
            optimizer.zero_grad()
            model.train()(**batch, labels=torch.tensor(LABELS)).loss.backward()
            optimizer.step()
        logits = model.eval()(**batch).logits
        backend.save_model(model, folder / "merged", folder / "merged" / "adapter")
        saved = AutoModelForSequenceClassification.from_pretrained(folder / "merged")
        assert float((saved(**batch).logits - logits).abs().max()) <= 1e-5
        moved = {name for name, value in saved.state_dict().items() if not torch.equal(value, before[name])}
        assert {name for name in moved if name.startswith("deberta.")} == {
            name for name in before if name.endswith(("query_proj.weight", "value_proj.weight"))
        }
        settings = json.loads((folder / "merged" / "adapter" / "adapter_config.json").read_text())
        assert settings["modules_to_save"] == ["classifier", "pooler"]
        base = AutoModelForSequenceClassification.from_pretrained(folder / "base")
        read = peft.PeftModel.from_pretrained(base, str(folder / "merged" / "adapter")).eval()
        assert float((read(**batch).logits - logits).abs().max()) <= 1e-5
    report("peft", ["`finetune --lora-rank`: adapters are trained, merged into the model, and read by PEFT"])


if __name__ == "__main__":
    main()
