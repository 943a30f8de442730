"""Fixtures that several tests of the core need."""

import pytest

from deberta_core.tokenization import DebertaTokenizer, DebertaV2TokenizerFast


@pytest.fixture(scope="session")
def small_byte_tokenizer(prose: list[str]) -> DebertaTokenizer:
    """A v1 tokenizer trained on `prose`; tests must not change it."""
    return DebertaTokenizer.train(prose, 500, model_max_length=64)


@pytest.fixture(scope="session")
def small_fast_tokenizer(small_tokenizer) -> DebertaV2TokenizerFast:
    """`small_tokenizer`'s vocabulary in the fast class; tests must not change it."""
    return DebertaV2TokenizerFast(small_tokenizer.serialized_model, model_max_length=64)
