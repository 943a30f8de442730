"""Vocabularies of other kinds: WordPiece and WordLevel of DeBERTa models, BPE in an spm.model."""

import json

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from deberta_core import AutoTokenizer
from deberta_core.errors import InputError, NotOffered, TokenizationError
from deberta_core.tokenization import DebertaV2Tokenizer, DebertaV2TokenizerFast, FileTokenizer

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the river ri ##ses ##s , . ! un ##want ##ed run ##ning e é 中 国"
TEXTS = ["The river, rises!", "unwanted É 中国x", "", "[MASK] running"]
# Of transformers' BertTokenizerFast, 4.57.1.
CASES = [
    ({}, [[2, 5, 6, 10, 7, 8, 12, 3], [2, 13, 14, 15, 18, 20, 21, 1, 3], [2, 3], [2, 4, 16, 17, 3]]),
    ({"do_lower_case": False},
     [[2, 1, 6, 10, 7, 8, 12, 3], [2, 13, 14, 15, 1, 20, 21, 1, 3], [2, 3], [2, 4, 16, 17, 3]]),
    ({"strip_accents": False, "tokenize_chinese_chars": False},
     [[2, 5, 6, 10, 7, 8, 12, 3], [2, 13, 14, 15, 19, 1, 3], [2, 3], [2, 4, 16, 17, 3]]),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS.split()) + "\n", encoding="utf-8")
    write(tmp_path, tokenizer_class="BertTokenizer")
    return tmp_path


def write(folder, **config):
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text('{"model_type": "deberta-v2"}')


@pytest.mark.parametrize(("options", "ids"), CASES)
def test_word_pieces(folder, options, ids):
    write(folder, tokenizer_class="BertTokenizerFast", model_max_length=9, **options)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer) is FileTokenizer
    tokenizer.save_pretrained(folder / "again")
    saved = json.loads((folder / "again" / "tokenizer_config.json").read_text())
    (folder / "again" / "config.json").write_text('{"model_type": "deberta-v2"}')
    for one in (tokenizer, AutoTokenizer.from_pretrained(folder / "again"), FileTokenizer.from_pretrained(folder)):
        assert one(TEXTS).input_ids == ids
        assert (one.model_max_length, one.pad_token_id, one.bos_token) == (9, 0, None)
    assert saved["tokenizer_class"] == "BertTokenizer"
    assert tokenizer.do_lower_case is options.get("do_lower_case", True) is saved["do_lower_case"]


def test_the_whole_interface(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pair = tokenizer(TEXTS[0], TEXTS[1], padding="max_length", max_length=20, return_offsets_mapping=True)
    assert pair.token_type_ids == [0] * 8 + [1] * 8 + [0] * 4
    assert pair.offset_mapping[1:7] == [(0, 3), (4, 9), (9, 10), (11, 13), (13, 16), (16, 17)]
    assert pair.word_ids()[:8] == [None, 0, 1, 1, 2, 2, 2, None]
    assert (
        tokenizer.decode(pair.input_ids, skip_special_tokens=True)
        == "the river, rises! unwanted e 中 国 [UNK]".replace("[UNK]", "").rstrip()
        or tokenizer.unk_token_id in pair.input_ids
    )
    assert tokenizer.tokenize("rises x") == ["ri", "##ses", "[UNK]"]
    assert tokenizer(["rises", "running"], is_split_into_words=True).word_ids() == [None, 0, 0, 1, 1, None]
    tokenizer.add_tokens(["newword"])
    ids = tokenizer("the newword river", add_special_tokens=False).input_ids
    assert ids == [5, len(WORDS.split()), 6]
    with pytest.raises(InputError, match="do_lower_case is fixed"):
        tokenizer.do_lower_case = False
    with pytest.raises(NotOffered, match="trains no vocabulary"):
        FileTokenizer.train(TEXTS, 100)


def test_word_level(tmp_path):
    words = {word: index for index, word in enumerate(WORDS.split())}
    library = tokenizers.Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    write(tmp_path, tokenizer_class="PreTrainedTokenizerFast", mask_token="[MASK]")
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("the river swims").input_ids == [2, 5, 6, 1, 3]
    assert (tokenizer.do_lower_case, tokenizer.unk_token, tokenizer.eos_token) == (None, "[UNK]", None)
    tokenizer.save_pretrained(tmp_path / "again")
    assert FileTokenizer.from_pretrained(tmp_path / "again")(TEXTS) == tokenizer(TEXTS)
    (tmp_path / "tokenizer_config.json").unlink()
    assert AutoTokenizer.from_pretrained(tmp_path)("the river").input_ids == [2, 5, 6, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [("a\nb\n", r"holds no unknown token '\[UNK\]'"), ("[UNK]\na\na\n", r"holds a token twice")],
)
def test_broken_vocabularies(folder, content, message):
    (folder / "vocab.txt").write_text(content)
    with pytest.raises(TokenizationError, match=message):
        AutoTokenizer.from_pretrained(folder)


def test_other_models_are_refused(folder):
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TokenizationError, match=r"tokenizer='BertTokenizer' is unknown"):
        AutoTokenizer.from_pretrained(folder)


def test_the_file_decides_around_added_tokens(small_fast_tokenizer, tmp_path):
    small_fast_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "spm.model").unlink()
    tokenizer = DebertaV2TokenizerFast.from_pretrained(tmp_path)
    tokenizer.add_tokens(["<A>", "<B>"])
    tokenizer.save_pretrained(tmp_path)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "the river <A> rises <B> in<A>the hills"
    assert tokenizer(text).input_ids == library.encode(text).ids
    assert tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids).count("▁") >= 2  # the spaces before the tokens
    assert DebertaV2TokenizerFast.from_pretrained(tmp_path)(text) == tokenizer(text)
    spans = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    found = [
        text[slice(*span)] for span, token in zip(spans.offset_mapping, spans.tokens(), strict=True) if "<" in token
    ]
    assert found == ["<A>", "<B>", "<A>"]


def test_bpe_in_an_spm_model_beside_a_bpe_tokenizer_json(prose, tmp_path):
    import io

    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(prose), model_writer=model, vocab_size=300, model_type="bpe", pad_id=0, bos_id=1,
        eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", minloglevel=3,
        hard_vocab_limit=False,
    )  # fmt: skip
    tokenizer = DebertaV2Tokenizer(model.getvalue())
    tokenizer.save_pretrained(tmp_path)
    vocab = {token: index for token, index in tokenizer.get_vocab().items() if index < tokenizer.vocab_size}
    library = tokenizers.Tokenizer(models.BPE(vocab, [], unk_token="[UNK]"))
    library.save(str(tmp_path / "tokenizer.json"))
    loaded = DebertaV2TokenizerFast.from_pretrained(tmp_path)
    assert loaded(prose[:20]) == tokenizer(prose[:20])
    assert DebertaV2Tokenizer.from_pretrained(tmp_path)(prose[:20]) == tokenizer(prose[:20])
