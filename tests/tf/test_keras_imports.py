"""What importing the package loads, and what it says where something is missing."""

import subprocess
import sys

import pytest

_ADDED = """
import sys
import keras
before = set(sys.modules)
import deberta_tf
print(*{name.partition(".")[0] for name in sys.modules.keys() - before} - sys.stdlib_module_names)
"""
_MISSING = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refuse())
import deberta_tf
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_nothing_is_loaded_beyond_keras_and_our_own():
    assert set(run(_ADDED).stdout.split()) - {"numpy"} == {"deberta_core", "deberta_tf"}


@pytest.mark.parametrize("name", ["keras", "tensorflow"])
def test_what_is_missing_is_said_in_a_line(name):
    done = run(_MISSING.format(name))
    *trace, message = [line for line in done.stderr.splitlines() if not line.startswith(("WARNING: All log", "I0000"))]
    assert message == (
        "ImportError: deberta_tf needs Keras 3 and TensorFlow. Install them with: pip install 'deberta-dual[tf]'"
    )
    assert len(trace) <= 7
    assert done.returncode == 1
