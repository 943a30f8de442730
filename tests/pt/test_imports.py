"""What importing the package loads."""

import subprocess
import sys

import pytest
import torch

import deberta_torch
from conformance.suite.cases import CASES

light = pytest.mark.skipif(torch.__version__ < "2.7", reason="torch.utils.checkpoint of torch 2.6 loads the compiler")

_LISTING = """
import sys
import deberta_torch
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_no_other_framework_is_loaded():
    listing = subprocess.run(
        [sys.executable, "-c", _LISTING], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"torch", "deberta_core", "deberta_torch"} <= set(listing)
    assert not {"tensorflow", "keras", "tf_keras", "jax", "deberta_tf", "transformers"} & set(listing)


_ADDED = """
import sys
import torch
before = set(sys.modules)
import deberta_torch
print(*{name.partition(".")[0] for name in sys.modules.keys() - before} - sys.stdlib_module_names)
"""


@light
def test_nothing_is_loaded_beyond_torch_and_our_own():
    """Neither what only files and tokenizers need, nor more of torch than `import torch` loads itself."""
    listing = subprocess.run([sys.executable, "-c", _ADDED], capture_output=True, text=True, check=True).stdout.split()
    assert set(listing) - {"numpy"} == {"deberta_core", "deberta_torch"}


def test_a_missing_torch_is_said_in_a_line():
    code = "import sys; sys.modules['torch'] = None; import deberta_torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *trace, message = done.stderr.splitlines()
    assert message == "ImportError: deberta_torch needs PyTorch. Install it with: pip install 'deberta-dual[torch]'"
    assert len(trace) <= 5
    assert done.returncode == 1


_ANSWERING = """
import sys
import torch
import deberta_torch
model = deberta_torch.optimize(deberta_torch.DebertaV2ForSequenceClassification.from_pretrained(sys.argv[1]))
with torch.no_grad():
    model(torch.ones(1, 5, dtype=torch.long))
print(*sys.modules)
"""


@light
def test_loading_and_answering_do_not_load_torchs_compiler(tmp_path):
    deberta_torch.DebertaV2ForSequenceClassification(CASES["v3_like"].config).save_pretrained(tmp_path)
    listing = subprocess.run(
        [sys.executable, "-c", _ANSWERING, tmp_path], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "deberta_torch.inference.optimize" in listing
    assert not {"torch._dynamo", "sympy"} & set(listing)  # two seconds, and one


def test_every_public_name_is_there():
    assert len(set(deberta_torch.__all__)) == len(deberta_torch.__all__)
    assert all(hasattr(deberta_torch, name) for name in deberta_torch.__all__)
