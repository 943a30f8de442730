"""Tests pass, and write nothing into the checkout, in surroundings that differ from those of their developers.

Here are a few of those that surroundings once broke, or that touch them most: signals, the caches and files of a home
folder, files that are moved, texts beyond ASCII, a page's snippets.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.meta.conftest import repository_files

TESTS = (
    "tests/convert/test_interruption.py",
    "tests/core/test_hub.py",
    "tests/core/test_files.py",
    "tests/core/test_tokenization_folders.py",
    "tests/cli/test_run_command.py",
    "tests/cli/test_finetune_command.py",
    "tests/meta/test_readme.py",
)
# Names of a locale without UTF-8, which Python would otherwise replace by one with it.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# What `nohup` and a shell's `&` hand down.
IGNORING = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.slow  # it runs tests once more, which takes a minute
def test_no_home_no_utf_8_no_signals_and_another_drive(root: Path) -> None:
    before = repository_files()
    elsewhere = "/dev/shm" if Path("/dev/shm").is_dir() else None
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "USERPROFILE", "HF_HOME")}
    with tempfile.TemporaryDirectory(dir=elsewhere) as folder:
        done = subprocess.run(
            [sys.executable, "-c", IGNORING, "-q", "-m", "not slow", "-p", "no:cacheprovider", *TESTS],
            cwd=root,
            env=environment | ASCII | {"TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert repository_files() == before
