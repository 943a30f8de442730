"""Parquet and Arrow files, through pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from deberta_core.errors import InputError
from deberta_dual.data.records import Record
from deberta_dual.data.streams import need_pyarrow

ROWS = 1_024  # read at a time


def read_parquet(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Reads the rows of a Parquet file, some at a time."""
    pyarrow = need_pyarrow("a Parquet file")
    import pyarrow.parquet as parquet

    return _rows(pyarrow, name, lambda: parquet.ParquetFile(stream).iter_batches(batch_size=ROWS))


def read_arrow(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Reads the rows of an Arrow file, or of a stream of record batches, as `datasets` writes them."""
    pyarrow = need_pyarrow("an Arrow file")

    def batches() -> Iterator[Any]:
        try:
            file = pyarrow.ipc.open_file(stream)
        except pyarrow.ArrowInvalid:
            stream.seek(0)
            yield from pyarrow.ipc.open_stream(stream)
        else:
            yield from (file.get_batch(number) for number in range(file.num_record_batches))

    return _rows(pyarrow, name, batches)


def _rows(pyarrow: Any, name: str, batches: Any) -> Iterator[Record]:
    number = 0
    try:
        for batch in batches():
            for values in batch.to_pylist():
                number += 1
                yield Record(values, f"{name}, row {number}", number)
    except (pyarrow.ArrowInvalid, OSError) as problem:
        line = " ".join(str(problem).split())
        raise InputError(f"{name} cannot be read: {line:.120}. Check that it is whole.") from problem
