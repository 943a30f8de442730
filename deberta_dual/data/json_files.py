"""JSON: an object a line, a list of objects, SQuAD's files; and lines of plain text, which may hold objects, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from deberta_core import limits
from deberta_core.errors import InputError
from deberta_core.json_shape import flat_json
from deberta_dual.data.records import BLANK, Record, broken
from deberta_dual.data.streams import lines_of, utf8_problem

TEXT = "text"  # the entry that a line of plain text is


def read_text(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Reads a text a line."""
    return _lines(stream, name, lambda line: {TEXT: line})


def read_json_lines(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Reads a JSON object a line."""
    return _lines(stream, name, _object)


def read_any_lines(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Reads lines of which those that begin with a brace are JSON objects, the others texts."""
    return _lines(stream, name, lambda line: _object(line) if line.startswith("{") else {TEXT: line})


def _lines(stream: BinaryIO, name: str, values: Any) -> Iterator[Record]:
    for number, line in enumerate(lines_of(stream), 1):
        place = f"{name}, line {number}"
        text = line.strip()
        if wrong := utf8_problem(line):
            yield broken(place, number, wrong)
        elif not text:
            yield broken(place, number, BLANK)
        else:
            try:
                yield Record(values(text), place, number)
            except ValueError as problem:
                yield broken(place, number, str(problem))


def _object(text: str) -> dict[str, Any]:
    try:
        found = flat_json(text)
    except ValueError as problem:
        raise InputError(f"the line is no JSON: {problem}. Mend it, or read it as text.") from None
    if isinstance(found, str):  # a text in quotation marks
        return {TEXT: found}
    if not isinstance(found, dict):
        raise InputError(f"the line is {text[:40]!r}. Every line must be a JSON object.")
    return found


def read_json(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Reads a list of objects; or SQuAD's file, {"data": [{"paragraphs": [{"context", "qas"}]}]}; as a whole."""
    most = limits.bound("text_bytes")
    content = stream.read(most + 1)
    limits.check("text_bytes", len(content), f"{name} has", InputError)
    try:
        found = flat_json(content.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        byte = f"{content[problem.start]:#04x}"
        raise InputError(f"{name}, line {line}: byte {byte} is no UTF-8. Give its encoding, or convert it.") from None
    except ValueError as problem:
        raise InputError(f"{name} is no JSON: {problem}.") from None
    try:
        rows = _squad(found) if isinstance(found, dict) else [{**values} for values in found]
    except (KeyError, TypeError, ValueError) as problem:
        raise InputError(
            f"{name} is neither a list of JSON objects nor a file like SQuAD's: {problem!r:.80}. One object a line is "
            f"read from .jsonl files."
        ) from None
    for number, values in enumerate(rows, 1):
        yield Record(values, f"{name}, example {number}", number)


def _squad(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"context": paragraph["context"], **question}
        for article in content["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
