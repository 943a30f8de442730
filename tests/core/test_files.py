"""Small files and their names."""

import pytest

from deberta_core import ConfigError, WeightError
from deberta_core.files import is_plain_name, read_json, write_text


def test_text_is_written(tmp_path):
    assert write_text(tmp_path / "a.txt", "größe\n") == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == "größe\n".encode()


def test_plain_names():
    assert all(map(is_plain_name, ["a", "a.b", ".a", "...", "größe"]))
    assert not any(map(is_plain_name, ["", ".", "..", "a/b", "/", "a\\b", "a\0", 5, None]))


def test_json_objects_are_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": "ü"}', encoding="utf-8")
    assert read_json(tmp_path / "a.json", ConfigError, hint="") == {"a": "ü"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.json does not exist\. Hint\."),
        (b"{", r"a\.json cannot be read as JSON: .*\. Hint\."),
        (b'{"a": "\xff"}', r"a\.json cannot be read as JSON: .*utf-8.*Hint\."),
        (b'{"a":' + b"[" * 200_000, r"a\.json cannot be read as JSON"),
        (b'"a"', r"a\.json holds a JSON str, not an object\. Hint\."),
    ],
)
@pytest.mark.parametrize("error", [ConfigError, WeightError])
def test_json_that_cannot_be_read_is_named(tmp_path, content, message, error):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(error, match=message):
        read_json(tmp_path / "a.json", error, hint="Hint.")


def test_a_folder_is_no_json(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        read_json(tmp_path, ConfigError, hint="")


@pytest.mark.parametrize(
    "text", ['{"a": ' + "1" * 5000 + "}", '{"a": "\\ud800"}', '{"a": 1', '{"a": "\xff"}', "[" * 100_000]
)
def test_json_that_cannot_be_read(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"a\.json cannot be read as JSON: .*\. Mend it\."):
        read_json(tmp_path / "a.json", ConfigError, "Mend it.")
    (tmp_path / "a.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert read_json(tmp_path / "a.json", ConfigError, "") == {"a": "\U0001f600"}
