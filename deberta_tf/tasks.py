"""The models of every task, of every version; one that fits a checkpoint is made by its `TFAutoModel`."""

from __future__ import annotations

from typing import ClassVar

import keras

from deberta_core.checkpoint.auto_model import AutoModelBase
from deberta_tf.models import TFDebertaModel, TFDebertaPreTrainedModel, TFDebertaV2Model, TFDebertaV2PreTrainedModel
from deberta_tf.task_models import LmModel, PooledModel, ReplacedTokenModel, SpanModel, TokenModel

__all__ = [
    "TFAutoModel",
    "TFAutoModelForMaskedLM",
    "TFAutoModelForMultipleChoice",
    "TFAutoModelForQuestionAnswering",
    "TFAutoModelForReplacedTokenDetection",
    "TFAutoModelForSequenceClassification",
    "TFAutoModelForTokenClassification",
    "TFDebertaForMaskedLM",
    "TFDebertaForMultipleChoice",
    "TFDebertaForQuestionAnswering",
    "TFDebertaForReplacedTokenDetection",
    "TFDebertaForSequenceClassification",
    "TFDebertaForTokenClassification",
    "TFDebertaV2ForMaskedLM",
    "TFDebertaV2ForMultipleChoice",
    "TFDebertaV2ForQuestionAnswering",
    "TFDebertaV2ForReplacedTokenDetection",
    "TFDebertaV2ForSequenceClassification",
    "TFDebertaV2ForTokenClassification",
]


class TFAutoModel(AutoModelBase):
    """The backbone, of any version."""

    classes: ClassVar = {"deberta": TFDebertaModel, "deberta-v2": TFDebertaV2Model}


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaForMaskedLM(LmModel, TFDebertaPreTrainedModel):
    """Masked LM with DeBERTa v1: labels `[B, L]` in [0, V), -100 ignored; `MaskedLMOutput`."""

    task = "masked_lm"


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2ForMaskedLM(LmModel, TFDebertaV2PreTrainedModel):
    """Masked LM with DeBERTa v2 and v3: labels `[B, L]` in [0, V), -100 ignored; `MaskedLMOutput`."""

    task = "masked_lm"


class TFAutoModelForMaskedLM(AutoModelBase):
    """Masked LM, of any version."""

    classes: ClassVar = {"deberta": TFDebertaForMaskedLM, "deberta-v2": TFDebertaV2ForMaskedLM}


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaForSequenceClassification(PooledModel, TFDebertaPreTrainedModel):
    """Sequence classification with DeBERTa v1; labels as in `PooledModel`; `SequenceClassifierOutput`."""

    task = "sequence_classification"


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2ForSequenceClassification(PooledModel, TFDebertaV2PreTrainedModel):
    """Sequence classification with DeBERTa v2 and v3; labels as in `PooledModel`; `SequenceClassifierOutput`."""

    task = "sequence_classification"


class TFAutoModelForSequenceClassification(AutoModelBase):
    """Sequence classification, of any version."""

    classes: ClassVar = {
        "deberta": TFDebertaForSequenceClassification,
        "deberta-v2": TFDebertaV2ForSequenceClassification,
    }


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaForTokenClassification(TokenModel, TFDebertaPreTrainedModel):
    """Token classification with DeBERTa v1: labels `[B, L]` in [0, N), -100 ignored; `TokenClassifierOutput`."""

    task = "token_classification"


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2ForTokenClassification(TokenModel, TFDebertaV2PreTrainedModel):
    """Token classification with DeBERTa v2 and v3: labels `[B, L]` in [0, N), -100 ignored; `TokenClassifierOutput`."""

    task = "token_classification"


class TFAutoModelForTokenClassification(AutoModelBase):
    """Token classification, of any version."""

    classes: ClassVar = {"deberta": TFDebertaForTokenClassification, "deberta-v2": TFDebertaV2ForTokenClassification}


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaForQuestionAnswering(SpanModel, TFDebertaPreTrainedModel):
    """Extractive question answering with DeBERTa v1; `QuestionAnsweringOutput`."""

    task = "question_answering"


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2ForQuestionAnswering(SpanModel, TFDebertaV2PreTrainedModel):
    """Extractive question answering with DeBERTa v2 and v3; `QuestionAnsweringOutput`."""

    task = "question_answering"


class TFAutoModelForQuestionAnswering(AutoModelBase):
    """Question answering, of any version."""

    classes: ClassVar = {"deberta": TFDebertaForQuestionAnswering, "deberta-v2": TFDebertaV2ForQuestionAnswering}


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaForMultipleChoice(PooledModel, TFDebertaPreTrainedModel):
    """Multiple choice with DeBERTa v1: inputs `[B, N, L]`, labels `[B]` in [0, N); `MultipleChoiceOutput`."""

    task = "multiple_choice"


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2ForMultipleChoice(PooledModel, TFDebertaV2PreTrainedModel):
    """Multiple choice with DeBERTa v2 and v3: inputs `[B, N, L]`, labels `[B]` in [0, N); `MultipleChoiceOutput`."""

    task = "multiple_choice"


class TFAutoModelForMultipleChoice(AutoModelBase):
    """Multiple choice, of any version."""

    classes: ClassVar = {"deberta": TFDebertaForMultipleChoice, "deberta-v2": TFDebertaV2ForMultipleChoice}


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaForReplacedTokenDetection(ReplacedTokenModel, TFDebertaPreTrainedModel):
    """Replaced-token detection with DeBERTa v1: labels `[B, L]` 1 or 0, -100 ignored; `ReplacedTokenOutput`."""

    task = "replaced_token"


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2ForReplacedTokenDetection(ReplacedTokenModel, TFDebertaV2PreTrainedModel):
    """Replaced-token detection with DeBERTa v3: labels `[B, L]` 1 or 0, -100 ignored; `ReplacedTokenOutput`."""

    task = "replaced_token"


class TFAutoModelForReplacedTokenDetection(AutoModelBase):
    """Replaced-token detection, of any version."""

    classes: ClassVar = {
        "deberta": TFDebertaForReplacedTokenDetection,
        "deberta-v2": TFDebertaV2ForReplacedTokenDetection,
    }
