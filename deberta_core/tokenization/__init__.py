"""Tokenizers: texts to model inputs and back, exactly as the published models' vocabularies define it."""

from deberta_core.tokenization.base import Tokenizer
from deberta_core.tokenization.batch_encoding import BatchEncoding, CharSpan
from deberta_core.tokenization.byte_level_tokenizer import DebertaTokenizer, DebertaTokenizerFast
from deberta_core.tokenization.sentencepiece_tokenizer import DebertaV2Tokenizer, DebertaV2TokenizerFast
from deberta_core.tokenization.special_tokens import AddedToken

__all__ = [
    "AddedToken",
    "BatchEncoding",
    "CharSpan",
    "DebertaTokenizer",
    "DebertaTokenizerFast",
    "DebertaV2Tokenizer",
    "DebertaV2TokenizerFast",
    "Tokenizer",
]
