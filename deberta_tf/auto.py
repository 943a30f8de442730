"""Choosing a model class by the `model_type` of config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from deberta_core.auto import AutoConfig
from deberta_core.config import BaseConfig
from deberta_tf import models, tasks
from deberta_tf.models import TFDebertaPreTrainedModel


class AutoBase:
    """Base of the choosers; they make models of other classes and are not to be instantiated.

    Attributes:
        classes: model type to model class.
    """

    classes: ClassVar[dict[str, type[TFDebertaPreTrainedModel]]]

    @classmethod
    def from_pretrained(cls, path: str | Path, config: BaseConfig | None = None, **options: Any) -> Any:
        """Builds a model from a checkpoint folder, of the class its config.json names.

        Args:
            path: the folder.
            config: used instead of the folder's config.json.
            **options: as for `TFDebertaPreTrainedModel.from_pretrained`.

        Raises:
            ConfigError: config.json is missing, wrong or not DeBERTa's.
            WeightError: see `TFDebertaPreTrainedModel.from_pretrained`.
        """
        config = AutoConfig.from_pretrained(path) if config is None else config
        return cls.classes[config.model_type].from_pretrained(path, config, **options)

    @classmethod
    def from_config(cls, config: BaseConfig) -> TFDebertaPreTrainedModel:
        """Builds a model with fresh weights, of the configuration's class."""
        return cls.classes[config.model_type](config)


class TFAutoModel(AutoBase):
    """The backbone, of any version."""

    classes: ClassVar = {"deberta": models.TFDebertaModel, "deberta-v2": models.TFDebertaV2Model}


class TFAutoModelForMaskedLM(AutoBase):
    """Masked LM, of any version."""

    classes: ClassVar = {"deberta": tasks.TFDebertaForMaskedLM, "deberta-v2": tasks.TFDebertaV2ForMaskedLM}


class TFAutoModelForSequenceClassification(AutoBase):
    """Sequence classification, of any version."""

    classes: ClassVar = {
        "deberta": tasks.TFDebertaForSequenceClassification,
        "deberta-v2": tasks.TFDebertaV2ForSequenceClassification,
    }


class TFAutoModelForTokenClassification(AutoBase):
    """Token classification, of any version."""

    classes: ClassVar = {
        "deberta": tasks.TFDebertaForTokenClassification,
        "deberta-v2": tasks.TFDebertaV2ForTokenClassification,
    }


class TFAutoModelForQuestionAnswering(AutoBase):
    """Question answering, of any version."""

    classes: ClassVar = {
        "deberta": tasks.TFDebertaForQuestionAnswering,
        "deberta-v2": tasks.TFDebertaV2ForQuestionAnswering,
    }


class TFAutoModelForMultipleChoice(AutoBase):
    """Multiple choice, of any version."""

    classes: ClassVar = {"deberta": tasks.TFDebertaForMultipleChoice, "deberta-v2": tasks.TFDebertaV2ForMultipleChoice}
