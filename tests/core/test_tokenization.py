"""Tokenizing with a small vocabulary: rows, lengths, tensors, special tokens, files and training."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from deberta_core.errors import DebertaWarning
from deberta_core.tokenization import AddedToken, BatchEncoding, DebertaV2Tokenizer

FIRST, SECOND = "The river rises in the hills.", "Willows were planted along the western bank, said she."


def special(tokenizer):
    return tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id


def plain(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


# --- rows ---


def test_layout_of_the_vocabulary(small_tokenizer):
    assert special(small_tokenizer) == (1, 2, 0, 500)
    assert small_tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4, 259, 500]) == [
        *("[PAD]", "[CLS]", "[SEP]", "[UNK]", "<0x00>", "<0xFF>", "[MASK]")
    ]
    assert (small_tokenizer.vocab_size, len(small_tokenizer)) == (500, 501)
    vocabulary = small_tokenizer.get_vocab()
    assert vocabulary["[MASK]"] == 500
    assert sorted(vocabulary.values()) == list(range(501))


def test_single_text_is_a_row(small_tokenizer):
    ids = plain(small_tokenizer, FIRST)
    encoding = small_tokenizer(FIRST)
    assert encoding == {
        "input_ids": [1, *ids, 2],
        "token_type_ids": [0] * (len(ids) + 2),
        "attention_mask": [1] * (len(ids) + 2),
    }
    assert encoding.input_ids is encoding["input_ids"]


def test_pair_is_one_row_of_two_types(small_tokenizer):
    a, b = plain(small_tokenizer, FIRST), plain(small_tokenizer, SECOND)
    encoding = small_tokenizer(FIRST, SECOND)
    assert encoding.input_ids == [1, *a, 2, *b, 2]
    assert encoding.token_type_ids == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert small_tokenizer.get_special_tokens_mask(a, b) == [int(index in (1, 2)) for index in encoding.input_ids]
    assert small_tokenizer.get_special_tokens_mask(
        encoding.input_ids, already_has_special_tokens=True
    ) == small_tokenizer.get_special_tokens_mask(a, b)
    for pair in (False, True):
        built = small_tokenizer.build_inputs_with_special_tokens([], [] if pair else None)
        assert small_tokenizer.num_special_tokens_to_add(pair) == len(built)


def test_pair_without_special_tokens_is_of_one_type(small_tokenizer):
    a, b = plain(small_tokenizer, FIRST), plain(small_tokenizer, SECOND)
    encoding = small_tokenizer(FIRST, SECOND, add_special_tokens=False)
    assert encoding.input_ids == a + b
    assert encoding.token_type_ids == [0] * len(a + b)


def test_batches_hold_the_single_rows(small_tokenizer):
    singles = [small_tokenizer(FIRST, SECOND), small_tokenizer("x", "")]
    expected = {name: [single[name] for single in singles] for name in singles[0]}
    assert small_tokenizer([FIRST, "x"], [SECOND, ""]) == expected
    assert small_tokenizer([(FIRST, SECOND), ("x", "")]) == expected
    assert small_tokenizer(np.array([FIRST, "x"]), np.array([SECOND, ""])) == expected
    assert small_tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}


def test_parts_of_the_result_can_be_left_out(small_tokenizer):
    assert list(small_tokenizer(FIRST, return_token_type_ids=False)) == ["input_ids", "attention_mask"]
    assert list(small_tokenizer(FIRST, return_attention_mask=False)) == ["input_ids", "token_type_ids"]


# --- lengths ---


def test_truncation_takes_from_the_longer_text_first(small_tokenizer):
    a, b = plain(small_tokenizer, FIRST), plain(small_tokenizer, SECOND)
    assert len(b) > len(a) + 2
    leveled = small_tokenizer(FIRST, SECOND, truncation=True, max_length=2 * len(a) + 3).input_ids
    assert leveled == [1, *a, 2, *b[: len(a)], 2]
    shorter = small_tokenizer(FIRST, SECOND, truncation=True, max_length=2 * len(a)).input_ids
    assert shorter == [1, *a[:-1], 2, *b[: len(a) - 2], 2]


@pytest.mark.parametrize("side", ["right", "left"])
def test_truncation_of_one_text_only(small_tokenizer, side):
    tokenizer = copy.deepcopy(small_tokenizer)
    tokenizer.truncation_side = side
    a, b = plain(tokenizer, FIRST), plain(tokenizer, SECOND)
    kept = slice(0, 3) if side == "right" else slice(-3, None)
    first = tokenizer(FIRST, SECOND, truncation="only_first", max_length=6 + len(b)).input_ids
    second = tokenizer(FIRST, SECOND, truncation="only_second", max_length=6 + len(a)).input_ids
    assert first == [1, *a[kept], 2, *b, 2]
    assert second == [1, *a, 2, *b[kept], 2]


def test_max_length_alone_truncates_and_false_does_not(small_tokenizer):
    ids = plain(small_tokenizer, SECOND)
    assert small_tokenizer(SECOND, max_length=5).input_ids == [1, *ids[:3], 2]
    assert small_tokenizer(SECOND, max_length=5, truncation=False).input_ids == [1, *ids, 2]
    assert small_tokenizer(SECOND, max_length=2).input_ids == [1, 2]
    assert len(small_tokenizer(SECOND * 9, truncation=True).input_ids) == small_tokenizer.model_max_length


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding(small_tokenizer, side):
    batch = [FIRST, SECOND]
    rows = small_tokenizer(batch)
    padded = small_tokenizer(batch, padding=True, padding_side=side)
    length = len(rows.input_ids[1])
    gap = length - len(rows.input_ids[0])
    assert gap > 0
    fill = [0] * gap
    for name, ragged in rows.items():
        assert padded[name] == [ragged[0] + fill if side == "right" else fill + ragged[0], ragged[1]]
    assert [len(row) for row in small_tokenizer(batch, padding="max_length", max_length=40).input_ids] == [40, 40]
    rounded = small_tokenizer(batch, padding="longest", pad_to_multiple_of=16)
    assert {len(row) for row in rounded.input_ids} == {-(-length // 16) * 16}
    assert small_tokenizer(batch, padding=True)["input_ids"] == small_tokenizer.pad(rows)["input_ids"]


def test_pad_takes_rows_and_leaves_labels(small_tokenizer):
    rows = [{**small_tokenizer(text), "labels": place} for place, text in enumerate([FIRST, SECOND])]
    batch = small_tokenizer.pad(rows, return_tensors="np")
    assert batch["labels"].tolist() == [0, 1]
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, len(rows[1]["input_ids"]))
    assert small_tokenizer.pad({"input_ids": [1, 2]}, padding="max_length", max_length=3) == {
        "input_ids": [1, 2, 0],
        "attention_mask": [1, 1, 0],
    }


def test_no_length_to_cut_to_is_a_warning(small_tokenizer):
    unlimited = DebertaV2Tokenizer(small_tokenizer.serialized_model)
    with pytest.warns(DebertaWarning, match="model_max_length is not set"):
        assert unlimited(SECOND, truncation=True) == small_tokenizer(SECOND)


# --- tensors ---


def test_numpy_tensors(small_tokenizer):
    batch = small_tokenizer([FIRST, SECOND], padding=True, return_tensors="np")
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
    assert small_tokenizer(FIRST, return_tensors="np").input_ids.tolist() == [small_tokenizer(FIRST).input_ids]
    assert small_tokenizer.batch_decode(batch.input_ids, skip_special_tokens=True) == [FIRST, SECOND]


def test_torch_tensors(small_tokenizer):
    torch = pytest.importorskip("torch")
    batch = small_tokenizer([FIRST, SECOND], padding=True, return_tensors="pt")
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    assert small_tokenizer.batch_decode(batch.input_ids, skip_special_tokens=True) == [FIRST, SECOND]
    assert small_tokenizer.pad([{"input_ids": torch.tensor([1, 2])}, {"input_ids": [1]}]).input_ids == [[1, 2], [1, 0]]


def test_tensorflow_tensors(small_tokenizer):
    tf = pytest.importorskip("tensorflow")
    batch = small_tokenizer([FIRST, SECOND], padding=True, return_tensors="tf")
    assert {tensor.dtype for tensor in batch.values()} == {tf.int32}
    assert small_tokenizer.batch_decode(batch.input_ids, skip_special_tokens=True) == [FIRST, SECOND]
    assert small_tokenizer.decode(batch.input_ids[0], skip_special_tokens=True) == FIRST


# --- special tokens ---


def test_special_tokens_in_text_are_tokens(small_tokenizer):
    ids = plain(small_tokenizer, "river")
    assert plain(small_tokenizer, "river[MASK]river [SEP]") == [*ids, 500, *ids, 2]
    assert small_tokenizer.decode([*ids, 500, *ids]) == "river[MASK]river"
    assert small_tokenizer.decode([1, *ids, 2], skip_special_tokens=True) == "river"
    assert small_tokenizer.decode([1, 500, *ids, 2, 500]) == "[CLS][MASK] river[SEP][MASK]"


@pytest.mark.parametrize(
    ("flags", "text", "parts"),
    [
        ({}, "a <e> b", ["a ", "<e>", " b"]),
        ({"lstrip": True}, "a <e> b", ["a", "<e>", " b"]),
        ({"rstrip": True}, "a <e> b", ["a ", "<e>", "b"]),
        ({"single_word": True}, "a <e> b", ["a ", "<e>", " b"]),
        ({"single_word": True}, "a<e> b", ["a<e>", " b"]),
        ({"single_word": True}, "a <e>b", ["a ", "<e>b"]),
        ({"lstrip": True, "rstrip": True}, "<e> \t<e>", ["<e>", "<e>"]),
        ({}, "<e><e>x", ["<e>", "<e>", "x"]),
        ({}, "<e>!<e>", ["<e>!", "<e>"]),
    ],
)
def test_flags_of_added_tokens(small_tokenizer, flags, text, parts):
    tokenizer = DebertaV2Tokenizer(
        small_tokenizer.serialized_model, additional_special_tokens=[AddedToken("<e>", **flags), "<e>!"]
    )
    assert [text[part.start : part.end] for part in tokenizer._encoder.cutter.cut(text)[1]] == parts
    assert tokenizer.tokenize(text) == [
        token for part in parts for token in ([part] if part in ("<e>", "<e>!") else small_tokenizer.tokenize(part))
    ]
    assert tokenizer.convert_tokens_to_ids(["<e>", "<e>!"]) == [501, 502]
    assert tokenizer.decode([501, 502], skip_special_tokens=True) == ""


def test_lower_case_spares_special_tokens(small_tokenizer):
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, do_lower_case=True)
    assert tokenizer.tokenize("THE River[MASK] [mask]") == [
        *small_tokenizer.tokenize("the river"),
        "[MASK]",
        *small_tokenizer.tokenize(" [mask]"),
    ]
    assert plain(tokenizer, "ΑΣ") == plain(small_tokenizer, "ασ")


def test_punctuation_makes_words(small_tokenizer):
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, split_by_punct=True)
    words = ["don", "'", "t", "—", "$", "`", " x"]
    assert tokenizer.tokenize("don't—$` x") == [token for word in words for token in small_tokenizer.tokenize(word)]
    assert plain(tokenizer, "a,b") == [index for word in "a,b" for index in plain(small_tokenizer, word)]


def test_unknown_tokens_get_the_unknown_id(small_tokenizer):
    assert small_tokenizer.convert_tokens_to_ids("no such token") == small_tokenizer.unk_token_id == 3
    assert small_tokenizer.convert_tokens_to_ids(["[MASK]", "▁the"])[0] == 500


def test_decoding_cleans_up_on_demand(small_tokenizer):
    ids = plain(small_tokenizer, "It 's here , is n't it ?")
    assert small_tokenizer.decode(ids) == "It 's here , is n't it ?"
    assert small_tokenizer.decode(ids, clean_up_tokenization_spaces=True) == "It's here, isn't it?"


def test_tokenizer_without_a_special_token(small_tokenizer):
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, mask_token=None)
    assert (tokenizer.mask_token, tokenizer.mask_token_id, len(tokenizer)) == (None, None, 500)
    assert "[MASK]" not in tokenizer.tokenize("[MASK]")


# --- files and copies ---


def test_save_and_load(small_tokenizer, prose, tmp_path):
    changed = DebertaV2Tokenizer(
        small_tokenizer.serialized_model,
        do_lower_case=True,
        split_by_punct=True,
        mask_token=AddedToken("[MASK]", lstrip=True, special=True),
        pad_token=None,
        additional_special_tokens=["<e>"],
        padding_side="left",
        model_max_length=77,
        clean_up_tokenization_spaces=True,
    )
    files = changed.save_pretrained(tmp_path / "new" / "folder")
    assert sorted(file.rsplit("/", 1)[1] for file in files) == [
        *("added_tokens.json", "special_tokens_map.json", "spm.model", "tokenizer_config.json")
    ]
    loaded = DebertaV2Tokenizer.from_pretrained(tmp_path / "new" / "folder")
    assert loaded(prose) == changed(prose)
    assert loaded.added_tokens_decoder == changed.added_tokens_decoder
    assert loaded.special_tokens_map == changed.special_tokens_map
    parts = dict.fromkeys(("_subwords", "_vocabulary", "_encoder", "_files", "name_or_path"))
    assert {**vars(loaded), **parts} == {**vars(changed), **parts}


def test_unknown_entries_of_the_config_survive(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    config = {**json.loads(file.read_text()), "vocab_type": "spm", "model_max_length": 1e30}
    file.write_text(json.dumps(config))
    DebertaV2Tokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert json.loads(file.read_text()) == {**config, "model_max_length": int(1e30)}


def test_older_folders_keep_flags_in_the_special_tokens_map(small_tokenizer, tmp_path):
    small_tokenizer.save_vocabulary(tmp_path)
    assert DebertaV2Tokenizer.from_pretrained(tmp_path, model_max_length=64)(FIRST) == small_tokenizer(FIRST)
    (tmp_path / "special_tokens_map.json").write_text('{"mask_token": {"content": "[MASK]", "lstrip": true}}')
    (tmp_path / "added_tokens.json").write_text('{"<e>": 501, "[MASK]": 500}')
    loaded = DebertaV2Tokenizer.from_pretrained(tmp_path)
    assert loaded.added_tokens_decoder[500] == AddedToken("[MASK]", lstrip=True, special=True)
    assert loaded.added_tokens_decoder[501] == AddedToken("<e>", special=False)
    assert loaded.decode([501, 500], skip_special_tokens=True) == "<e>"


def test_overrides_win(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    loaded = DebertaV2Tokenizer.from_pretrained(tmp_path, do_lower_case=True, model_max_length=9)
    assert (loaded.do_lower_case, loaded.model_max_length) == (True, 9)


def test_pickle_and_deepcopy(small_tokenizer, prose):
    for clone in (pickle.loads(pickle.dumps(small_tokenizer)), copy.deepcopy(small_tokenizer)):
        assert clone(prose) == small_tokenizer(prose)
    encoding = pickle.loads(pickle.dumps(small_tokenizer(FIRST)))
    assert isinstance(encoding, BatchEncoding)
    assert encoding.input_ids == small_tokenizer(FIRST).input_ids


def test_import_needs_numpy_alone():
    script = (
        "import sys, deberta_core.tokenization\n"
        "print(sorted({'sentencepiece', 'torch', 'tensorflow', 'keras', 'tokenizers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- training ---


def test_training_is_deterministic_and_silent(small_tokenizer, prose, capfd):
    again = DebertaV2Tokenizer.train(iter([prose[:4], prose[4:]]), 500)
    assert again.serialized_model == small_tokenizer.serialized_model
    assert capfd.readouterr() == ("", "")


def test_training_sees_texts_as_tokenizing_does(prose):
    tokenizer = DebertaV2Tokenizer.train(prose, 400, do_lower_case=True, split_by_punct=True, cls_token="<s>")
    pieces = [piece for piece in tokenizer.get_vocab() if piece not in tokenizer.all_special_tokens]
    assert all(piece == piece.lower() for piece in pieces if not piece.startswith("<0x"))
    assert not [piece for piece in pieces if len(piece.lstrip("▁")) > 1 and set(piece) & set("',.;:")]
    assert tokenizer.cls_token_id == 1
    new = tokenizer.train_new_from_iterator([prose[:9]], 350)
    assert (new.vocab_size, new.do_lower_case, new.split_by_punct, new.cls_token_id) == (350, True, True, 1)


def test_long_texts_are_not_skipped(prose):
    one_text = " ".join(prose * 5)
    assert len(one_text) > 4192  # SentencePiece's own limit
    assert "▁the" in DebertaV2Tokenizer.train([one_text], 450).get_vocab()
