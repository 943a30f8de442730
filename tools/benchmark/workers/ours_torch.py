"""This library in PyTorch."""

from __future__ import annotations

from typing import Any

import deberta_torch
from deberta_core.checkpoint import generator_config_of
from deberta_torch import DebertaV2Config
from tools.benchmark.inputs import Batches
from tools.benchmark.workers.torch_steps import Call, Settings, inference, loading, outputs, pretraining, training

__all__ = ["SUBJECTS", "outputs"]


def load(name: str, folder: str) -> Any:
    """A model of an Auto class."""
    return getattr(deberta_torch, name).from_pretrained(folder)


def plain(settings: Settings, batches: Batches) -> Call:
    """float32 as it comes."""
    return inference(load("AutoModel", settings["folder"]), batches)


def optimized(settings: Settings, batches: Batches) -> Call:
    """`deberta_torch.optimize` in `dtype`."""
    model = load("AutoModel", settings["folder"]).eval()
    return inference(deberta_torch.optimize(model, dtype=settings["dtype"]), batches)


class Pair:
    """A generator and a discriminator with fresh weights."""

    def __init__(self, settings: Settings) -> None:
        config = DebertaV2Config.from_pretrained(settings["folder"])
        other = generator_config_of(config).replace(mlm_decoder=settings.get("mlm_decoder", "enhanced"))
        self._model = deberta_torch.DebertaV2ForPreTraining(other, config, settings.get("sharing", "gdes"))
        self.generator, self.discriminator = self._model.generator, self._model.discriminator

    def corrupt(self, masked: Any, mask: Any, labels: Any) -> tuple[Any, Any, Any]:
        """See `torch_steps.pretraining`."""
        found = self._model.corrupt(masked, mask, labels=labels)
        return found.mlm_loss, found.corrupted_ids, found.replaced

    def discriminate(self, ids: Any, mask: Any, replaced: Any) -> Any:
        """See `torch_steps.pretraining`."""
        return self._model.discriminate(ids, mask, replaced=replaced).rtd_loss


SUBJECTS = {
    "plain": plain,
    "optimized": optimized,
    "training": training(load),
    "pretraining": pretraining(Pair),
    "loading": loading(load),
}
