"""The vocabulary of a data set's models."""

from __future__ import annotations

from collections.abc import Sequence

from deberta_core import DebertaV2Tokenizer

VOCABULARY = 3500
LENGTH = 256  # of a row, in tokens


def train_vocabulary(texts: Sequence[str]) -> DebertaV2Tokenizer:
    """Trains it on the training data, always in the same way; some data sets have words for fewer tokens."""
    return DebertaV2Tokenizer.train(texts, VOCABULARY, model_max_length=LENGTH, hard_vocab_limit=False)
