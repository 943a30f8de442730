"""Lines of text and of JSON: what becomes of every line, in order."""

import io

import pytest

from deberta_dual.data.formats import FORMATS


def read(text, input_format="lines"):
    stream = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    records = FORMATS[input_format](print)(stream, "a file")
    return [(record.line, str(record.error) if record.error else record.values["text"]) for record in records]


def test_lines_of_text_and_of_json():
    text = 'Bells.\r\n\n  {"text": "été"} \n[MASK] is old.\n"Nobody," he said.\u2028\n'
    found = [(1, "Bells."), (2, "blank line"), (3, "été"), (4, "[MASK] is old."), (5, '"Nobody," he said.')]
    assert read(text) == found
    assert read(text, "text")[2] == (3, '{"text": "été"}')
    assert read('\ufeff"a"\n{"text": "b"}', "jsonl") == [(1, "a"), (2, "b")]
    assert read("") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{broken", "the line is no JSON: Expecting property name"),
        (b"a \xff\xfe", "the line is no UTF-8: byte 0xff at byte 3 of the line"),
        ("é ".encode() + b"\xff", "the line is no UTF-8: byte 0xff at byte 4 of the line"),
        (b'{"text": ' + b"[" * 100_000, "the line is no JSON: it has 101 levels of nesting, and at most 100"),
    ],
)
def test_reading_goes_on_behind_a_bad_line(line, message):
    first, second, third = read(b"one\n" + line + b"\nthree\n")
    assert (first, third) == ((1, "one"), (3, "three"))
    assert second[1].startswith(message)
