"""DeBERTa in PyTorch; mirrors `deberta_tf` file for file."""

try:
    import torch  # noqa: F401 - first, so that a missing one is said in a line
except ModuleNotFoundError as problem:
    if problem.name != "torch":
        raise
    raise ImportError("deberta_torch needs PyTorch. Install it with: pip install 'deberta-dual[torch]'") from None

from deberta_core.auto import AutoConfig, AutoTokenizer
from deberta_core.collation import (
    AnswerWindow,
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForNGramMask,
    DataCollatorForTokenClassification,
    DataCollatorForWholeWordMask,
    DataCollatorWithPadding,
    align_span_labels,
    align_word_labels,
    answer_windows,
)
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
from deberta_core.tokenization import (
    AddedToken,
    BatchEncoding,
    DebertaTokenizer,
    DebertaTokenizerFast,
    DebertaV2Tokenizer,
    DebertaV2TokenizerFast,
)
from deberta_torch.auto import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from deberta_torch.inference.optimize import optimize, restore
from deberta_torch.models import DebertaModel, DebertaPreTrainedModel, DebertaV2Model, DebertaV2PreTrainedModel
from deberta_torch.outputs import register_outputs
from deberta_torch.tasks import (
    DebertaForMaskedLM,
    DebertaForMultipleChoice,
    DebertaForQuestionAnswering,
    DebertaForSequenceClassification,
    DebertaForTokenClassification,
    DebertaV2ForMaskedLM,
    DebertaV2ForMultipleChoice,
    DebertaV2ForQuestionAnswering,
    DebertaV2ForSequenceClassification,
    DebertaV2ForTokenClassification,
)

register_outputs()

__all__ = [
    "AddedToken",
    "AnswerWindow",
    "AutoConfig",
    "AutoModel",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "BaseModelOutput",
    "BatchEncoding",
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForNGramMask",
    "DataCollatorForTokenClassification",
    "DataCollatorForWholeWordMask",
    "DataCollatorWithPadding",
    "DebertaConfig",
    "DebertaForMaskedLM",
    "DebertaForMultipleChoice",
    "DebertaForQuestionAnswering",
    "DebertaForSequenceClassification",
    "DebertaForTokenClassification",
    "DebertaModel",
    "DebertaPreTrainedModel",
    "DebertaTokenizer",
    "DebertaTokenizerFast",
    "DebertaV2Config",
    "DebertaV2ForMaskedLM",
    "DebertaV2ForMultipleChoice",
    "DebertaV2ForQuestionAnswering",
    "DebertaV2ForSequenceClassification",
    "DebertaV2ForTokenClassification",
    "DebertaV2Model",
    "DebertaV2PreTrainedModel",
    "DebertaV2Tokenizer",
    "DebertaV2TokenizerFast",
    "MaskedLMOutput",
    "ModelOutput",
    "MultipleChoiceOutput",
    "QuestionAnsweringOutput",
    "SequenceClassifierOutput",
    "TokenClassifierOutput",
    "align_span_labels",
    "align_word_labels",
    "answer_windows",
    "optimize",
    "restore",
]
