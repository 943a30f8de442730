"""Saves beside one another, and what others have put in the place of what a killed save leaves."""

import json
import subprocess
import sys
import threading
import time

import pytest

from deberta_core import ConfigError, WeightError
from deberta_core.staging import JOURNAL, STAGING
from deberta_core.transaction import replace_files, settle


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


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


SAVES = """
import multiprocessing, os, sys
from pathlib import Path
from deberta_core import WeightError, file_system
from deberta_core.transaction import replace_files
os.fsync = lambda handle: None
if sys.argv[2] == "journal":
    file_system._renameat2 = None
def save(name):
    for number in range(40):
        with replace_files(sys.argv[1], WeightError) as staging:
            (staging / name).write_text(str(number))
            (staging / f"{name}{number}").touch()
processes = [multiprocessing.get_context("fork").Process(target=save, args=(name,)) for name in "abcd"]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(any(process.exitcode for process in processes))
"""


@pytest.mark.parametrize("way", ["exchange", "journal"])
def test_of_many_saves_at_a_time_none_is_lost(tmp_path, way):
    done = subprocess.run([sys.executable, "-c", SAVES, str(tmp_path / "a"), way], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(listing(tmp_path / "a")) == 4 * 41
    assert [(tmp_path / "a" / name).read_text() for name in "abcd"] == ["39"] * 4
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
