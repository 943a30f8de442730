"""The models of every task, of every version; one that fits a checkpoint is made by its `AutoModel`."""

from __future__ import annotations

from typing import ClassVar

from deberta_core.checkpoint.auto_model import AutoModelBase
from deberta_torch.models import DebertaModel, DebertaPreTrainedModel, DebertaV2Model, DebertaV2PreTrainedModel
from deberta_torch.task_models import LmModel, PooledModel, ReplacedTokenModel, SpanModel, TokenModel

__all__ = [
    "AutoModel",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForQuestionAnswering",
    "AutoModelForReplacedTokenDetection",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "DebertaForMaskedLM",
    "DebertaForMultipleChoice",
    "DebertaForQuestionAnswering",
    "DebertaForReplacedTokenDetection",
    "DebertaForSequenceClassification",
    "DebertaForTokenClassification",
    "DebertaV2ForMaskedLM",
    "DebertaV2ForMultipleChoice",
    "DebertaV2ForQuestionAnswering",
    "DebertaV2ForReplacedTokenDetection",
    "DebertaV2ForSequenceClassification",
    "DebertaV2ForTokenClassification",
]


class AutoModel(AutoModelBase):
    """The backbone, of any version."""

    classes: ClassVar = {"deberta": DebertaModel, "deberta-v2": DebertaV2Model}


class DebertaForMaskedLM(LmModel, DebertaPreTrainedModel):
    """Masked LM with DeBERTa v1: labels `[B, L]` in [0, V), -100 ignored; `MaskedLMOutput`."""

    task = "masked_lm"


class DebertaV2ForMaskedLM(LmModel, DebertaV2PreTrainedModel):
    """Masked LM with DeBERTa v2 and v3: labels `[B, L]` in [0, V), -100 ignored; `MaskedLMOutput`."""

    task = "masked_lm"


class AutoModelForMaskedLM(AutoModelBase):
    """Masked LM, of any version."""

    classes: ClassVar = {"deberta": DebertaForMaskedLM, "deberta-v2": DebertaV2ForMaskedLM}


class DebertaForSequenceClassification(PooledModel, DebertaPreTrainedModel):
    """Sequence classification with DeBERTa v1; labels as in `PooledModel`; `SequenceClassifierOutput`."""

    task = "sequence_classification"


class DebertaV2ForSequenceClassification(PooledModel, DebertaV2PreTrainedModel):
    """Sequence classification with DeBERTa v2 and v3; labels as in `PooledModel`; `SequenceClassifierOutput`."""

    task = "sequence_classification"


class AutoModelForSequenceClassification(AutoModelBase):
    """Sequence classification, of any version."""

    classes: ClassVar = {"deberta": DebertaForSequenceClassification, "deberta-v2": DebertaV2ForSequenceClassification}


class DebertaForTokenClassification(TokenModel, DebertaPreTrainedModel):
    """Token classification with DeBERTa v1: labels `[B, L]` in [0, N), -100 ignored; `TokenClassifierOutput`."""

    task = "token_classification"


class DebertaV2ForTokenClassification(TokenModel, DebertaV2PreTrainedModel):
    """Token classification with DeBERTa v2 and v3: labels `[B, L]` in [0, N), -100 ignored; `TokenClassifierOutput`."""

    task = "token_classification"


class AutoModelForTokenClassification(AutoModelBase):
    """Token classification, of any version."""

    classes: ClassVar = {"deberta": DebertaForTokenClassification, "deberta-v2": DebertaV2ForTokenClassification}


class DebertaForQuestionAnswering(SpanModel, DebertaPreTrainedModel):
    """Extractive question answering with DeBERTa v1; `QuestionAnsweringOutput`."""

    task = "question_answering"


class DebertaV2ForQuestionAnswering(SpanModel, DebertaV2PreTrainedModel):
    """Extractive question answering with DeBERTa v2 and v3; `QuestionAnsweringOutput`."""

    task = "question_answering"


class AutoModelForQuestionAnswering(AutoModelBase):
    """Question answering, of any version."""

    classes: ClassVar = {"deberta": DebertaForQuestionAnswering, "deberta-v2": DebertaV2ForQuestionAnswering}


class DebertaForMultipleChoice(PooledModel, DebertaPreTrainedModel):
    """Multiple choice with DeBERTa v1: inputs `[B, N, L]`, labels `[B]` in [0, N); `MultipleChoiceOutput`."""

    task = "multiple_choice"


class DebertaV2ForMultipleChoice(PooledModel, DebertaV2PreTrainedModel):
    """Multiple choice with DeBERTa v2 and v3: inputs `[B, N, L]`, labels `[B]` in [0, N); `MultipleChoiceOutput`."""

    task = "multiple_choice"


class AutoModelForMultipleChoice(AutoModelBase):
    """Multiple choice, of any version."""

    classes: ClassVar = {"deberta": DebertaForMultipleChoice, "deberta-v2": DebertaV2ForMultipleChoice}


class DebertaForReplacedTokenDetection(ReplacedTokenModel, DebertaPreTrainedModel):
    """Replaced-token detection with DeBERTa v1: labels `[B, L]` 1 (replaced), 0 or -100; `ReplacedTokenOutput`."""

    task = "replaced_token"


class DebertaV2ForReplacedTokenDetection(ReplacedTokenModel, DebertaV2PreTrainedModel):
    """v3's discriminator: labels `[B, L]` 1 (replaced), 0 (original) or -100 (ignored); `ReplacedTokenOutput`."""

    task = "replaced_token"


class AutoModelForReplacedTokenDetection(AutoModelBase):
    """Replaced-token detection, of any version."""

    classes: ClassVar = {
        "deberta": DebertaForReplacedTokenDetection,
        "deberta-v2": DebertaV2ForReplacedTokenDetection,
    }
