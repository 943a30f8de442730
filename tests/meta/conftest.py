"""What the repository holds, for the tests about the repository itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("deberta_core", "deberta_torch", "deberta_tf", "conformance", "deberta_dual")
_NOT_OURS = {"build", "dist", "demo-output", "__pycache__"}


def _files() -> list[Path]:
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
    return _files()


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


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code in a fresh interpreter, in `folder`, that finds this repository's packages."""

    def run(code: str, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        scripts = str(Path(sys.executable).parent)
        changes = {
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(paths),
            "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
        }
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env=os.environ | changes,
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run
