"""Files of examples, as people have them."""

import json
from itertools import islice

import pytest

from deberta_core import InputError
from deberta_dual.finetuning import read_records

SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Rivers",
            "paragraphs": [
                {
                    "context": "The river rises in the hills.",
                    "qas": [
                        {"id": "1", "question": "Where?", "answers": [{"text": "the hills", "answer_start": 19}]},
                        {"id": "2", "question": "When?", "is_impossible": True, "answers": []},
                    ],
                }
            ],
        }
    ],
}


@pytest.fixture
def read(tmp_path):
    """Reads a file of a name and a content, text or bytes: the entries of its examples."""

    def call(name, content, **columns):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [record.values for record in read_records([file], columns)]

    return call


TABLES = {
    "plain": "text,label\nA river.,0\nA mill.,1\n",
    "no end of line": "text,label\nA river.,0\nA mill.,1",
    "crlf": "text,label\r\nA river.,0\r\nA mill.,1\r\n",
    "byte order mark": "\ufefftext,label\nA river.,0\nA mill.,1\n",
    "quoted": '"text","label"\n"A river.","0"\n"A mill.","1"\n',
    "empty lines": "text,label\n\nA river.,0\n,\nA mill.,1\n\n",
    "white space in titles": " text, label\nA river.,0\nA mill.,1\n",
}


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_csv(read, content):
    assert read("data.csv", content) == [{"text": "A river.", "label": "0"}, {"text": "A mill.", "label": "1"}]


def test_quoted_entries_of_csv(read):
    content = 'text,label\n"One, ""two""\nthree",0\n"Zürich, 東京 😀",1\n'
    assert [row["text"] for row in read("data.csv", content)] == ['One, "two"\nthree', "Zürich, 東京 😀"]


def test_a_quotation_mark_in_tsv_is_one(read):
    assert read("data.TSV", 'text\tlabel\n"Well, he said\t0\n') == [{"text": '"Well, he said', "label": "0"}]


def test_a_row_knows_its_line(tmp_path):
    (tmp_path / "data.csv").write_text('text,label\n"a\nb",0\nc,1\n')
    places = [record.place for record in read_records([tmp_path / "data.csv"])]
    assert [place.removeprefix(str(tmp_path)) for place in places] == ["/data.csv, line 3", "/data.csv, line 4"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_json_lines(read, end):
    rows = [{"text": "a\u2028b\u0085c", "label": 0}, {"text": "東京", "label": ["x", "y"]}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    assert read("data.jsonl", "\ufeff" + end.join(["", *lines, ""])) == rows


def test_json(read):
    rows = [{"text": "a", "label": 0}, {"text": "b"}]
    assert read("data.json", json.dumps(rows)) == rows


def test_squad(read):
    first, second = read("train-v2.0.json", json.dumps(SQUAD))
    assert first["context"] == second["context"] == "The river rises in the hills."
    assert first["answers"] == [{"text": "the hills", "answer_start": 19}]
    assert (second["question"], second["is_impossible"], second["answers"]) == ("When?", True, [])


CONLL = {
    "tabs": "New\tB-place\nYork\tI-place\n\nhere\tO\n",
    "four columns": "-DOCSTART- -X- -X- O\n\nNew NNP I-NP B-place\nYork NNP I-NP I-place\n\nhere RB O O\n",
    "empty lines": "\n\nNew\tB-place\r\nYork\tI-place\r\n\t\r\n \r\nhere\tO",
    "spaces at the end": "New B-place \nYork  I-place\n\nhere O\t\n",
}


@pytest.mark.parametrize("content", CONLL.values(), ids=CONLL)
def test_conll(read, content):
    expected = [{"words": ["New", "York"], "labels": ["B-place", "I-place"]}, {"words": ["here"], "labels": ["O"]}]
    assert read("train.conll", content) == expected


def test_white_space_of_other_kinds_is_in_words(read):
    assert read("train.txt", "1\u00a0000\tO\n") == [{"words": ["1\u00a0000"], "labels": ["O"]}]


def test_columns(read):
    content = "goal,sol1,sol2,gold\nCut wood,with a saw,with a spoon,0\n"
    (row,) = read("data.csv", content, text="goal", choices="sol1,sol2", label="gold")
    assert row == {"text": "Cut wood", "choices": ["with a saw", "with a spoon"], "label": "0"}


def test_a_column_under_a_name_that_is_taken(read):
    assert read("data.csv", "text,body\nshort,long\n", text="body") == [{"text": "long"}]


def test_several_files_make_one_list(tmp_path):
    (tmp_path / "a.csv").write_text("text\na\n")
    (tmp_path / "b.jsonl").write_text('{"text": "b"}\n')
    assert [one.values["text"] for one in read_records([tmp_path / "b.jsonl", tmp_path / "a.csv"])] == ["b", "a"]


WRONG = {
    "nothing": ("data.csv", "", r"data\.csv holds no example"),
    "titles alone": ("data.csv", "text,label\n", "holds no example"),
    "no squad": ("data.json", '{"data": []}', "holds no example"),
    "too short": ("data.csv", "text,label\na,0\nb\n", "line 3: 1 entries, but the first line names 2 columns"),
    "too long": ("data.csv", "text,label\na, b,0\n", "line 2: 3 entries.*into quotation marks"),
    "one title twice": ("data.csv", "text,label,text\na,0,b\n", "two columns of the first line have one name"),
    "open quotation": ("data.csv", 'text,label\na,0\n"b,1\nc,0\n', "unexpected end of data.*quotation mark too many"),
    "quotation in the middle": ("data.csv", 'text,label\n"b" and,1\n', "line 2: .*quotation mark too many"),
    "latin-1": ("data.csv", "text,label\nZürich,0\n".encode("latin-1"), "is no UTF-8: invalid .* byte, 0xfc. Convert"),
    "latin-1, far away": ("data.conll", b"a O\n" * 9999 + b"\xfc O\n", "is no UTF-8: invalid start byte, 0xfc"),
    "compressed": ("data.csv.gz", b"\x1f\x8b\x08\x00", "is no UTF-8"),
    "no json": ("data.jsonl", '{"text": "a"}\n{"text": \n', "line 2 is no JSON: Expecting value"),
    "a list a line": ("data.jsonl", '["a", 0]\n', r"line 1 is '\[\"a\", 0\]'. Every line must be a JSON object"),
    "lines in json": ("data.json", '{"text": "a"}\n{"text": "b"}\n', "data.json is no JSON: Extra data"),
    "an object": ("data.json", '{"text": "a"}', "neither a list of JSON objects nor a file like SQuAD's"),
    "texts in json": ("data.json", '["ab", "cd"]', "neither a list of JSON objects"),
    "pairs in json": ("data.json", '[["ab", "cd"]]', "neither a list of JSON objects"),
    "a number": ("data.json", "5", "neither a list of JSON objects"),
    "flat squad": ("data.json", '{"data": [{"question": "a"}]}', "neither a list.*paragraphs"),
    "no label": ("data.conll", "a\tO\nb\n", "line 2: 'b' is no word with its label behind it"),
    "no word": ("data.conll", "a\tO\n\tO\n", "line 2: 'O' is no word with its label behind it"),
}


@pytest.mark.parametrize(("name", "content", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_named_with_its_line(read, name, content, message):
    with pytest.raises(InputError, match=message):
        read(name, content)


def test_a_deep_json_is_refused(read):
    with pytest.raises(InputError, match="line 1 is no JSON"):
        read("data.jsonl", "[" * 100_000)


@pytest.mark.parametrize("source", ["sentence", "body,sentence", "body,"])
def test_an_unknown_column(read, source):
    with pytest.raises(InputError, match=r"line 2: column='(sentence)?' is unknown. Use one of: body, label"):
        read("data.csv", "body,label\na,0\n", text=source)


def test_no_file():
    with pytest.raises(InputError, match="no file holds no example"):
        read_records([])


REAL = {
    "sst2/dev_binary_sent.csv": {"text": "sentence"},
    "conjnli/conj_dev.tsv": {"text": "Premise", "text_pair": "Hypothesis", "label": "Label"},
    "wnut17/wnut17train.conll": {},
    "wnut17/emerging.dev.conll": {},
    "xquad/xquad.en.json": {},
    "piqa/valid.jsonl": {"text": "goal", "choices": "sol1,sol2"},
}
ENTRIES = {"sst2": "label text", "conjnli": "label text text_pair", "wnut17": "labels words", "piqa": "choices text"}


@pytest.mark.parametrize("name", REAL)
def test_real_files(shared, tmp_path, name):
    source = shared / "data" / "datasets" / name
    if not source.is_file():
        pytest.skip(f"{source} is not there")
    file = source
    if source.suffix != ".json":  # the first lines are enough
        file = tmp_path / source.name
        with source.open("rb") as stream:
            file.write_bytes(b"".join(islice(stream, 300)))
    records = read_records([file], REAL[name])
    data_set = name.split("/")[0]
    if data_set == "xquad":
        assert len(records) == 1190
        for record in records:
            for answer in record.values["answers"]:
                start = answer["answer_start"]
                assert record.values["context"][start:].startswith(answer["text"])
        return
    assert all(sorted(record.values) == ENTRIES[data_set].split() for record in records)
    if data_set == "wnut17":
        assert len(records) > 10
        assert {label[:2] for record in records for label in record.values["labels"]} == {"O", "B-", "I-"}
    else:
        assert len(records) == 300 - (data_set != "piqa")  # titles
