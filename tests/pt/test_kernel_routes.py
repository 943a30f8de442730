"""No way through the model lets oneDNN fall to its reference code, which takes hundreds of times as long."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deberta_torch.kernels import onednn

ROOT = Path(__file__).parents[2]


def steps_of(*arguments: str) -> dict[str, list[tuple[str, str]]]:
    """The primitives that oneDNN ran on each way, with the names of their implementations."""
    command = [sys.executable, str(Path(__file__).with_name("kernel_routes.py")), *arguments]
    environment = os.environ | {"ONEDNN_VERBOSE": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    steps: dict[str, list[tuple[str, str]]] = {}
    way = ""
    for line in done.stdout.splitlines():
        if line.startswith("WAY "):
            way = line.removeprefix("WAY ")
            steps[way] = []
        parts = line.split(",")
        if parts[0] == "onednn_verbose" and "exec" in parts:
            primitive, implementation = parts[parts.index("exec") + 2 :][:2]
            steps[way].append((primitive, implementation))
    return steps


def is_reference(implementation: str) -> bool:
    return "ref" in implementation.replace("_", ":").split(":")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("arguments", [(), ("0",)], ids=["as chosen", "small products, too"])
def test_no_way_ends_in_reference_code(arguments):
    steps = steps_of(*arguments)
    wrong = [(way, step) for way, found in steps.items() for step in found if is_reference(step[1])]
    assert not wrong
    assert len(steps) > 60
    if onednn.available():
        assert any(primitive == "inner_product" for primitive, _ in steps["v3 optimize float32 65"])
        if onednn.beats_mkl() and arguments:  # as chosen, only larger products are oneDNN's
            assert any(primitive == "inner_product" for primitive, _ in steps["v3 sdpa 65"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ref:any", True), ("ref_int8:any", True), ("brg_matmul:avx512_core", False), ("jit:uni", False)],
)
def test_reference_code_is_recognised(name, expected):
    assert is_reference(name) == expected
