"""The framework-free core: configurations, the executable specification, tokenizers, checkpoint formats.

Axes, in every docstring of this project: B batch, Q query length, K key length, L length where Q = K, H heads,
D width of a head, C hidden width, E embedding width, F feed-forward width, V vocabulary, R rows of the relative
table (2 x span), N labels or choices.
"""

from deberta_core.auto import AutoConfig
from deberta_core.config import DebertaConfig, DebertaV2Config
from deberta_core.errors import (
    ConfigError,
    DebertaError,
    DebertaWarning,
    InputError,
    TokenizationError,
    WeightError,
)
from deberta_core.tokenization import DebertaV2Tokenizer

__all__ = [
    "AutoConfig",
    "ConfigError",
    "DebertaConfig",
    "DebertaError",
    "DebertaV2Config",
    "DebertaV2Tokenizer",
    "DebertaWarning",
    "InputError",
    "TokenizationError",
    "WeightError",
]
