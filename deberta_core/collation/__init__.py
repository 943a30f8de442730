"""Data collators: lists of tokenized examples to batches, in NumPy, for PyTorch and Keras alike."""

from deberta_core.collation.answer_windows import AnswerWindow, answer_windows
from deberta_core.collation.gram_masking import MASKING_RULES, MaskingRule
from deberta_core.collation.masked_lm import (
    DataCollatorForLanguageModeling,
    DataCollatorForNGramMask,
    DataCollatorForWholeWordMask,
)
from deberta_core.collation.masker import MaskedRows, Masker
from deberta_core.collation.padding import (
    DataCollatorForMultipleChoice,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
)
from deberta_core.collation.token_labels import align_span_labels, align_word_labels

__all__ = [
    "MASKING_RULES",
    "AnswerWindow",
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForNGramMask",
    "DataCollatorForTokenClassification",
    "DataCollatorForWholeWordMask",
    "DataCollatorWithPadding",
    "MaskedRows",
    "Masker",
    "MaskingRule",
    "align_span_labels",
    "align_word_labels",
    "answer_windows",
]
