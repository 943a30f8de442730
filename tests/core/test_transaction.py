"""What a save replaces, what it leaves alone, and what it does where others are at the same place."""

import errno
import os
import stat
from pathlib import Path

import pytest

from deberta_core import ConfigError, WeightError, file_system
from deberta_core.checkpoint import save_weights
from deberta_core.staging import STAGING
from deberta_core.transaction import replace_file, replace_files, replace_folder


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture(params=[True, False], ids=["exchange", "journal"])
def _either_way(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(file_system, "_renameat2", None)


@pytest.fixture
def _usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


# What goes and what stays


@pytest.mark.usefixtures("_either_way")
def test_files_are_replaced_and_others_stay(tmp_path):
    folder = tmp_path / "a"
    write(folder, mine="1", theirs="2", stale="3")
    (folder / "link").symlink_to("nowhere")
    (folder / "hidden").write_text("4")
    with replace_files(folder, WeightError, stale=lambda there: ["stale", "absent"]) as staging:
        assert listing(staging) == []
        write(staging, mine="new", more="new")
        assert (folder / "mine").read_text() == "1"
    assert listing(folder) == ["hidden", "link", "mine", "more", "theirs"]
    assert (folder / "link").is_symlink()
    assert [(folder / name).read_text() for name in ("mine", "more", "theirs")] == ["new", "new", "2"]
    assert listing(tmp_path) == ["a"]


@pytest.mark.usefixtures("_either_way")
def test_a_folder_of_others_stays_where_it_is(tmp_path):
    folder = tmp_path / "a"
    write(folder, mine="1")
    write(folder / "sub", thesis="2")
    number = (folder / "sub").stat().st_ino
    with replace_files(folder, WeightError) as staging:
        write(staging, mine="new")
    assert listing(folder) == ["mine", "sub"]
    assert ((folder / "mine").read_text(), (folder / "sub" / "thesis").read_text()) == ("new", "2")
    assert (folder / "sub").stat().st_ino == number


@pytest.mark.usefixtures("_either_way")
def test_a_folder_is_replaced_with_all_in_it(tmp_path):
    folder = tmp_path / "a"
    write(folder, old="1", both="1")
    write(folder / "sub", old="2")
    with replace_folder(folder, WeightError, force=True) as staging:
        write(staging, both="new")
        write(staging / "sub", new="new")
        write(folder, meanwhile="theirs")
    assert listing(folder) == ["both", "meanwhile", "sub"]
    assert texts(folder / "sub") == {"new": "new"}
    assert listing(tmp_path) == ["a"]


def test_what_others_put_there_at_the_last_moment_is_kept(tmp_path, monkeypatch):
    folder, real = tmp_path / "a", file_system._renameat2
    write(folder, mine="1", theirs="2")

    def rename(*arguments):
        write(folder, late="3")
        (folder / "new").write_text("4")
        (folder / "new").replace(folder / "theirs")
        return real(*arguments)

    if real is None:
        pytest.skip("there is no exchange here")
    monkeypatch.setattr(file_system, "_renameat2", rename)
    with replace_files(folder, WeightError) as staging:
        write(staging, mine="new")
    assert texts(folder) == {"mine": "new", "theirs": "4", "late": "3"}


def test_a_save_within_a_save_joins_it(tmp_path):
    with replace_folder(tmp_path / "a", WeightError, force=False) as staging:
        for name in ("one", "two"):
            with replace_files(staging, ConfigError) as inner:
                assert inner == staging
                write(inner, **{name: name})
        assert not (tmp_path / "a").exists()
    assert listing(tmp_path / "a") == ["one", "two"]


def test_our_working_folder_stays_the_same(tmp_path, monkeypatch):
    write(tmp_path / "a", mine="1")
    monkeypatch.chdir(tmp_path / "a")
    with replace_files(".", WeightError) as staging:
        write(staging, mine="new")
    assert os.listdir() == ["mine"]  # noqa: PTH208 - of a folder that was exchanged, nothing would be there
    assert (tmp_path / "a" / "mine").read_text() == "new"


def test_a_link_to_a_folder_stays_one(tmp_path):
    write(tmp_path / "a", mine="1")
    (tmp_path / "link").symlink_to("a")
    with replace_folder(tmp_path / "link", WeightError, force=True) as staging:
        write(staging, mine="new")
    assert (tmp_path / "link").is_symlink()
    assert texts(tmp_path / "a") == {"mine": "new"}


@pytest.mark.usefixtures("_usual_umask", "_either_way")
def test_permissions(tmp_path):
    """New ones are the usual, a folder keeps its own, and nobody else can look into what is not there yet."""
    with replace_files(tmp_path / "a", WeightError) as staging:
        write(staging, mine="1")
        assert permissions(staging.parent) == 0o700
    assert (permissions(tmp_path / "a"), permissions(tmp_path / "a" / "mine")) == (0o755, 0o644)
    (tmp_path / "a").chmod(0o750)
    with replace_files(tmp_path / "a", WeightError) as staging:
        write(staging, mine="2")
    assert permissions(tmp_path / "a") == 0o750


def test_the_umask_is_never_touched(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "umask")
    with replace_files(tmp_path / "a", WeightError) as staging:
        write(staging, mine="1")
    with replace_file(tmp_path / "b", WeightError) as file:
        file.write_text("1")


def test_all_reaches_the_disk_before_its_name(tmp_path, monkeypatch):
    write(tmp_path / "a", mine="1")
    seen, rename = [], file_system._renameat2

    def sync(handle):
        seen.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))  # noqa: PTH115, PTH119

    def exchange(*arguments):
        seen.append("renamed")
        return rename(*arguments)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(file_system, "_renameat2", exchange)
    with replace_files(tmp_path / "a", WeightError) as staging:
        write(staging, mine="new")
    place = f".a{STAGING}"
    assert seen == ["mine", "new", "plan.json", place, "new", "renamed", tmp_path.name]


def test_a_model_and_a_tokenizer_share_a_folder(tmp_path, small_config, random_weights, small_tokenizer):
    """Each save replaces its own files: shards of the model's own past go, the tokenizer's stay, and the other way."""
    folder, weights = tmp_path / "a", random_weights(small_config, None)
    save_weights(folder, small_config, None, weights, max_shard_size=2000, with_config=True)
    (folder / "model-00001-of-00009.safetensors").write_text("of nobody's index")
    parts = [path.name for path in folder.glob("model-*-of-*")]
    assert len(parts) > 3
    tokenizer = [Path(name).name for name in small_tokenizer.save_pretrained(folder)]
    assert {*parts, *tokenizer, "config.json"} < {*listing(folder)}
    save_weights(folder, small_config, None, weights, with_config=True)
    left = ["model-00001-of-00009.safetensors"]
    assert listing(folder) == sorted(["config.json", "model.safetensors", *left, *tokenizer])
    (folder / "vocab.json").write_text("of an older tokenizer")
    small_tokenizer.save_pretrained(folder)
    assert listing(folder) == sorted(["config.json", "model.safetensors", *left, *tokenizer])


# What cannot be done


def test_an_existing_folder_needs_force(tmp_path):
    write(tmp_path / "a", old="1")
    message = r"a exists already\. Choose another name, or pass --force to replace it"
    with pytest.raises(WeightError, match=message), replace_folder(tmp_path / "a", WeightError, force=False):
        pytest.fail("the body must not run")
    assert listing(tmp_path / "a") == ["old"]


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("is_file", [True, False])
def test_a_target_that_appears_meanwhile_is_not_replaced(tmp_path, is_file):
    with (
        pytest.raises(WeightError, match="exists already"),
        replace_folder(tmp_path / "a", WeightError, force=False),
    ):
        (tmp_path / "a").touch() if is_file else write(tmp_path / "a", theirs="1")
    assert listing(tmp_path) == ["a"]
    assert is_file or listing(tmp_path / "a") == ["theirs"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, WeightError("no"), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("exists", [True, False])
def test_an_error_leaves_what_was_there(tmp_path, error, exists):
    if exists:
        write(tmp_path / "a", old="1")
    expected = ConfigError if isinstance(error, OSError) else error if isinstance(error, type) else type(error)
    with pytest.raises(expected) as caught, replace_files(tmp_path / "a", ConfigError) as staging:  # noqa: PT012
        write(staging, half="x")
        raise error
    if isinstance(error, OSError):
        assert caught.value.errno == errno.ENOSPC
        assert "a cannot be written: [Errno 28] full. Choose a place" in str(caught.value)
    assert listing(tmp_path) == (["a"] if exists else [])
    assert not exists or listing(tmp_path / "a") == ["old"]


def test_parents_are_made_and_go_again(tmp_path):
    folder = tmp_path / "a" / "b" / "c"
    with pytest.raises(KeyboardInterrupt), replace_files(folder, WeightError):
        raise KeyboardInterrupt
    assert listing(tmp_path) == []
    with replace_files(folder, WeightError) as staging:
        write(staging, mine="1")
    assert listing(folder) == ["mine"]


@pytest.mark.parametrize("name", ["file", "file/a"])
def test_a_file_is_no_folder(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    message = "cannot be made: .*Choose a place that can be written"
    with pytest.raises(ConfigError, match=message), replace_files(tmp_path / name, ConfigError):
        pytest.fail("the body must not run")
    assert (tmp_path / "file").read_text() == "mine"
    assert listing(tmp_path) == ["file"]


# Single files


def test_a_file_is_replaced(tmp_path):
    (tmp_path / "link").symlink_to("a")
    for text in ("1", "2"):
        with replace_file(tmp_path / "link", WeightError) as file:
            file.write_text(text)
        assert (tmp_path / "a").read_text() == text
    with pytest.raises(RuntimeError), replace_file(tmp_path / "a", WeightError) as file:  # noqa: PT012
        file.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "2"
    assert listing(tmp_path) == ["a", "link"]


def test_a_device_is_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with replace_file(tmp_path / "pipe", WeightError) as file:
        assert file == tmp_path / "pipe"
    assert (tmp_path / "pipe").is_fifo()
