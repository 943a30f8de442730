"""DeBERTa in Keras 3; mirrors `deberta_torch` file for file."""

from deberta_core.auto import AutoConfig
from deberta_core.config import DebertaConfig, DebertaV2Config
from deberta_core.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    ModelOutput,
    MultipleChoiceOutput,
    QuestionAnsweringOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_tf.auto import (
    TFAutoModel,
    TFAutoModelForMaskedLM,
    TFAutoModelForMultipleChoice,
    TFAutoModelForQuestionAnswering,
    TFAutoModelForSequenceClassification,
    TFAutoModelForTokenClassification,
)
from deberta_tf.models import TFDebertaModel, TFDebertaPreTrainedModel, TFDebertaV2Model
from deberta_tf.tasks import (
    TFDebertaForMaskedLM,
    TFDebertaForMultipleChoice,
    TFDebertaForQuestionAnswering,
    TFDebertaForSequenceClassification,
    TFDebertaForTokenClassification,
    TFDebertaV2ForMaskedLM,
    TFDebertaV2ForMultipleChoice,
    TFDebertaV2ForQuestionAnswering,
    TFDebertaV2ForSequenceClassification,
    TFDebertaV2ForTokenClassification,
)

__all__ = [
    "AutoConfig",
    "BaseModelOutput",
    "DebertaConfig",
    "DebertaV2Config",
    "DebertaV2Tokenizer",
    "MaskedLMOutput",
    "ModelOutput",
    "MultipleChoiceOutput",
    "QuestionAnsweringOutput",
    "SequenceClassifierOutput",
    "TFAutoModel",
    "TFAutoModelForMaskedLM",
    "TFAutoModelForMultipleChoice",
    "TFAutoModelForQuestionAnswering",
    "TFAutoModelForSequenceClassification",
    "TFAutoModelForTokenClassification",
    "TFDebertaForMaskedLM",
    "TFDebertaForMultipleChoice",
    "TFDebertaForQuestionAnswering",
    "TFDebertaForSequenceClassification",
    "TFDebertaForTokenClassification",
    "TFDebertaModel",
    "TFDebertaPreTrainedModel",
    "TFDebertaV2ForMaskedLM",
    "TFDebertaV2ForMultipleChoice",
    "TFDebertaV2ForQuestionAnswering",
    "TFDebertaV2ForSequenceClassification",
    "TFDebertaV2ForTokenClassification",
    "TFDebertaV2Model",
    "TokenClassifierOutput",
]
