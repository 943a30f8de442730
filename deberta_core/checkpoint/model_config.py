"""The configuration a model is loaded with: config.json, and the weights' names where it does not say enough."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deberta_core.auto import AutoConfig
from deberta_core.checkpoint.formats import open_weights
from deberta_core.checkpoint.lazy import LazyWeights
from deberta_core.config import BaseConfig
from deberta_core.config_place import config_in
from deberta_core.errors import ConfigError
from deberta_core.files import read_json
from deberta_core.tasks import task_spec

# The module of each masked-LM head -> the value of `legacy` that asks for it; a file with both has the published one.
MASKED_LM_HEADS = {"lm_predictions": False, "cls": True}


def load_config(
    config_class: type[BaseConfig] | None,
    path: str | Path,
    task: str | None,
    overrides: Mapping[str, Any] | None = None,
    *,
    config_file: str | Path | None = None,
    weights: LazyWeights | None = None,
) -> BaseConfig:
    """Reads the configuration of a checkpoint for a task.

    Which masked-LM head a checkpoint has is said by `legacy`; where config.json lacks it, the weights' names say it.

    Args:
        config_class: the configuration's type; None chooses by `model_type`.
        path: the checkpoint folder, or a weight file.
        task: the task of the model; None for the backbone.
        overrides: fields to change.
        config_file: the config.json, or a folder with one; None for that of the folder or beside the weight file.
        weights: those that are loaded instead of the checkpoint's.

    Raises:
        ConfigError: config.json is missing, wrong or another model's, or an override is not allowed.
        WeightError: the weights' names are needed, and there is no weight file or a damaged one.
    """
    path, overrides = Path(path), overrides or {}
    place = Path(config_file) if config_file is not None else config_beside(path)
    config = (config_class or AutoConfig).from_pretrained(place, **overrides)
    if not task_spec(task).scores_words or "legacy" in overrides or _says_legacy(place):
        return config
    with open_weights(path if weights is None else weights, config) as opened:
        modules = {name.split(".")[0] for name in opened}
    found = [legacy for module, legacy in MASKED_LM_HEADS.items() if module in modules]
    return config.replace(legacy=found[0]) if found else config


def config_beside(path: Path) -> Path:
    """The configuration in a checkpoint folder, or beside a weight file."""
    return config_in(path.parent if path.is_file() else path)


def _says_legacy(path: Path) -> bool:
    return "legacy" in read_json(config_in(path), ConfigError, hint="")
