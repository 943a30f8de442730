"""The framework-free core: configurations, the executable specification, tokenizers, checkpoint formats.

Axes, in every docstring of this project: B batch, Q query length, K key length, L length where Q = K, H heads,
D width of a head, C hidden width, E embedding width, F feed-forward width, V vocabulary, R rows of the relative
table (2 x span), N labels or choices.
"""

from deberta_core import collation, tokenization
from deberta_core.auto import AutoConfig, AutoTokenizer
from deberta_core.collation import *
from deberta_core.config import DebertaConfig, DebertaV2Config
from deberta_core.errors import (
    ConfigError,
    DebertaError,
    DebertaWarning,
    InputError,
    TokenizationError,
    WeightError,
)
from deberta_core.tokenization import *

__all__ = [
    "AutoConfig",
    "AutoTokenizer",
    "ConfigError",
    "DebertaConfig",
    "DebertaError",
    "DebertaV2Config",
    "DebertaWarning",
    "InputError",
    "TokenizationError",
    "WeightError",
]
__all__ += collation.__all__
__all__ += tokenization.__all__
