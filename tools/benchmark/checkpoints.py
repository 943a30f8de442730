"""The checkpoints that all subjects load: published shapes, fewer layers, random weights."""

from __future__ import annotations

from pathlib import Path

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.config import BaseConfig

# Name in the tables -> configuration class and preset.
ARCHITECTURES: dict[str, tuple[type[BaseConfig], str]] = {
    "v3-xsmall": (DebertaV2Config, "deberta-v3-xsmall"),
    "v3-base": (DebertaV2Config, "deberta-v3-base"),
    "v3-large": (DebertaV2Config, "deberta-v3-large"),
    "v1-base": (DebertaConfig, "deberta-base"),
}
H5 = "h5"  # the subfolder for transformers' TensorFlow classes, which cannot read safetensors of today
SMALL_VOCABULARY = 1000  # for measurements of the encoder alone


def write(folder: Path, architecture: str, layers: int | None, vocabulary: int | None, task: str | None) -> Path:
    """Writes a checkpoint with random weights.

    Args:
        folder: where to.
        architecture: a name of `ARCHITECTURES`.
        layers: how many; None for the published number.
        vocabulary: how many token ids; None for the published number.
        task: "AutoModel" without its prefix: "ForMaskedLM", "ForSequenceClassification"; None for the backbone.
    """
    import torch

    import deberta_torch

    config_class, preset = ARCHITECTURES[architecture]
    changes = {"num_hidden_layers": layers, "vocab_size": vocabulary}
    config = config_class.preset(preset).replace(**{name: value for name, value in changes.items() if value})
    kind = "DebertaV2" if config_class is DebertaV2Config else "Deberta"
    torch.manual_seed(0)
    model = getattr(deberta_torch, kind + (task or "Model"))(config)
    model.save_pretrained(folder)
    model.save_pretrained(folder / H5, format="h5")
    return folder
