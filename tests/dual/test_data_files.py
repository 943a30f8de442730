"""Files of examples, as people have them."""

import contextlib
import json

import pytest

from deberta_core import InputError
from deberta_dual.data.formats import read_files
from deberta_dual.data.load import load_data

pyarrow = None
with contextlib.suppress(ImportError):
    pass

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
        InputError,
        match=r"b\.csv, line 2: there is no 'review', which is text in what was read before; there is: label, sentence",
    ):
        load_data("text-classification", [tmp_path / "a.csv", tmp_path / "b.csv"])


def test_several_files_make_one_list(tmp_path):
    (tmp_path / "a.csv").write_text("text\na\n")
    (tmp_path / "b.jsonl").write_text('{"text": "b"}\n')
    (tmp_path / "README.md").write_text("no data")
    found = [one.values["text"] for one in read_files([tmp_path / "b.jsonl", tmp_path / "a.csv"])]
    places = [(one.file, one.line) for one in read_files(tmp_path)]
    assert places == [(str(tmp_path / "a.csv"), 2), (str(tmp_path / "b.jsonl"), 1)]
    assert [one.file for one in read_files(tmp_path / "a.csv")] == [""]
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
    "latin-1 in an entry of several lines": (
        "data.csv",
        'text,label\na,0\n"b\nc\nZürich",0\n'.encode("latin-1"),
        "line 5: the line is no UTF-8: byte 0xfc at byte 2 of the line. Give the file's encoding",
    ),
    "no text": ("data.csv", "id,body\n1,a\n", "line 2: there is no 'text', but: body, id. Say.*--columns text=COLUMN"),
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
