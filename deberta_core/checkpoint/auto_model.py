"""Choosing a model class by the `model_type` of config.json; each framework's Auto classes are subclasses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from deberta_core.auto import AutoConfig
from deberta_core.checkpoint.folder import checkpoint_folder
from deberta_core.checkpoint.model_config import config_beside
from deberta_core.config import BaseConfig
from deberta_core.errors import ConfigError
from deberta_core.hub import split_hub_options
from deberta_core.names.loading import LOADING
from deberta_core.names.rows import with_other_names


class AutoModelBase:
    """Base of the Auto classes; they make models of other classes and are not to be instantiated.

    Attributes:
        classes: model type to model class.
    """

    classes: ClassVar[dict[str, Any]]

    @classmethod
    @with_other_names(LOADING, ConfigError)
    def from_pretrained(cls, path: str | Path | None, config: BaseConfig | None = None, **options: Any) -> Any:
        """Builds a model from a checkpoint, of the class its config.json names.

        Args:
            path: the folder, a weight file in it, or a hub id; None as for `PreTrainedModel.from_pretrained`.
            config: used instead of the folder's config.json.
            **options: as for `PreTrainedModel.from_pretrained`.

        Raises:
            ConfigError: config.json is missing, wrong or not DeBERTa's.
            WeightError: see `PreTrainedModel.from_pretrained`.
        """
        hub, options = split_hub_options(options)
        has_weights = options.get("state_dict") is not None
        if config is None:
            folder = checkpoint_folder(path, with_weights=not has_weights, **hub)
            model_type = AutoConfig.from_pretrained(config_beside(folder)).model_type
            return cls.classes[model_type].from_pretrained(folder, **{"name_or_path": str(path), **options})
        if not has_weights:
            path = checkpoint_folder(path, with_config=False, **hub)
        return cls.classes[config.model_type].from_pretrained(path, config, **options)

    @classmethod
    def from_config(cls, config: BaseConfig) -> Any:
        """Builds a model with fresh weights, of the configuration's class."""
        return cls.classes[config.model_type](config)
