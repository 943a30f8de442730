"""A conversion that is killed, interrupted, or out of space leaves the target as it was."""

import signal
import subprocess
import sys

import pytest

from deberta_core.checkpoint import FORMATS, save_weights

# Converts, and stops for ever in the middle of the weights, after a sign of it.
WAIT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent that ignores it hands that down
from conformance.convert.convert import convert
from deberta_dual.cli import end_as_interrupted
end_as_interrupted()
count = 0
def stop(size):
    global count
    count += 1
    if count == 10:
        print("middle", flush=True)
        time.sleep(600)
convert(sys.argv[1], sys.argv[2], sys.argv[3], force=True, count=stop)
"""
# Converts with room for files of so many bytes; a full disk gives the same error.
LITTLE_ROOM = """
import resource, signal, sys
from deberta_dual.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(["convert", sys.argv[1], sys.argv[2], "--to", sys.argv[3], "--force"]))
"""


@pytest.fixture
def folders(tmp_path, small_config, random_weights):
    """A source, and a target that exists already."""
    for name, value in (("source", 1), ("target", 2)):
        small_config.save_pretrained(tmp_path / name)
        weights = {key: array * value for key, array in random_weights(small_config, None).items()}
        save_weights(tmp_path / name, small_config, None, weights)
    return tmp_path / "source", tmp_path / "target"


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def start(code, folders, format):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, folders), format],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("format", FORMATS)
def test_stopped_in_the_middle(folders, tmp_path, format, how):
    before = content(folders[1])
    process = start(WAIT, folders, format)
    assert process.stdout.readline() == "middle\n"
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert content(folders[1]) == before
    left = sorted(path.name for path in tmp_path.iterdir() if path.name not in ("source", "target"))
    if how != signal.SIGKILL:
        assert left == []
    else:  # nobody is left to clean up; the hidden folder may be deleted
        assert len(left) == 1
        assert left[0].startswith(".target.")


@pytest.mark.parametrize("format", FORMATS)
def test_no_space_left(folders, tmp_path, format):
    before = content(folders[1])
    process = start(LITTLE_ROOM, folders, format)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error.startswith("deberta: error: ")
    assert "cannot be written" in error
    assert error.count("\n") == 1
    assert content(folders[1]) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
