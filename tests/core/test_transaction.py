"""What a save replaces, what it leaves alone, and what it does where others are at the same place."""

import errno
import json
import os
import stat
import threading
import time

import pytest

from deberta_core import ConfigError, WeightError, file_system
from deberta_core.layout import refuse_foreign
from deberta_core.staging import JOURNAL, STAGING
from deberta_core.transaction import replace_file, replace_files, replace_folder, settle


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


# What others left


def test_another_save_is_waited_for(tmp_path):
    """Two saves into one folder at a time come one after the other; neither is lost."""
    order = []

    def save(name):
        with replace_files(tmp_path / "a", WeightError) as staging:
            order.append(name)
            write(staging, **{name: name})
            time.sleep(0.05)
            order.append(name)

    threads = [threading.Thread(target=save, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert order[::2] == order[1::2]
    assert listing(tmp_path / "a") == ["a", "b", "c", "d"]
    assert listing(tmp_path) == ["a"]


def test_a_link_in_the_place_of_staging_is_not_followed(tmp_path):
    write(tmp_path / "victim", thesis="1")
    (tmp_path / f".a{STAGING}").symlink_to("victim")
    with (
        pytest.raises(WeightError, match=r"cannot be made: .*not a folder of yours"),
        replace_files(tmp_path / "a", WeightError),
    ):
        pytest.fail("the body must not run")
    assert texts(tmp_path / "victim") == {"thesis": "1"}


@pytest.mark.parametrize(
    "plan",
    [
        {"number": 1, "put": [], "stale": ["../thesis"]},
        {"number": 1, "put": ["../thesis"], "stale": []},
        {"number": 1, "put": [], "stale": [".."]},
        {"number": 1, "put": 5, "stale": []},
        [],
    ],
)
def test_a_journal_that_leads_outside_is_refused(tmp_path, plan):
    write(tmp_path, thesis="1")
    journal = tmp_path / "a" / JOURNAL
    (journal / "new").mkdir(parents=True)
    (journal / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ConfigError, match="holds a save that was stopped, and it cannot be completed"):
        settle(tmp_path / "a", ConfigError)
    assert (tmp_path / "thesis").read_text() == "1"


def test_a_journal_that_is_a_link_is_refused(tmp_path):
    write(tmp_path / "victim", thesis="1")
    journal = tmp_path / "a" / JOURNAL
    journal.mkdir(parents=True)
    (journal / "new").symlink_to(tmp_path / "victim")
    (journal / "plan.json").write_text(json.dumps({"number": 1, "put": ["thesis"], "stale": []}))
    with pytest.raises(ConfigError, match="cannot be completed"):
        settle(tmp_path / "a", ConfigError)
    assert texts(tmp_path / "victim") == {"thesis": "1"}


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


# What may be replaced


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["config.json", "model.safetensors", "README.md", "spm.model", "1_Pooling/config.json"],
        ["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "LICENSE"],
        ["training.json"],
        ["config.json", f"{STAGING}/plan.json"],
        ["config.json", "pytorch_model.bin", "metrics.jsonl", "training.json", "training/state.pt"],
    ],
)
def test_checkpoints_may_be_replaced(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    refuse_foreign(tmp_path, WeightError)
    refuse_foreign(tmp_path / "absent", WeightError)


@pytest.mark.parametrize(
    "name",
    ["thesis.txt", "sub/thesis.txt", "training/thesis.txt", "1_Pooling/thesis.txt", ".git/HEAD", "README.md", "empty/"],
)
@pytest.mark.parametrize("beside", ["config.json", None])
def test_other_folders_may_not(tmp_path, name, beside):
    if beside:
        (tmp_path / beside).touch()
    if beside and name == "README.md":
        (tmp_path / "Readme.txt").touch()
        name = "Readme.txt"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).touch()
    with pytest.raises(WeightError, match=f"so --force does not replace it: it holds {name.rstrip('/')}"):
        refuse_foreign(tmp_path, WeightError)
