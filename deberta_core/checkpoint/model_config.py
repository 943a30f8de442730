"""The configuration a model is loaded with: config.json, and the weights' names where it does not say enough."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
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
_TABLE = "embeddings.position_embeddings.weight"


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

    Which masked-LM head and decoder a checkpoint has is said by `legacy` and `mlm_decoder`; where config.json lacks
    them, the weights' names say it (NUMERICS 7). A decoder that is enhanced for its names is logged.

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
    if not task_spec(task).scores_words:
        return config
    told = {*overrides, *read_json(config_in(place), ConfigError, hint="")}
    told |= set() if config.can_enhance_decoder else {"mlm_decoder"}
    if told.issuperset(("legacy", "mlm_decoder")):
        return config
    with open_weights(path if weights is None else weights, config) as opened:
        names = frozenset(opened)
    if "legacy" not in told:
        modules = {name.split(".")[0] for name in names}
        found = [legacy for module, legacy in MASKED_LM_HEADS.items() if module in modules]
        config = config.replace(legacy=found[0]) if found else config
    if "mlm_decoder" not in told and _holds_decoder(config, names):
        logging.getLogger(__name__).info(
            f"{path}: mlm_decoder is enhanced, since the weights hold {_TABLE} and lm_predictions. Pass "
            f'mlm_decoder="plain" for what transformers computes.'
        )
        config = config.replace(mlm_decoder="enhanced")
    return config


def config_beside(path: Path) -> Path:
    """The configuration in a checkpoint folder, or beside a weight file."""
    found = config_in(path)
    return config_in(path.parent) if found == path and path.is_file() else found


def _holds_decoder(config: BaseConfig, names: Collection[str]) -> bool:
    """Whether weights are of a model with the enhanced decoder: its table, and the head that such models have."""
    has_head = any(name.startswith("lm_predictions.") for name in names)
    return has_head and not config.legacy and any(name.endswith(_TABLE) for name in names)
