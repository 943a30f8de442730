"""Compressed files, Parquet and Arrow, data sets of other libraries, real files, and that memory does not grow."""

import contextlib
import gzip
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


@pytest.fixture
def read(tmp_path):
    """Reads a file of a name and a content, text or bytes: the entries of its examples, or what is wrong with them."""

    def call(name, content, input_format="auto"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        found = [record for record in read_files(file, input_format) if not record.is_blank]
        return [f"{record.place}: {record.error}" if record.error else record.values for record in found]

    return call


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


ENCODED = {
    "latin-1": ("data.csv", "text,label\r\nZürich,0\r\n"),
    "cp1252": ("data.csv.gz", 'text;label\n"10 €\n\n„gut“";0\n'),
    "utf-16": ("data.tsv", "text\tlabel\nZürich \u2028 ländlich\t0\n"),
    "utf-16-le": ("data.conll", "Zürich B-LOC\nlebt O\n"),
    "shift-jis": ("data.json", '[{"text": "東京", "label": 0}]'),
    "utf-8": ("data.txt", "Zürich\x85 lebt\n"),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings(tmp_path, encoding):
    name, content = ENCODED[encoding]
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(content.encode(encoding)))
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / name).write_bytes(pack(content.encode()))
    found, wanted = (
        list(read_files(*arguments, **options))
        for arguments, options in (([tmp_path / name], {"encoding": encoding}), ([tmp_path / "plain" / name], {}))
    )
    assert [record.values for record in found] == [record.values for record in wanted]
    assert found[0].error is None


def test_a_long_file_of_another_encoding(tmp_path):
    lines = [f"{'äöü' * (number % 50)} {number}" for number in range(5_000)]
    (tmp_path / "data.txt").write_text("\n".join(lines), encoding="utf-16")
    assert [one.values["text"] for one in read_files(tmp_path / "data.txt", encoding="utf-16")] == [
        line.strip() for line in lines
    ]


def test_what_no_encoding_has(tmp_path):
    (tmp_path / "data.csv").write_bytes(b"text,label\na\x81,0\n")
    (record,) = read_files(tmp_path / "data.csv", encoding="cp1252")
    assert "byte 0x81 at byte 2 of the line" in str(record.error)
    with pytest.raises(InputError, match=r"encoding='latein' is not known. Give one such as latin-1"):
        list(read_files(tmp_path / "data.csv", encoding="latein"))


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


class KerasData:
    """What of a `keras.utils.PyDataset` is looked at: batches by number, without an end."""

    num_batches = 2

    def __iter__(self):
        while True:
            yield self[0]

    def __getitem__(self, number):
        return np.array([f"a{number}", f"b{number}"]), np.array([0, 1])


def test_batches_of_other_libraries():
    texts = [{"text": text, "label": label} for text, label in zip(("a0", "b0", "a1", "b1"), (0, 1, 0, 1), strict=True)]
    assert [one.values for one in load_data("text-classification", KerasData())] == texts
    batches = [({"text": np.array([b"a0", b"b0"]), "text_pair": ["x", "y"]}, np.array([[0, 1], [1, 1]]))]
    assert [one.values for one in load_data("text-classification", iter(batches))] == [
        {"text": "a0", "text_pair": "x", "label": [0, 1]},
        {"text": "b0", "text_pair": "y", "label": [1, 1]},
    ]
    pair = ({"words": ["a", "b"]}, ["O", "B-X"])
    (record,) = load_data("token-classification", iter([pair]), {"labels": "label"})
    assert record.values == {"words": ["a", "b"], "labels": ["O", "B-X"]}
