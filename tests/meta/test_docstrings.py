"""Everything public says what it is; what takes tensors says their shapes and what is refused."""

import ast
import re
from collections.abc import Iterator

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

SHAPE = re.compile(r"\[[A-Z0-9*][^\]]*\]|\[\.\.\.[^\]]*\]|\[width[^\]]*\]|`\[[^\]]+\]`")
FORWARD = {"forward", "call"}
# Where inputs are checked: what a user calls. In Keras that is `__call__`, which all models share.
BOUNDARY = {
    "deberta_torch/models.py": {"Backbone.forward"},
    "deberta_torch/task_models.py": {"TaskModel.forward", "LmModel.forward", "SpanModel.forward"},
    "deberta_tf/calls.py": {"Called.__call__"},
}


def definitions(node: ast.AST, path: str = "") -> Iterator[tuple[str, Definition]]:
    """Classes, and functions that are not inside a function, with their dotted names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield f"{path}{child.name}", child
        if isinstance(child, ast.ClassDef):
            yield from definitions(child, f"{path}{child.name}.")


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def without_docstring(source: str) -> list[str]:
    tree = ast.parse(source)
    missing = [] if ast.get_docstring(tree) else ["the module"]
    return missing + [name for name, node in definitions(tree) if is_public(name) and not ast.get_docstring(node)]


def test_everything_public_has_one(library_files):
    wrong = [f"{file}: {name}" for file, source in library_files.items() for name in without_docstring(source)]
    assert not wrong


def test_a_missing_one_is_found():
    source = '"""M."""\ndef f(): pass\nclass A:\n    """A."""\n    def g(self): pass\n    def _h(self): pass'
    assert without_docstring(source) == ["f", "A.g"]


def test_forward_passes_state_shapes(library_files):
    checked, wrong = 0, []
    for file, source in library_files.items():
        if file.startswith(("deberta_torch/", "deberta_tf/")):
            for name, node in definitions(ast.parse(source)):
                if name.split(".")[-1] in FORWARD and not name.startswith("_"):
                    checked += 1
                    if not SHAPE.search(ast.get_docstring(node) or ""):
                        wrong.append(f"{file}: {name}")
    assert checked >= 20
    assert not wrong


def test_models_state_what_they_refuse(library_files):
    for file, names in BOUNDARY.items():
        found = dict(definitions(ast.parse(library_files[file])))
        for name in names:
            text = ast.get_docstring(found[name]) or ""
            assert "Raises:" in text, f"{file}: {name}"
            assert "InputError:" in text, f"{file}: {name}"
