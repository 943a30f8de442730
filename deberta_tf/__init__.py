"""DeBERTa in Keras 3; mirrors `deberta_torch` file for file."""

try:
    import keras  # noqa: F401 - first, so that a missing one, or its TensorFlow, is said in a line
except ModuleNotFoundError as problem:
    if problem.name not in ("keras", "tensorflow"):
        raise
    raise ImportError(
        "deberta_tf needs Keras 3 and TensorFlow. Install them with: pip install 'deberta-dual[tf]'"
    ) from None

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
from deberta_tf.auto import (
    TFAutoModel,
    TFAutoModelForMaskedLM,
    TFAutoModelForMultipleChoice,
    TFAutoModelForQuestionAnswering,
    TFAutoModelForSequenceClassification,
    TFAutoModelForTokenClassification,
)
from deberta_tf.models import TFDebertaModel, TFDebertaPreTrainedModel, TFDebertaV2Model, TFDebertaV2PreTrainedModel
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
    "AddedToken",
    "AnswerWindow",
    "AutoConfig",
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
    "DebertaTokenizer",
    "DebertaTokenizerFast",
    "DebertaV2Config",
    "DebertaV2Tokenizer",
    "DebertaV2TokenizerFast",
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
    "TFDebertaV2PreTrainedModel",
    "TokenClassifierOutput",
    "align_span_labels",
    "align_word_labels",
    "answer_windows",
]
