"""Whole files and folders, or none."""

import os
import stat
from pathlib import Path

import pytest

from deberta_core import ConfigError, WeightError
from deberta_core.files import atomic_file, atomic_folder, read_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def _usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_text_is_written_whole(tmp_path):
    file = tmp_path / "a.txt"
    assert write_text(file, "größe\n") == file
    assert file.read_bytes() == "größe\n".encode()
    write_text(file, "other")
    assert file.read_text() == "other"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.usefixtures("_usual_umask")
def test_permissions_are_the_usual(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    assert permissions(tmp_path / "a.txt") == 0o644
    with atomic_folder(tmp_path / "b", force=False, error=WeightError):
        pass
    assert permissions(tmp_path / "b") == 0o755


def test_an_error_leaves_the_old_file(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(RuntimeError, match="stop"), atomic_file(file) as temporary:  # noqa: PT012
        temporary.write_text("half")
        assert temporary.parent == tmp_path
        raise RuntimeError("stop")
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_no_folder(tmp_path, error):
    with pytest.raises(error), atomic_folder(tmp_path / "new", force=False, error=WeightError) as temporary:  # noqa: PT012
        (temporary / "half").write_text("x")
        raise error
    assert names(tmp_path) == []


def test_an_error_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "old").write_text("x")
    with pytest.raises(RuntimeError), atomic_folder(folder, force=True, error=WeightError):
        raise RuntimeError
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["a"]


def test_a_folder_is_made_with_its_parents(tmp_path):
    folder = tmp_path / "a" / "b"
    with atomic_folder(folder, force=False, error=WeightError) as temporary:
        (temporary / "x").write_text("1")
        assert not folder.exists()
    assert names(folder) == ["x"]
    assert names(folder.parent) == ["b"]


def test_an_existing_folder_is_replaced_by_force_only(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "old").write_text("x")
    with (
        pytest.raises(WeightError, match=r"a exists already\. Choose another name, or pass --force to replace it"),
        atomic_folder(folder, force=False, error=WeightError),
    ):
        pytest.fail("the body must not run")
    with atomic_folder(folder, force=True, error=WeightError) as temporary:
        (temporary / "new").write_text("y")
        assert names(folder) == ["old"]
    assert names(folder) == ["new"]
    assert names(tmp_path) == ["a"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(WeightError, match=r"file/a cannot be made: .*Choose a place that can be written"),
        atomic_folder(tmp_path / "file" / "a", force=False, error=WeightError),
    ):
        pytest.fail("the body must not run")


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


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_replacement_that_fails_halfway_puts_the_old_folder_back(tmp_path, monkeypatch, error):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "old").write_text("x")
    rename = Path.replace

    def fail_for_the_new_one(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", fail_for_the_new_one)
    with pytest.raises(error), atomic_folder(folder, force=True, error=WeightError) as temporary:
        (temporary / "new").write_text("y")
    assert names(tmp_path) == ["a"]
    assert names(folder) == ["old"]


def test_an_old_folder_that_cannot_be_put_back_is_not_lost(tmp_path, monkeypatch):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "old").write_text("x")
    rename = Path.replace

    def fail_towards_the_folder(self: Path, target: Path) -> Path:
        if target == folder:
            raise OSError
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", fail_towards_the_folder)
    with pytest.raises(OSError), atomic_folder(folder, force=True, error=WeightError):  # noqa: PT011
        pass
    assert [file.read_text() for file in tmp_path.rglob("old")] == ["x"]


@pytest.mark.parametrize(
    "text", ['{"a": ' + "1" * 5000 + "}", '{"a": "\\ud800"}', '{"a": 1', '{"a": "\xff"}', "[" * 100_000]
)
def test_json_that_cannot_be_read(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"a\.json cannot be read as JSON: .*\. Mend it\."):
        read_json(tmp_path / "a.json", ConfigError, "Mend it.")
    (tmp_path / "a.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert read_json(tmp_path / "a.json", ConfigError, "") == {"a": "\U0001f600"}
