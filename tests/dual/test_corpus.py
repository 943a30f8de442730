"""Corpora as people have them: which documents there are, from any place on, and what is said of bad files."""

import gzip
import json
import lzma
import os
import tracemalloc

import numpy as np
import pytest

from deberta_core import DebertaWarning, InputError
from deberta_dual.pretraining import Corpus
from deberta_dual.pretraining.documents import LONGEST

PARAGRAPHS = "First line.\nSecond line.\n\n\n Third, alone. \r\n \t\nFünfte Zeile\nsechste"
DOCUMENTS = ["First line.\nSecond line.", "Third, alone.", "Fünfte Zeile\nsechste"]
ROWS = [{"id": number, "text": text} for number, text in enumerate(DOCUMENTS)]


def texts(corpus, *place, **options):
    return [document.text for document in corpus.read(*place, **options)]


@pytest.fixture
def corpus(tmp_path):
    """Makes a corpus of files by name and content, text or bytes."""

    def make(files, sources=None, **options):
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return Corpus(tmp_path if sources is None else [tmp_path / source for source in sources], **options)

    return make


def json_lines(rows):
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def compressed(content, ending):
    if ending == ".zst":
        return pytest.importorskip("pyarrow").compress(content, codec="zstd", asbytes=True)
    return {".gz": gzip.compress, ".xz": lzma.compress}[ending](content)


def parquet(path, rows):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    files.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.mark.parametrize("ending", ["", ".gz", ".xz", ".zst"])
@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", PARAGRAPHS), ("a.jsonl", json_lines(ROWS)), ("a.csv", "text\none\ntwo\n")]
)
def test_files(corpus, name, content, ending):
    content = content.encode()
    files = {name + ending: compressed(content, ending) if ending else content}
    assert texts(corpus(files)) == (["one", "two"] if "csv" in name else DOCUMENTS)


def test_parquet(tmp_path):
    parquet(tmp_path / "a.parquet", ROWS)
    assert texts(Corpus(tmp_path)) == DOCUMENTS


def test_a_line_a_document(corpus):
    lines = ["First line.", "Second line.", "Third, alone.", "Fünfte Zeile", "sechste"]
    assert texts(corpus({"a.txt": PARAGRAPHS}, documents="line")) == lines


def test_a_byte_order_mark_is_no_text(corpus):
    files = {"a.txt": b"\xef\xbb\xbfone\n\ntwo", "b.jsonl": b'\xef\xbb\xbf{"text": "three"}\n"four"\n'}
    assert texts(corpus(files)) == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        ([{"title": "A", "content": "b"}], None, ["b"]),
        ([{"title": "A", "text": "b"}], "text=title", ["A"]),
        ([{"title": "A", "text": "b"}, {"title": None, "text": "c"}], {"text": ["title", "text"]}, ["A\nb", "c"]),
        ([{"text": ""}, {"text": None}, {"text": "d"}], None, ["d"]),
    ],
)
def test_columns(corpus, rows, columns, expected):
    columns = [columns] if isinstance(columns, str) else columns
    assert texts(corpus({"a.jsonl": json_lines(rows)}, columns=columns)) == expected


def test_sources(corpus, tmp_path, monkeypatch):
    files = {
        "b/2.txt": "2",
        "b/10.txt": "10",
        "a.txt": "a",
        "c/d/3.jsonl": '"3"',
        "c/notes.md": "none",
        "empty.txt": "",
    }
    assert texts(corpus(files)) == ["a", "10", "2", "3"]
    assert texts(corpus({}, ["b/2.txt", "a.txt", "b/2.txt"])) == ["2", "a"]
    assert texts(corpus({}, ["*/*.txt"])) == ["10", "2"]
    assert texts(corpus({}, ["**/[23].*"])) == ["2", "3"]
    monkeypatch.chdir(tmp_path)
    assert texts(Corpus("b/*.txt")) == ["10", "2"]
    assert texts(corpus({}, ["c/notes.md"])) == ["none"]  # a file that is named is text


def test_every_epoch_has_its_order_of_files(corpus):
    made = corpus({f"{number}.txt": str(number) for number in range(8)})
    orders = [tuple(texts(made, epoch, seed)) for epoch, seed in ((0, 0), (1, 0), (0, 1), (0, 0))]
    assert orders[3] == orders[0]
    assert len({*orders}) == 3
    assert {tuple(sorted(order)) for order in orders} == {tuple("01234567")}


@pytest.mark.parametrize("documents", ["paragraph", "line"])
def test_reading_goes_on_at_any_place(corpus, tmp_path, documents):
    random = np.random.default_rng(0)
    line = "".join(random.choice([*"abcdé  水"], 3 * LONGEST))
    text = "\n".join([*DOCUMENTS, "", line, line.replace(" ", ""), "end", "", *("many lines " * 9,) * 1500, "", "last"])
    parquet(tmp_path / "d.parquet", ROWS)
    files = {
        "a.txt": text,
        "b.txt.gz": gzip.compress(text.encode()),
        "c.jsonl": json_lines([*ROWS, {"text": line}, *ROWS]),
        "e.txt.zst": compressed(text.encode(), ".zst"),
        "empty.txt": "",
    }
    made = corpus(files, documents=documents)
    whole = list(made.read(1, 3))
    assert len(whole) > 30
    assert max(len(document.text.encode()) for document in whole) <= 3 * LONGEST
    letters = "".join("".join(document.text.split()) for document in whole)
    assert letters.count("水") == sum("".join(part).count("水") for part in [line] * 7)
    for number in range(0, len(whole) - 1, 1 if documents == "paragraph" else 43):
        document = whole[number]
        if document.end != whole[number + 1].end:  # one object may make several documents
            rest = made.read(1, 3, document.end)
            assert next(rest) == whole[number + 1]
            if number % 10 == 0:
                assert list(rest) == whole[number + 2 :]
    assert list(made.read(1, 3, whole[-1].end)) == []


def test_a_line_of_50_mb_takes_little_memory(corpus):
    made = corpus({"a.txt": b"word and another " * 3_000_000})
    tracemalloc.start()
    size = sum(len(document.text) for document in made.read())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 50_900_000
    assert peak < 2_000_000


def test_equal_documents_are_held_out_together(corpus, shared):
    text = (shared / "data" / "text" / "wikitext-2.valid.txt").read_text(encoding="utf-8")
    options = {"documents": "line", "held_out": 0.1}
    made = corpus({"a.txt": text, "b.txt": "\n".join(reversed(text.splitlines()))}, **options)
    learned, kept = texts(made), texts(made, held_out=True)
    assert len(learned) + len(kept) == 2 * sum(bool(line.strip()) for line in text.splitlines())
    assert not {*learned} & {*kept}
    assert 0.08 < len(kept) / len(learned + kept) < 0.12
    assert texts(corpus({}, ["a.txt"], **options), held_out=True) == kept[: len(kept) // 2]
    # a larger share holds the smaller one
    assert {*kept} < {*texts(corpus({}, documents="line", held_out=0.2), held_out=True)}


GOOD = ["good", "still good"]
BAD = [
    ("a.txt", b"good\n\nb\xc3\xa4d \xff here\nstill good", "a.txt, line 3: .* byte 0xff at byte 6 of the line", GOOD),
    (
        "a.txt",
        b"good\n\n" + b"x" * (LONGEST + 10) + b"\xfe" + b"y" * 50_000 + b"\nstill good",
        rf"a.txt, line 3: .* byte 0xfe at byte {LONGEST + 11} of the line",
        ["good", "x" * (LONGEST - 1), "still good"],
    ),
    ("a.txt", b"good\n\nstill good\nhalf\xc3", "line 4: .* byte 0xc3 at byte 5 of the line. Convert", GOOD),
    ("a.txt", "good".encode("utf-16"), "line 1: .* byte 0xff at byte 1 of", []),
    ("a.jsonl", b'"good"\n{"text": \xff}\n"still good"\n', "a.jsonl, line 2: .* byte 0xff at byte 10", GOOD),
    ("a.jsonl", b'"good"\n{"text": \n"still good"\n', "a.jsonl, line 2: the line is no JSON", GOOD),
    ("a.jsonl", b'"good"\n[1]\n"still good"\n', r"line 2: the line is \[1\]. Every line must be a JSON object", GOOD),
    ("a.jsonl", b'"good"\n{"text": 5}\n"still good"\n', "a.jsonl, line 2: text=5 is no str", GOOD),
    ("a.jsonl", b'"good"\n{"id": 5}\n"still good"\n', "a.jsonl, line 2: there is no text; there is: id", GOOD),
    ("a.jsonl", b'"good"\n{"text": "\\ud800"}\n"still good"\n', "line 2: text holds half a surrogate pair", GOOD),
    ("a.csv", b"text,b\ngood,1\nno\nstill good,1\n", "a.csv, line 3: there are 1 entries", GOOD),
    ("a.txt.gz", b"good", "a.txt.gz cannot be unpacked", []),
    ("a.txt.gz", gzip.compress(b"good\n\nstill good\n\n" * 9_000)[:-9], "a.txt.gz cannot be unpacked", GOOD * 9_000),
    ("a.parquet", b"PAR1", "a.parquet cannot be read", []),
]


@pytest.mark.parametrize(("name", "content", "message", "rest"), BAD)
def test_what_cannot_be_read_is_named_or_passed_over(corpus, name, content, message, rest):
    files = {name: content, "other.txt": "other"}
    with pytest.raises(InputError, match=message):
        texts(corpus(files))
    notes = []
    made = corpus(files, on_error="skip", note=notes.append)
    *found, other = texts(made)
    assert texts(made) == [*found, other]
    assert len(notes) == 1  # once, however often it is read
    assert other == "other"
    if "gz" in name and rest:  # as much of it as was unpacked
        assert len(found) > 8_000
    assert found == rest[: len(found)] if "gz" in name else found == rest


def test_of_many_problems_the_first_are_named_and_the_rest_counted(corpus):
    notes = []
    made = corpus({"a.jsonl": "no JSON\n" * 1_203 + '{"text": "good"}\n'}, on_error="skip", note=notes.append)
    for _ in range(2):
        assert texts(made) == ["good"]
    assert len(notes) == 1_001
    assert "line 1000: the line is no JSON" in notes[-2]
    assert notes[-1] == "203 more were passed over, of which none is named."


def test_columns_that_are_not_there(corpus):
    made = corpus({"a.jsonl": json_lines(ROWS)}, columns=["text=body"])
    with pytest.raises(InputError, match="line 1: there is no 'body', which is text; there is: id, text"):
        texts(made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"documents": "page"}, "documents='page' is unknown. Use one of: paragraph, line"),
        ({"on_error": "cry"}, "on_error='cry' is unknown"),
        ({"input_format": "pdf"}, "input_format='pdf' is unknown"),
        ({"held_out": 1.0}, "held_out=1.0 is no share"),
        ({"columns": ["label=x"]}, "'label' is nothing that pretraining reads"),
        ({"sources": ["none.txt"]}, "none.txt does not exist"),
        ({"sources": ["*.md"]}, "no file fits"),
        ({"sources": []}, "the corpus has no file"),
        ({"sources": ["empty"]}, "holds no file that ends with one of"),
    ],
)
def test_refusals(corpus, tmp_path, options, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        corpus({"a.txt": "a"}, **options)


def test_standard_input_is_refused():
    with pytest.raises(InputError, match="read more than once"):
        Corpus("-")


def test_a_changed_corpus_is_told(corpus, tmp_path):
    made = corpus({"a.txt": "a", "b.txt": "b", "c.txt": "c"})
    saved = json.loads(json.dumps(made.fingerprint()))
    made.check(saved)
    (tmp_path / "a.txt").write_text("longer")
    (tmp_path / "b.txt").write_text("B")
    (tmp_path / "c.txt").unlink()
    changed = corpus({"d.txt": "d"})
    with pytest.raises(InputError) as problem:
        changed.check(saved)
    for part in (
        "d.txt is new",
        "c.txt is not there",
        "a.txt has another size and another head",
        "b.txt has another head",
    ):
        assert part in str(problem.value)
    again = corpus({"a.txt": "a", "b.txt": "b"}, ["a.txt", "b.txt"])
    os.utime(tmp_path / "b.txt", ns=(0, saved[1]["changed"]))
    with pytest.warns(DebertaWarning, match=r"a.txt was written since"):
        again.check(saved[:2])
    with pytest.raises(InputError, match="another order"), pytest.warns(DebertaWarning):
        again.check(saved[1::-1])
