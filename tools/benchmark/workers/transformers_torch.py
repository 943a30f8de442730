"""transformers in PyTorch, versions 4 and 5."""

from __future__ import annotations

from typing import Any

import torch
import transformers

# Named, because transformers imports a model's file only when its class is asked for, and imports are not measured.
from transformers import (
    AutoConfig,
    DebertaModel,  # noqa: F401
    DebertaV2ForMaskedLM,
    DebertaV2ForTokenClassification,
    DebertaV2Model,  # noqa: F401
)

from tools.benchmark.inputs import Batches
from tools.benchmark.workers.torch_steps import Call, Settings, inference, loading, outputs, pretraining, training

__all__ = ["SUBJECTS", "outputs"]


def load(name: str, folder: str, **options: Any) -> Any:
    """A model of an Auto class."""
    return getattr(transformers, name).from_pretrained(folder, **options)


def eager(settings: Settings, batches: Batches) -> Call:
    """float32 as it comes; `mode` as in `MODES`."""
    return inference(load("AutoModel", settings["folder"]), batches, settings.get("mode", "default"))


def bfloat16(settings: Settings, batches: Batches) -> Call:
    """Weights and activations in bfloat16."""
    return inference(load("AutoModel", settings["folder"]).to(torch.bfloat16), batches)


def compiled(settings: Settings, batches: Batches) -> Call:
    """`torch.compile` with frozen weights."""
    import torch._inductor.config

    torch._inductor.config.freezing = True
    return inference(torch.compile(load("AutoModel", settings["folder"]).eval()), batches)


def int8(settings: Settings, batches: Batches) -> Call:
    """PyTorch's dynamic quantisation of linear layers."""
    model = load("AutoModel", settings["folder"]).eval()
    return inference(torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8), batches)


def optimized(settings: Settings, batches: Batches) -> Call:
    """`deberta_torch.optimize` of transformers' model, in `dtype`."""
    from deberta_torch import optimize

    return inference(optimize(load("AutoModel", settings["folder"]).eval(), dtype=settings["dtype"]), batches)


class Pair:
    """A generator and a discriminator with fresh weights, as one would make them of transformers' models."""

    def __init__(self, settings: Settings) -> None:
        config = AutoConfig.from_pretrained(settings["folder"], num_labels=1)
        self.discriminator = DebertaV2ForTokenClassification(config)
        config = AutoConfig.from_pretrained(settings["folder"], num_hidden_layers=config.num_hidden_layers // 2)
        self.generator = DebertaV2ForMaskedLM(config)

    def corrupt(self, masked: Any, mask: Any, labels: Any) -> tuple[Any, Any, Any]:
        """See `torch_steps.pretraining`."""
        found = self.generator(input_ids=masked, attention_mask=mask, labels=labels)
        places = labels >= 0
        drawn = torch.multinomial(found.logits.detach()[places].softmax(dim=-1), 1)[:, 0]
        ids = masked.masked_scatter(places, drawn)
        return found.loss, ids, places & (ids != labels)

    def discriminate(self, ids: Any, mask: Any, replaced: Any) -> Any:
        """See `torch_steps.pretraining`."""
        logits = self.discriminator(input_ids=ids, attention_mask=mask).logits[..., 0]
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, replaced.to(logits), reduction="none")
        return (losses * mask).sum() / mask.sum()


SUBJECTS = {
    "optimized": optimized,
    "eager": eager,
    "bfloat16": bfloat16,
    "compiled": compiled,
    "int8": int8,
    "training": training(load),
    "pretraining": pretraining(Pair),
    "loading": loading(load),
}
