"""Tokenizers: texts to model inputs and back, exactly as the published models' vocabularies define it."""

from deberta_core.tokenization.base import Tokenizer
from deberta_core.tokenization.encoding import BatchEncoding
from deberta_core.tokenization.sentencepiece_tokenizer import DebertaV2Tokenizer
from deberta_core.tokenization.special_tokens import AddedToken

__all__ = ["AddedToken", "BatchEncoding", "DebertaV2Tokenizer", "Tokenizer"]
