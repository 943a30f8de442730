"""Files of examples, as people have them."""

import contextlib
import gzip
import json
import lzma
import tracemalloc
from itertools import islice
from typing import ClassVar

import numpy as np
import pytest

from deberta_core import InputError
from deberta_dual.data.formats import read_files
from deberta_dual.data.load import load_data

pyarrow = None
with contextlib.suppress(ImportError):
    import pyarrow

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
    """Reads a file of a name and a content, text or bytes: the entries of its examples, or what is wrong with them."""

    def call(name, content, input_format="auto"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        found = [record for record in read_files(file, input_format) if not record.is_blank]
        return [f"{record.place}: {record.error}" if record.error else record.values for record in found]

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
    found = [(record.line, record.place.removeprefix(str(tmp_path))) for record in read_files(tmp_path / "data.csv")]
    assert found == [(2, "/data.csv, line 2"), (4, "/data.csv, line 4")]


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
    "comments": "# id 7\nNew B-place\nYork I-place\n\n# id 8\nhere O\n",
    "empty lines": "\n\nNew\tB-place\r\nYork\tI-place\r\n\t\r\n \r\nhere\tO",
    "spaces at the end": "New B-place \nYork  I-place\n\nhere O\t\n",
}


@pytest.mark.parametrize("content", CONLL.values(), ids=CONLL)
def test_conll(read, content):
    expected = [{"words": ["New", "York"], "labels": ["B-place", "I-place"]}, {"words": ["here"], "labels": ["O"]}]
    assert read("train.conll", content) == expected


def test_conll_of_four_columns(read):
    content = "-DOCSTART- -X- -X- O\n\nNew NNP I-NP B-place\nYork NNP I-NP I-place\n\nhere RB O O\n"
    first = {
        "words": ["New", "York"],
        "column2": ["NNP", "NNP"],
        "column3": ["I-NP", "I-NP"],
        "labels": ["B-place", "I-place"],
    }
    second = {"words": ["here"], "column2": ["RB"], "column3": ["O"], "labels": ["O"]}
    assert read("train.conll", content) == [first, second]
    assert read("train.txt", content) == [first, second]


def test_words_alone(read):
    assert read("test.conll", "New\nYork\n\nhere\n") == [{"words": ["New", "York"]}, {"words": ["here"]}]


def test_text_that_is_no_conll(read):
    text = "New York\nOld London\n"
    assert read("test.txt", text) == [{"text": "New York"}, {"text": "Old London"}]


def test_white_space_of_other_kinds_is_in_words(read):
    assert read("train.txt", "1\u00a0000\tO\n") == [{"words": ["1\u00a0000"], "labels": ["O"]}]


@pytest.fixture
def load(tmp_path):
    """Reads the labelled examples of a file: what is read by role, and what is handed on."""

    def call(name, content, columns=None, task="text-classification", **options):
        file = tmp_path / name
        file.write_text(content, encoding="utf-8")
        return [(record.values, record.rest) for record in load_data(task, file, columns, **options)]

    return call


@pytest.mark.parametrize(
    "columns",
    [{"text": "goal", "choices": "sol1,sol2", "label": "gold"}, ["text=goal,choices=sol1,sol2", "label=gold"]],
)
def test_columns(load, columns):
    content = "id,goal,sol1,sol2,gold\n7,Cut wood,with a saw,with a spoon,0\n"
    ((values, rest),) = load("data.csv", content, columns, "multiple-choice")
    assert values == {"text": "Cut wood", "choices": ["with a saw", "with a spoon"], "label": "0"}
    assert rest == {"id": "7"}


def test_a_column_under_a_name_that_is_taken(load):
    assert load("data.csv", "text,body\nshort,long\n", {"text": "body"}) == [({"text": "long"}, {"text": "short"})]


GUESSED = {
    "nli": ("Premise,hypothesis,gold_label\na,b,0\n", {"text": "a", "text_pair": "b", "label": "0"}),
    "stars": ("review,stars\na,5\n", {"text": "a", "label": "5"}),
    "the likelier": ("sentence,text,label\na,b,0\n", {"text": "b", "label": "0"}),
}


@pytest.mark.parametrize(("content", "values"), GUESSED.values(), ids=GUESSED)
def test_columns_are_guessed_and_told(load, content, values):
    told = []
    assert load("data.csv", content, note=told.append)[0][0] == values
    shown = [note for note in told if "columns are read as" in note]
    assert len(shown) == (content.split(",")[1] != "text")


def test_several_labels_and_a_text(load):
    content = "id,toxic,obscene,comment\n1,0,1,a\n"
    expected = {"text": "a", "label": {"toxic": "0", "obscene": "1"}}
    assert load("data.csv", content, ["labels=toxic,obscene,text=comment"])[0] == (expected, {"id": "1"})
    assert load("data.csv", content, ["labels=toxic,obscene", "text=comment"])[0][0] == expected


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["text"], "'text' is no ROLE=COLUMN"),
        (["text=a,text=b"], "'text' is given twice"),
        (["text="], "'text=' leaves a name empty"),
        (["=a"], "'=a' leaves a name empty"),
        (["color=label"], "'color' is nothing that text-classification reads. It reads: text, text_pair, label"),
        (["text=sentence"], "line 2: there is no column 'sentence'. There are: body, label"),
    ],
)
def test_wrong_columns(load, columns, message):
    with pytest.raises(InputError, match=message):
        load("data.csv", "body,label\na,0\n", columns)


def test_lists_in_a_table_are_json(load):
    content = 'tokens,ner_tags\n"[""New"", ""York""]","[""B-X"", ""I-X""]"\n'
    assert load("data.csv", content, task="token-classification")[0][0] == {
        "words": ["New", "York"],
        "labels": ["B-X", "I-X"],
    }
    with pytest.raises(InputError, match=r"line 2: words='.New York.' is no JSON"):
        load("data.csv", "tokens,ner_tags\n[New York],[]\n", task="token-classification")


def test_objects_with_and_without_an_entry(load):
    content = '{"text": "a", "label": 0}\n{"text": "b", "text_pair": "c", "label": 1, "id": 4}\n'
    first, second = load("data.jsonl", content)
    assert (first, second) == (
        ({"text": "a", "label": 0}, {}),
        ({"text": "b", "text_pair": "c", "label": 1}, {"id": 4}),
    )


def test_files_with_other_columns(tmp_path):
    (tmp_path / "a.csv").write_text("review,label\na,0\n")
    (tmp_path / "b.csv").write_text("sentence,label\nb,0\n")
    with pytest.raises(
        InputError, match=r"b\.csv, line 2: there is no 'review', which is text; there is: label, sentence"
    ):
        load_data("text-classification", [tmp_path / "a.csv", tmp_path / "b.csv"])


def test_several_files_make_one_list(tmp_path):
    (tmp_path / "a.csv").write_text("text\na\n")
    (tmp_path / "b.jsonl").write_text('{"text": "b"}\n')
    (tmp_path / "README.md").write_text("no data")
    found = [one.values["text"] for one in read_files([tmp_path / "b.jsonl", tmp_path / "a.csv"])]
    assert found == ["b", "a"]
    assert [one.values["text"] for one in read_files(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_what_separates_columns_is_found_and_told(tmp_path, separator, name):
    file, told = tmp_path / "data.csv", []
    file.write_text(f'"text, that is"{separator}label\n"a; b, c"{separator}0\n')
    (record,) = read_files(file, note=told.append)
    assert record.values == {"text, that is": "a; b, c", "label": "0"}
    assert told == [f"{file}: columns are separated by {name}."]


def test_a_long_entry(read):
    assert len(read("data.csv", f'text\n"{"a b" * 100_000}"\n')[0]["text"]) == 300_000


PACKED = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": lambda data: bytes(pyarrow.compress(data, "zstd", asbytes=True)),
}


@pytest.mark.parametrize("ending", PACKED)
def test_compressed_files(read, ending):
    if ending == "zst":
        pytest.importorskip("pyarrow")
    content = PACKED[ending]("text,label\né,0\n".encode())
    assert read(f"data.csv.{ending}", content) == [{"text": "é", "label": "0"}]
    with pytest.raises(InputError, match=r"cannot be unpacked.*Check that it is whole"):
        read(f"data.csv.{ending}", content[: len(content) // 2])
    with pytest.raises(InputError, match="cannot be unpacked"):
        read(f"data.csv.{ending}", b"text,label\n")


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrow stream"])
def test_parquet_and_arrow(tmp_path, kind):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [{"text": "a", "label": 1, "tags": ["x"]}, {"text": "b", "label": None, "tags": []}]
    table, file = pa.Table.from_pylist(rows), tmp_path / f"data.{kind.split()[0]}"
    if kind == "parquet":
        pq.write_table(table, file)
    else:
        open_file = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with open_file(file, table.schema) as writer:
            writer.write_table(table)
    assert [record.values for record in read_files(file)] == rows
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(InputError, match="cannot be read"):
        list(read_files(file))


class ClassLabel:
    names = ("bad", "good")


class DataSet(list):
    """What of a data set of Hugging Face is looked at."""

    features: ClassVar = {"label": ClassLabel(), "text": None}


def test_data_sets_and_objects():
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    assert [one.values["label"] for one in load_data("text-classification", DataSet(rows))] == ["good", "bad"]
    assert [one.values["label"] for one in load_data("text-classification", rows)] == [1, 0]
    pairs = [("é".encode(), np.int64(1)), ({"text": "b"}, 0)]
    found = load_data("text-classification", iter(pairs))
    assert [one.values for one in found] == [{"text": "é", "label": 1}, {"text": "b", "label": 0}]
    with pytest.raises(InputError, match=r"example 2: a text is no UTF-8"):
        load_data("text-classification", [{"text": "a"}, {"text": b"\xff"}])
    with pytest.raises(InputError, match=r"example 1: it is 5. Give a dict"):
        load_data("text-classification", [5])
    with pytest.raises(InputError, match="data is of type int"):
        load_data("text-classification", 5)


def test_memory_does_not_grow_with_the_file(tmp_path):
    file = tmp_path / "data.csv"
    with file.open("w") as stream:
        stream.write("text,label\n")
        stream.writelines(f"a line of text number {number},{number % 2}\n" for number in range(30_000))
    tracemalloc.start()
    count = sum(1 for _ in read_files(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < 2_000_000


WRONG = {
    "nothing": ("data.csv", "", r"data\.csv holds no example"),
    "titles alone": ("data.csv", "text,label\n", "holds no example"),
    "no squad": ("data.json", '{"data": []}', "holds no example"),
    "too short": (
        "data.csv",
        "text,label\na,0\nb\n",
        "line 3: there are 1 entries, but the first line names 2 columns",
    ),
    "too long": ("data.csv", "text,label\na, b,0\n", "line 2: there are 3 entries.*into quotation marks"),
    "one title twice": ("data.csv", "text,label,text\na,0,b\n", "two columns of the first line have one name"),
    "open quotation": (
        "data.csv",
        'text,label\na,0\n"b,1\nc,0\n',
        "line 3 opens a quotation mark that is never closed",
    ),
    "quotation in the middle": ("data.csv", 'text,label\n"b" and,1\n', "line 2 opens a quotation mark .* too early"),
    "latin-1": (
        "data.csv",
        "text,label\nZürich,0\n".encode("latin-1"),
        "line 2: the line is no UTF-8: byte 0xfc at byte 2",
    ),
    "latin-1 in titles": ("data.csv", "text,lübel\na,0\n".encode("latin-1"), "line 1: the line is no UTF-8"),
    "latin-1, far away": ("data.conll", b"a O\n" * 9999 + b"\xfc O\n", "line 10000: the line is no UTF-8: byte 0xfc"),
    "latin-1 in json": ("data.json", b'[\n{"text": "\xfc"}]', "line 2: byte 0xfc is no UTF-8"),
    "no json": ("data.jsonl", '{"text": "a"}\n{"text": \n', "line 2: the line is no JSON: Expecting value"),
    "a list a line": (
        "data.jsonl",
        '["a", 0]\n',
        r"line 1: the line is '\[\"a\", 0\]'. Every line must be a JSON object",
    ),
    "lines in json": ("data.json", '{"text": "a"}\n{"text": "b"}\n', "data.json is no JSON: Extra data"),
    "an object": ("data.json", '{"text": "a"}', "neither a list of JSON objects nor a file like SQuAD's"),
    "texts in json": ("data.json", '["ab", "cd"]', "neither a list of JSON objects"),
    "pairs in json": ("data.json", '[["ab", "cd"]]', "neither a list of JSON objects"),
    "a number": ("data.json", "5", "neither a list of JSON objects"),
    "flat squad": ("data.json", '{"data": [{"question": "a"}]}', "neither a list.*paragraphs"),
    "no label": ("data.conll", "a\tO\nb\n", "line 2: 'b' has 1 columns, the lines before it have 2"),
    "no word": ("data.conll", "a\tO\n\tO\n", "line 2: 'O' has 1 columns, the lines before it have 2"),
}


@pytest.mark.parametrize(("name", "content", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_named_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        load_data("text-classification", tmp_path / name)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r"holds no file that ends with one of \.csv"):
        list(read_files(tmp_path))


def test_a_deep_json_is_refused(read):
    assert "line 1: the line is no JSON" in read("data.jsonl", "[" * 100_000)[0]


def test_an_unknown_format(tmp_path):
    with pytest.raises(InputError, match=r"input_format='xml' is unknown\. Use one of: arrow, conll"):
        list(read_files(tmp_path / "a", "xml"))


def test_no_file():
    with pytest.raises(InputError, match="no file holds no example"):
        load_data("text-classification", [])


REAL = {
    "sst2/dev_binary_sent.csv": ("text-classification", "label text"),
    "conjnli/conj_dev.tsv": ("text-classification", "label text text_pair"),
    "wnut17/wnut17train.conll": ("token-classification", "labels words"),
    "wnut17/emerging.test.annotated": ("token-classification", "labels words"),
    "xquad/xquad.en.json": ("question-answering", "answers context question"),
    "piqa/valid.jsonl": ("multiple-choice", "choices text"),
}


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
    task, roles = REAL[name]
    records = load_data(task, file, {"choices": "sol1,sol2"} if task == "multiple-choice" else None)
    assert all(sorted(record.values) == roles.split() for record in records)
    if task == "question-answering":
        assert len(records) == 1190
        for record in records:
            for answer in record.values["answers"]:
                start = answer["answer_start"]
                assert record.values["context"][start:].startswith(answer["text"])
    elif task == "token-classification":
        assert len(records) > 10
        assert {label[:2] for record in records for label in record.values["labels"]} >= {"O", "B-", "I-"}
    else:
        assert len(records) == 300 - (task != "multiple-choice")  # titles
