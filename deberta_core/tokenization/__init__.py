"""Tokenizers: texts to model inputs and back, exactly as the published models' vocabularies define it."""

from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.batch_encoding import BatchEncoding
from deberta_core.tokenization.byte_level_tokenizer import DebertaTokenizer, DebertaTokenizerFast
from deberta_core.tokenization.file_tokenizer import FileTokenizer
from deberta_core.tokenization.row_encoding import CharSpan, Encoding, TokenSpan
from deberta_core.tokenization.sentencepiece_tokenizer import DebertaV2Tokenizer, DebertaV2TokenizerFast
from deberta_core.tokenization.tokenizer import Tokenizer

__all__ = [
    "AddedToken",
    "BatchEncoding",
    "CharSpan",
    "DebertaTokenizer",
    "DebertaTokenizerFast",
    "DebertaV2Tokenizer",
    "DebertaV2TokenizerFast",
    "Encoding",
    "FileTokenizer",
    "TokenSpan",
    "Tokenizer",
]
