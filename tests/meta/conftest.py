"""What the repository holds, for the tests about the repository itself."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.meta.page_process import run_page as run_page_in_process

ROOT = Path(__file__).parents[2]
PACKAGES = ("deberta_core", "deberta_torch", "deberta_tf", "conformance", "deberta_dual")
_NOT_OURS = {"build", "dist", "demo-output", "__pycache__"}


def repository_files() -> list[Path]:
    """Every file that is, or is about to be, in the repository; without git, all that is not hidden or built."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = []
    files = [ROOT / name for name in listed if name] or [
        file
        for file in ROOT.rglob("*")
        if not any(
            part.startswith(".") or part in _NOT_OURS or part.endswith(".egg-info")
            for part in file.relative_to(ROOT).parts
        )
    ]
    return sorted(file for file in files if file.is_file())


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Every file of the repository."""
    return repository_files()


@pytest.fixture(scope="session")
def python_files(files: list[Path]) -> dict[str, str]:
    """The source of every Python file by its path in the repository."""
    return {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files if file.suffix == ".py"
    }


@pytest.fixture(scope="session")
def library_files(python_files: dict[str, str]) -> dict[str, str]:
    """Those of the packages, without the suite's tests."""
    return {
        name: source
        for name, source in python_files.items()
        if name.split("/")[0] in PACKAGES and not name.split("/")[-1].startswith("test_")
    }


def _environment() -> dict[str, str]:
    """What a fresh interpreter needs to find this repository's packages and commands, and to be quiet."""
    return {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code in a fresh interpreter, in `folder`, that finds this repository's packages."""

    def run(code: str, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env=os.environ | _environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


@pytest.fixture
def run_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int | None, str]]:
    """Runs the blocks of a page in an empty folder and a process of its own: its status, and what it printed.

    The frameworks' imports take longer than most pages: one process makes them, and the pages' are its copies, where a
    system can copy processes; unless a page is to have a `fresh` one, that reads the environment of today. Nothing of
    ours is imported in the first one.
    """
    quick = "forkserver" in multiprocessing.get_all_start_methods()
    # Threads only wait for each other in models as small as these.
    for name, value in (_environment() | {"OMP_NUM_THREADS": "1"}).items():
        monkeypatch.setenv(name, value)

    def run(blocks: Sequence[Any], fresh: bool = False) -> tuple[int | None, str]:
        copies = quick and not fresh
        context = multiprocessing.get_context("forkserver" if copies else "spawn")
        if copies:
            context.set_forkserver_preload(["torch", "keras"])
        folder, log = tmp_path / "reader", tmp_path / "printed"
        folder.mkdir()
        process = context.Process(target=run_page_in_process, args=([tuple(block) for block in blocks], folder, log))
        process.start()
        process.join(timeout=600)
        process.kill()
        return process.exitcode, log.read_text(encoding="utf-8")

    return run
