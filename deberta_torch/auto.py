"""Choosing a model class by the `model_type` of config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from deberta_core.auto import AutoConfig
from deberta_core.config import BaseConfig
from deberta_torch import models, tasks
from deberta_torch.models import DebertaPreTrainedModel


class AutoBase:
    """Base of the choosers; they make models of other classes and are not to be instantiated.

    Attributes:
        classes: model type to model class.
    """

    classes: ClassVar[dict[str, type[DebertaPreTrainedModel]]]

    @classmethod
    def from_pretrained(cls, path: str | Path, config: BaseConfig | None = None, **options: Any) -> Any:
        """Builds a model from a checkpoint folder, of the class its config.json names.

        Args:
            path: the folder.
            config: used instead of the folder's config.json.
            **options: as for `DebertaPreTrainedModel.from_pretrained`.

        Raises:
            ConfigError: config.json is missing, wrong or not DeBERTa's.
            WeightError: see `DebertaPreTrainedModel.from_pretrained`.
        """
        config = AutoConfig.from_pretrained(path) if config is None else config
        return cls.classes[config.model_type].from_pretrained(path, config, **options)

    @classmethod
    def from_config(cls, config: BaseConfig) -> DebertaPreTrainedModel:
        """Builds a model with fresh weights, of the configuration's class."""
        return cls.classes[config.model_type](config)


class AutoModel(AutoBase):
    """The backbone, of any version."""

    classes: ClassVar = {"deberta": models.DebertaModel, "deberta-v2": models.DebertaV2Model}


class AutoModelForMaskedLM(AutoBase):
    """Masked LM, of any version."""

    classes: ClassVar = {"deberta": tasks.DebertaForMaskedLM, "deberta-v2": tasks.DebertaV2ForMaskedLM}


class AutoModelForSequenceClassification(AutoBase):
    """Sequence classification, of any version."""

    classes: ClassVar = {
        "deberta": tasks.DebertaForSequenceClassification,
        "deberta-v2": tasks.DebertaV2ForSequenceClassification,
    }


class AutoModelForTokenClassification(AutoBase):
    """Token classification, of any version."""

    classes: ClassVar = {
        "deberta": tasks.DebertaForTokenClassification,
        "deberta-v2": tasks.DebertaV2ForTokenClassification,
    }


class AutoModelForQuestionAnswering(AutoBase):
    """Question answering, of any version."""

    classes: ClassVar = {
        "deberta": tasks.DebertaForQuestionAnswering,
        "deberta-v2": tasks.DebertaV2ForQuestionAnswering,
    }


class AutoModelForMultipleChoice(AutoBase):
    """Multiple choice, of any version."""

    classes: ClassVar = {"deberta": tasks.DebertaForMultipleChoice, "deberta-v2": tasks.DebertaV2ForMultipleChoice}
