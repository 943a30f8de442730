"""Choosing a configuration class by the `model_type` of config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deberta_core.config import CONFIG_FILE, BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.errors import ConfigError, one_of
from deberta_core.files import read_json

CONFIG_CLASSES: dict[str, type[BaseConfig]] = {cls.model_type: cls for cls in (DebertaConfig, DebertaV2Config)}


class AutoConfig:
    """The configuration of any DeBERTa; not to be instantiated."""

    @staticmethod
    def from_pretrained(path: str | Path, **overrides: Any) -> BaseConfig:
        """Reads config.json of a checkpoint folder with the class its `model_type` names.

        Args:
            path: the folder, or the file itself.
            **overrides: fields to change.

        Raises:
            ConfigError: see `BaseConfig.from_pretrained`; or `model_type` is missing or not DeBERTa's.
        """
        path = Path(path)
        file = path / CONFIG_FILE if path.is_dir() else path
        values = read_json(file, ConfigError, hint="A checkpoint folder holds a config.json.")
        model_type = values.get("model_type")
        if not isinstance(model_type, str) or model_type not in CONFIG_CLASSES:
            raise ConfigError(f"{file}: {one_of('model_type', model_type, sorted(CONFIG_CLASSES))}")
        return CONFIG_CLASSES[model_type].from_pretrained(path, **overrides)

    @staticmethod
    def for_model(model_type: str, **fields: Any) -> BaseConfig:
        """A configuration of a model type.

        Raises:
            ConfigError: no such model type, or a field that is not allowed.
        """
        if model_type not in CONFIG_CLASSES:
            raise ConfigError(one_of("model_type", model_type, sorted(CONFIG_CLASSES)))
        return CONFIG_CLASSES[model_type](**fields)
