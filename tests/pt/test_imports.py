"""What importing the package loads."""

import subprocess
import sys

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


def test_every_public_name_is_there():
    import deberta_torch

    assert sorted(deberta_torch.__all__) == deberta_torch.__all__
    assert all(hasattr(deberta_torch, name) for name in deberta_torch.__all__)
