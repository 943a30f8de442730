"""Who may import whom, lazily or not, and that no files import one another in a circle."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

# Folder -> what a module there may import at its top, and what else inside a function that needs it. From the bottom
# to the top: a folder imports nothing of ours from below it in this table, of which the most exact row counts.
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
    "conformance": (
        {"conformance", "deberta_core", "numpy", "ml_dtypes", "hypothesis"},
        {"deberta_torch", "deberta_tf", "torch", "tensorflow", "keras", "transformers", "safetensors", "pytest"},
    ),
    "deberta_dual/exporting": (
        {"deberta_dual", "conformance.convert", "deberta_core", "numpy", "onnx"},
        {"onnxruntime"},
    ),
    "deberta_dual/serving": (
        {"deberta_dual", "deberta_core", "numpy", "fastapi", "prometheus_client", "pydantic", "starlette", "uvicorn"},
        set(),
    ),
    "deberta_dual": ({"deberta_dual", "conformance.convert", "deberta_core", "numpy"}, {"matplotlib", "pyarrow"}),
}
KERNELS = ("tiles", "forward_kernel", "score_gradients", "token_gradients", "norm_kernels")
# File -> what it may import beyond its folder's row, and why.
EXCEPTIONS: dict[str, tuple[set[str], str]] = {
    "deberta_core/tensors.py": ({"torch", "tensorflow"}, "makes tensors of arrays where they are asked for"),
    "conformance/suite/interpreted.py": ({"deberta_torch", "triton"}, "imported by tests of the kernels alone"),
    "deberta_torch/device_map.py": ({"accelerate"}, "its hooks move tensors between the parts of one model"),
    **dict.fromkeys(
        [
            f"deberta_torch/kernels/triton/{name}.py"
            for name in (*KERNELS, "interpreted", "forward", "backward", "residual_norm")
        ],
        ({"triton"}, "the kernels, which are imported when they are first used"),
    ),
    "deberta_torch/bridge.py": ({"transformers"}, "makes our models transformers' where a user asks for that"),
    "deberta_tf/checkpointing.py": (
        {"tensorflow"},
        "gradients of its own, which Keras has no interface for",
    ),
    "deberta_tf/distribution.py": ({"tensorflow"}, "its replicas, of which Keras' own interface does not tell"),
    "deberta_tf/explain.py": ({"tensorflow"}, "gradients of inputs, of which Keras' own interface does not tell"),
    "deberta_tf/sift.py": ({"tensorflow"}, "the gradient of a perturbation, inside a loss"),
    "deberta_dual/ray.py": ({"ray"}, "scores on the machines of a Ray cluster"),
    "deberta_dual/backends/torch.py": ({"torch", "deberta_torch"}, "the seam to PyTorch"),
    "deberta_dual/backends/torch_pretraining.py": ({"torch", "deberta_torch"}, "pretrains in PyTorch"),
    "deberta_dual/backends/tf_devices.py": ({"tensorflow", "keras"}, "where Keras computes"),
    "deberta_dual/backends/tf_training.py": ({"tensorflow", "keras", "deberta_tf"}, "trains in Keras"),
    "deberta_dual/backends/tf_recipes.py": ({"tensorflow", "keras", "deberta_tf"}, "recipes of training in Keras"),
    "deberta_dual/backends/torch_lora.py": ({"torch", "peft", "safetensors"}, "PEFT's adapters"),
    "deberta_dual/backends/torch_recipes.py": ({"torch", "deberta_torch"}, "recipes of training in PyTorch"),
    "deberta_dual/backends/torch_processes.py": ({"torch", "deberta_torch"}, "the processes of torchrun"),
    "deberta_dual/backends/torch_shards.py": ({"torch"}, "models sharded over the processes of torchrun"),
    "deberta_dual/backends/tf_pretraining.py": ({"tensorflow", "keras", "deberta_tf"}, "pretrains in Keras"),
    "deberta_dual/backends/tf_processes.py": ({"tensorflow"}, "the processes of TF_CONFIG"),
    "deberta_dual/backends/torch_explain.py": ({"torch", "deberta_torch"}, "explains models of PyTorch"),
    "deberta_dual/backends/tf_explain.py": ({"deberta_tf"}, "explains models of Keras"),
    "deberta_dual/backends/torch_export.py": ({"torch", "deberta_torch"}, "writes programs of PyTorch"),
    "deberta_dual/backends/tf_export.py": ({"tensorflow", "deberta_tf"}, "writes what Keras exports"),
    "deberta_dual/backends/tf.py": ({"tensorflow", "keras", "deberta_tf"}, "the seam to Keras"),
}
# Files where a text that is the name of a module of ours is not there to import it, and why.
ONLY_NAMED = {"deberta_core/checkpoint/keras_archive.py": "Keras writes a class's module into its archives"}
# What nothing in a package may import; `tests` and `tools` may import everything.
NEVER_IMPORTED = {"tests", "tools"}
OURS = re.compile(r"(deberta_(core|torch|tf|dual)|conformance)(\.\w+)+(:\w+)?")
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
    """Names of the modules a source imports, and whether inside a function; those for type checkers alone left out.

    A text that is the dotted name of a module of ours, also with a function behind a colon, is there to be imported.
    """
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(source), False)]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import of {node.module}: write the full name"
            yield from ((f"{node.module}.{alias.name}", inside) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
            yield node.value.split(":")[0], True
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            within = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            pending += [(child, within) for child in ast.iter_child_nodes(node)]


def is_part_of(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def folder_of(file: str) -> str:
    return next(folder for folder in sorted(ALLOWED, key=len, reverse=True) if file.startswith(f"{folder}/"))


def violations(file: str, source: str) -> list[str]:
    top, functions = ALLOWED[folder_of(file)]
    more = EXCEPTIONS.get(file, (set(), ""))[0]
    top, functions = top | more, top | functions | more
    return [
        f"{file} imports {name}{' in a function' if inside else ''}"
        for name, inside in imported(source)
        if name.split(".")[0] not in sys.stdlib_module_names
        and file not in ONLY_NAMED
        and (is_part_of(name, NEVER_IMPORTED) or not is_part_of(name, functions if inside else top))
    ]


def circles(files: Mapping[str, str]) -> list[set[str]]:
    """Sets of two or more files each of which imports all others, over others of them too."""
    paths = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in files}
    reached: dict[str, set[str]] = {}
    for name, source in files.items():
        found = {owner for module, _ in imported(source) if name not in ONLY_NAMED if (owner := home(module, paths))}
        reached[name] = found - {name}
    while True:  # until nothing more is reached
        longer = {name: found.union(*(reached[one] for one in found)) for name, found in reached.items()}
        if longer == reached:
            break
        reached = longer
    inside = {frozenset(one for one in found if name in reached[one]) for name, found in reached.items()}
    return [set(circle) for circle in inside if len(circle) > 1]


def home(module: str, paths: Mapping[str, str]) -> str | None:
    """The file of a module, or of the one that a name is imported from."""
    while module and module not in paths:
        module = module.rpartition(".")[0]
    return paths.get(module)


def test_every_import_is_allowed(library_files):
    wrong = [problem for file, source in library_files.items() for problem in violations(file, source)]
    assert not wrong, "\n".join(wrong)


def test_exceptions_are_needed(library_files):
    for file, (names, _) in EXCEPTIONS.items():
        used = {name.split(".")[0] for name, _ in imported(library_files[file])}
        assert names <= used, f"{file} does not import {names - used}: take it from the table"
    assert all(OURS.search(library_files[file]) for file in ONLY_NAMED)


def test_no_files_import_one_another_in_a_circle(library_files):
    assert circles(library_files) == []


def test_a_circle_is_found():
    files = {
        "deberta_core/a.py": "import deberta_core.b",
        "deberta_core/b.py": "def f():\n    from deberta_core.c import g",
        "deberta_core/c/__init__.py": 'TABLE = {"a": "deberta_core.a:main"}',
        "deberta_core/d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import deberta_core.e",
        "deberta_core/e.py": "import deberta_core.d, deberta_core.a",
    }
    assert circles(files) == [{"deberta_core/a.py", "deberta_core/b.py", "deberta_core/c/__init__.py"}]


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
        ("conformance/convert", "import deberta_dual"),
        ("conformance/suite", "def f():\n    from deberta_dual import finetune"),
        ("deberta_core", 'import_module("deberta_dual.cli")'),
        ("deberta_core", 'COMMANDS = {"convert": ("conformance.convert.convert:main", "help")}'),
        ("deberta_dual", "from deberta_torch import optimize"),
        ("deberta_dual", "import conformance.suite.cases"),
        ("deberta_dual/pipelines", "def f():\n    import keras"),
    ],
)
def test_a_wrong_import_is_found(folder, source):
    assert violations(f"{folder}/new.py", source)


def load(run_python: Run, package: str, *allowed: str) -> set[str]:
    done = run_python(IMPORT_ALL, package, *allowed)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["deberta_core", "conformance.convert"])
def test_imports_with_numpy_alone(run_python, package):
    load(run_python, package, "numpy", "deberta_core", "conformance")


def test_applications_import_no_framework(run_python):
    code = "import sys, deberta_dual.cli, deberta_dual; print(*{name.split('.')[0] for name in sys.modules})"
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & {*FRAMEWORKS, "deberta_torch", "deberta_tf"}


def test_pipelines_import_with_the_dependencies_alone(run_python):
    """No extra is needed: what `pip install deberta-dual` brings is enough to import, and a framework to run."""
    needed = ("numpy", "h5py", "huggingface_hub", "ml_dtypes", "safetensors", "sentencepiece", "tokenizers")
    load(run_python, "deberta_dual.pipelines", "deberta_core", "deberta_dual", "conformance", *needed)


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
