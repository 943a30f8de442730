"""The framework-free core: configurations, the executable specification, tokenizers, checkpoint formats.

Axes, in every docstring of this project: B batch, Q query length, K key length, L length where Q = K, H heads,
D width of a head, C hidden width, E embedding width, F feed-forward width, V vocabulary, R rows of the relative
table (2 x span), N labels or choices.
"""

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
from deberta_core.errors import (
    ConfigError,
    DebertaError,
    DebertaWarning,
    InputError,
    TokenizationError,
    WeightError,
)
from deberta_core.tokenization import (
    AddedToken,
    BatchEncoding,
    DebertaTokenizer,
    DebertaTokenizerFast,
    DebertaV2Tokenizer,
    DebertaV2TokenizerFast,
)

__all__ = [
    "AddedToken",
    "AnswerWindow",
    "AutoConfig",
    "AutoTokenizer",
    "BatchEncoding",
    "ConfigError",
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForNGramMask",
    "DataCollatorForTokenClassification",
    "DataCollatorForWholeWordMask",
    "DataCollatorWithPadding",
    "DebertaConfig",
    "DebertaError",
    "DebertaTokenizer",
    "DebertaTokenizerFast",
    "DebertaV2Config",
    "DebertaV2Tokenizer",
    "DebertaV2TokenizerFast",
    "DebertaWarning",
    "InputError",
    "TokenizationError",
    "WeightError",
    "align_span_labels",
    "align_word_labels",
    "answer_windows",
]
