"""DeBERTa in PyTorch; mirrors `deberta_tf` file for file."""

from deberta_core import DebertaV2Config, DebertaV2Tokenizer
from deberta_core.outputs import BaseModelOutput, ModelOutput, SequenceClassifierOutput
from deberta_torch.models import DebertaPreTrainedModel, DebertaV2Model
from deberta_torch.tasks import DebertaV2ForSequenceClassification

__all__ = [
    "BaseModelOutput",
    "DebertaPreTrainedModel",
    "DebertaV2Config",
    "DebertaV2ForSequenceClassification",
    "DebertaV2Model",
    "DebertaV2Tokenizer",
    "ModelOutput",
    "SequenceClassifierOutput",
]
