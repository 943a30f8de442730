"""A plain call is short to follow: few files, few classes."""

import sys

import pytest

from deberta_core.tokenization import DebertaTokenizer, DebertaTokenizerFast, DebertaV2Tokenizer, DebertaV2TokenizerFast

PACKAGE = "deberta_core."


def modules_entered(call):
    """Our modules whose code runs in a call; what a class generates counts to the module of the class."""
    entered = set()

    def note(frame, event, argument):
        if event == "call":
            entered.add(frame.f_globals.get("__name__", ""))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return {name.removeprefix(PACKAGE) for name in entered if name.startswith(PACKAGE)}


@pytest.mark.parametrize("text", ["a", "The river rises — 1,204 people, isn't it?"])
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("small_byte_tokenizer", "tokenizers_model"),
        ("small_tokenizer", "sentencepiece_model"),
        ("small_fast_tokenizer", "sentencepiece_model"),
    ],
)
def test_a_plain_call_passes_three_files(request, name, model, text):
    tokenizer = request.getfixturevalue(name)
    expected = {f"tokenization.{part}" for part in ("tokenizer", "text_encoder", model)}
    assert modules_entered(lambda: tokenizer(text)) == expected


@pytest.mark.parametrize("cls", [DebertaTokenizer, DebertaTokenizerFast, DebertaV2Tokenizer, DebertaV2TokenizerFast])
def test_a_tokenizer_is_one_class_over_one_base(cls):
    families = {DebertaTokenizerFast: DebertaTokenizer, DebertaV2TokenizerFast: DebertaV2Tokenizer}
    family = families.get(cls, cls)
    assert [base.__name__ for base in family.__mro__[1:]] == ["Tokenizer", "object"]
    assert cls.__mro__[cls is not family :] == family.__mro__
