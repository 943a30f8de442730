"""DeBERTa in Keras 3; mirrors `deberta_torch` file for file."""

from deberta_core import DebertaV2Config, DebertaV2Tokenizer
from deberta_core.outputs import BaseModelOutput, ModelOutput, SequenceClassifierOutput
from deberta_tf.models import TFDebertaPreTrainedModel, TFDebertaV2Model
from deberta_tf.tasks import TFDebertaV2ForSequenceClassification

__all__ = [
    "BaseModelOutput",
    "DebertaV2Config",
    "DebertaV2Tokenizer",
    "ModelOutput",
    "SequenceClassifierOutput",
    "TFDebertaPreTrainedModel",
    "TFDebertaV2ForSequenceClassification",
    "TFDebertaV2Model",
]
