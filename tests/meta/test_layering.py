"""Who may import whom: the sources say so, and fresh interpreters agree."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

# Folder -> what a module there may import at its top, and what else inside a function that needs it.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "deberta_core": (
        {"deberta_core", "numpy"},
        {"h5py", "huggingface_hub", "ml_dtypes", "safetensors", "sentencepiece", "tokenizers"},
    ),
    "deberta_torch": ({"deberta_torch", "deberta_core", "numpy", "torch"}, {"ml_dtypes"}),
    "deberta_tf": ({"deberta_tf", "deberta_core", "numpy", "keras"}, set()),
    "conformance/convert": (
        {"conformance.convert", "conformance.tolerances", "deberta_core", "numpy"},
        {"deberta_torch", "deberta_tf", "ml_dtypes"},
    ),
}
# File -> what it may import inside a function beyond its folder's row, and why.
EXCEPTIONS: dict[str, tuple[set[str], str]] = {
    "deberta_core/frameworks.py": (
        {"torch", "tensorflow", "keras", "deberta_torch", "deberta_tf"},
        "makes tensors of arrays, and functions of arrays of models, of the framework asked for",
    ),
    "deberta_torch/device_map.py": ({"accelerate"}, "its hooks move tensors between the parts of one model"),
    "deberta_tf/finetuning.py": ({"tensorflow"}, "a data set whose shapes are said, not guessed from two batches"),
    "deberta_tf/distribution.py": ({"tensorflow"}, "its replicas, of which Keras' own interface does not tell"),
}
# What nothing in a package may import; `tests`, `tools` and the suite may import everything.
NEVER_IMPORTED = {"tests", "tools", "conformance.suite"}
# What the core works without, as far as it is imported and not used.
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax"}

# Refuses every third-party import but NumPy's, imports all modules of a package, and prints what was loaded.
IMPORT_ALL = """
import importlib, pkgutil, sys
package, *allowed = sys.argv[1:]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        root = name.split(".")[0]
        if root not in sys.stdlib_module_names and root not in allowed:
            raise ModuleNotFoundError(f"{name} is refused")
if allowed:
    sys.meta_path.insert(0, Refuse())
module = importlib.import_module(package)
for found in pkgutil.walk_packages(module.__path__, package + "."):
    importlib.import_module(found.name)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


def imported(source: str) -> Iterator[tuple[str, bool]]:
    """Names of the modules a source imports, and whether inside a function; those for type checkers alone left out."""
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(source), False)]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import of {node.module}: write the full name"
            yield from ((f"{node.module}.{alias.name}", inside) for alias in node.names)
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            within = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            pending += [(child, within) for child in ast.iter_child_nodes(node)]


def is_part_of(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def violations(file: str, source: str, folder: str) -> list[str]:
    top, functions = ALLOWED[folder]
    functions = top | functions | EXCEPTIONS.get(file, (set(), ""))[0]
    return [
        f"{file} imports {name}{' in a function' if inside else ''}"
        for name, inside in imported(source)
        if name.split(".")[0] not in sys.stdlib_module_names
        and (is_part_of(name, NEVER_IMPORTED) or not is_part_of(name, functions if inside else top))
    ]


def test_every_import_is_allowed(library_files):
    wrong = []
    for folder in ALLOWED:
        chosen = {file: source for file, source in library_files.items() if file.startswith(f"{folder}/")}
        assert chosen, f"there is no {folder}"
        for file, source in chosen.items():
            wrong += violations(file, source, folder)
    assert not wrong, "\n".join(wrong)


def test_exceptions_are_needed(library_files):
    for file, (names, _) in EXCEPTIONS.items():
        used = {name.split(".")[0] for name, _ in imported(library_files[file])}
        assert names <= used, f"{file} does not import {names - used}: take it from the table"


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("deberta_core", "import torch"),
        ("deberta_core", "import safetensors.numpy"),
        ("deberta_core", "def f():\n    from keras import ops"),
        ("deberta_torch", "from deberta_tf.models import Backbone"),
        ("deberta_torch", "try:\n    import tensorflow as tf\nexcept ImportError:\n    pass"),
        ("deberta_tf", "import deberta_torch"),
        ("deberta_tf", "import tensorflow as tf"),
        ("deberta_tf", "def f():\n    import tensorflow as tf"),
        ("deberta_tf", "def f():\n    from conformance.suite import cases"),
        ("conformance/convert", "import torch"),
    ],
)
def test_a_wrong_import_is_found(folder, source):
    assert violations(f"{folder}/new.py", source, folder)


def load(run_python: Run, package: str, *allowed: str) -> set[str]:
    done = run_python(IMPORT_ALL, package, *allowed)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["deberta_core", "conformance.convert"])
def test_imports_with_numpy_alone(run_python, package):
    load(run_python, package, "numpy", "deberta_core", "conformance")


def test_torch_package_loads_no_tensorflow(run_python):
    pytest.importorskip("torch")
    loaded = load(run_python, "deberta_torch")
    assert loaded & FRAMEWORKS == {"torch"}
    assert "deberta_tf" not in loaded


def test_keras_package_loads_no_torch(run_python):
    pytest.importorskip("keras")
    loaded = load(run_python, "deberta_tf")
    assert "keras" in loaded
    assert not loaded & {"torch", "deberta_torch"}
