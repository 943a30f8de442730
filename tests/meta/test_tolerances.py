"""Bounds live in one table, and all of it is used."""

import ast
import re

from conformance.suite.compare import (
    DEEP_QUANTITIES,
    FUSED_HALF_QUANTITIES,
    FUSED_QUANTITIES,
    OPTIMIZED_QUANTITIES,
    QUANTITIES,
)
from conformance.tolerances import TOLERANCES

TABLE = "conformance/tolerances.py"
REFUSED = {"rtol", "atol", "rel_tol", "abs_tol"}
# In the suite also functions that have a bound of their own, of which nobody says why it is that large.
REFUSED_FUNCTIONS = {"allclose", "isclose", "assert_allclose", "assert_almost_equal", "approx"}
SUITE = "conformance/"
# The rows of the table in docs/policies.md, and the bounds each tells.
TOLD = {
    "hidden states, attentions, float32, small models": ("hidden", "attentions"),
    "logits": ("logits",),
    "gradients": ("gradient",),
    "12 layers of 768: hidden states, logits": ("deep hidden", "deep logits"),
    '"sdpa" and "flex": hidden states, logits': ("fused hidden", "fused logits"),
    "float16; bfloat16": ("fused float16", "fused bfloat16"),
    "`optimize`, bfloat16; int8": ("optimized bfloat16", "optimized int8"),
    "transformers 4.57.1": ("golden", "golden gradient"),
}


def literal_bounds(source: str, file: str) -> list[int]:
    """The lines on which a comparison brings its own bound."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg in REFUSED:
            lines.append(node.value.lineno)
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            if file.startswith(SUITE) and name in REFUSED_FUNCTIONS:
                lines.append(node.lineno)
    return lines


def quantities_named(source: str) -> set[str]:
    """Literal names of bounds: `quantity="..."` and `TOLERANCES["..."]`."""
    nodes: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "quantity":
            nodes.append(node.value)
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", None) == "TOLERANCES":
            nodes.append(node.slice)
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_no_bound_outside_the_table(python_files):
    sources = {file: source for file, source in python_files.items() if file != TABLE}
    wrong = [f"{file}:{line}" for file, source in sources.items() for line in literal_bounds(source, file)]
    assert not wrong, "compare with conformance.suite.compare.assert_close"


def test_a_bound_is_found():
    assert literal_bounds("f(a, b, rtol=1e-3)", "tests/test_f.py") == [1]
    assert literal_bounds("\nnp.allclose(a, b)", f"{SUITE}test_f.py") == [2]
    assert literal_bounds("f(a, b)", f"{SUITE}test_f.py") == []


def test_every_quantity_is_used(python_files):
    tables = (QUANTITIES, DEEP_QUANTITIES, FUSED_QUANTITIES, FUSED_HALF_QUANTITIES, OPTIMIZED_QUANTITIES)
    used = {quantity for table in tables for quantity in table.values()}
    for source in python_files.values():
        used |= quantities_named(source)
    assert used == set(TOLERANCES)


def test_the_page_of_policies_tells_the_bounds(root):
    table = (root / "docs/policies.md").read_text(encoding="utf-8").partition("## How close")[2].partition("\n## ")[0]
    told = {}
    for line in table.splitlines():
        if line.startswith("| "):
            what, *_, bound = line.strip("| ").split(" | ")
            told[what] = [float(number) for number in re.findall(r"\de-\d", bound)]
    assert told.keys() - {"what"} == TOLD.keys()
    for what, names in TOLD.items():
        assert {TOLERANCES[name].limit for name in names} == set(told[what]), what


def test_every_bound_has_a_reason():
    for name, bound in TOLERANCES.items():
        assert bound.reason, name
        assert bound.measured is None or bound.measured <= bound.limit, name
