"""Data files with strange content: always an InputError that names the place."""

import io
import json

import pytest

from deberta_core import DebertaV2Config
from deberta_core.errors import InputError
from deberta_dual.data.json_files import read_any_lines
from deberta_dual.data.load import load_data
from deberta_dual.finetuning.tasks import FINETUNE_TASKS
from deberta_dual.finetuning.tasks.base import at

DEEP = "[" * 900 + "]" * 900
CONFIG = DebertaV2Config(hidden_size=8, num_attention_heads=2)


def head(file, task="text-classification", problem_type=None):
    """What fine-tuning does with a file first."""
    cls = FINETUNE_TASKS[task]
    records = load_data(task, [file])
    for record in records:
        with at(record):
            cls.check(record)
    return cls.head(records, CONFIG, problem_type)


@pytest.mark.parametrize("label", ["Infinity", "-Infinity", "NaN", "1e999", "1e22", "[Infinity]", DEEP, "{}", "null"])
def test_a_label_in_json(tmp_path, label):
    file = tmp_path / "train.jsonl"
    file.write_text(f'{{"text": "a", "label": 1}}\n{{"text": "b", "label": {label}}}\n')
    with pytest.raises(InputError, match=r"line 2|1e\+22"):
        head(file)


@pytest.mark.parametrize("label", ["NaN", "nan", "inf"])
@pytest.mark.parametrize("column", ["label", "score"])
def test_a_score_that_is_lost_is_no_class(tmp_path, column, label):
    file = tmp_path / "train.csv"
    file.write_text(f"text,{column}\na,1\nb,2\nc,{label}\n")
    with pytest.raises(InputError, match=rf"line 4: the label is '{label}', and others are numbers\. Give a number"):
        head(file)
    file.write_text(f"text,{column}\na,one\nb,two\nc,{label}\n")  # a word among words
    assert len(head(file).changes["id2label"]) == 3


@pytest.mark.parametrize("label", ["1e300", "1" + "0" * 400, '"1e999"', '"x"'])
def test_a_number_to_learn(tmp_path, small_tokenizer, label):
    file = tmp_path / "train.jsonl"
    file.write_text(f'{{"text": "b", "label": {label}}}\n')
    cls = FINETUNE_TASKS["text-classification"]
    config = CONFIG.replace(**head(file, problem_type="regression").changes)
    with pytest.raises(InputError, match=r"line 1.*is no number"):
        cls(small_tokenizer, max_length=8, batch_size=1).features(load_data("text-classification", [file]), config)


@pytest.mark.parametrize("name", ["train.jsonl", "train.json"])
def test_deep_json(tmp_path, name):
    (tmp_path / name).write_text(f'{{"text": {DEEP}}}')
    with pytest.raises(InputError, match=r"is no JSON: it has 101 levels of nesting"):
        load_data("text-classification", [tmp_path / name])


def test_a_deep_line():
    deep, plain = read_any_lines(io.BytesIO(f'{{"text": {DEEP}}}\n{{"text": "a"}}'.encode()), "lines")
    assert "levels of nesting" in str(deep.error)
    assert plain.values == {"text": "a"}


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv does not exist") as caught:
        load_data("text-classification", [tmp_path / "none.csv"])
    assert caught.value.errno
    assert "[Errno" not in str(caught.value)


def test_the_content_of_a_list(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([5]))
    with pytest.raises(InputError, match=r"a\.json is neither a list of JSON objects"):
        load_data("text-classification", [tmp_path / "a.json"])
