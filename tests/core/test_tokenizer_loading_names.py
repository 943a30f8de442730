"""Names of transformers where tokenizers are loaded, and a list of special tokens that was taken away."""

import pytest

from deberta_core import AutoTokenizer, DebertaV2Tokenizer, InputError


@pytest.mark.parametrize("cls", [AutoTokenizer, DebertaV2Tokenizer])
def test_from_pretrained_by_its_names(cls, small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    loaded = cls.from_pretrained(
        pretrained_model_name_or_path=tmp_path, trust_remote_code=True, use_auth_token=None, model_max_length=99
    )
    assert loaded("The river.")["input_ids"] == small_tokenizer("The river.")["input_ids"]
    assert (loaded.model_max_length, loaded.name_or_path) == (99, str(tmp_path))
    with pytest.raises(InputError, match=r"model_max_lenght.*Did you mean 'model_max_length'"):
        cls.from_pretrained(tmp_path, model_max_lenght=3)


def test_additional_tokens_that_are_taken_away(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    tokenizer = DebertaV2Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.additional_special_tokens == []
    tokenizer.additional_special_tokens = ["<x>"]
    assert tokenizer.additional_special_tokens == ["<x>"]
    tokenizer.additional_special_tokens = None
    assert tokenizer.additional_special_tokens is None
