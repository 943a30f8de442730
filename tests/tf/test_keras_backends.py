"""Keras on PyTorch and on JAX: the goldens, their gradients, and `fit`, `predict` and saving, in fresh processes."""

import re

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_backend(run_script, backend):
    pytest.importorskip(backend)
    done = run_script("backend_process.py", backend, backend=backend)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.fullmatch(r"[1-9]\d* goldens, [1-9]\d* with gradients, trained and saved\n", done.stdout)
