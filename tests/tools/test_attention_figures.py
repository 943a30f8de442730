"""The figures of `docs/attention.md`: what they show is the reference's, and the script writes them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.attention_figures import FOLDER, SENTENCE, parts_of_a_head

ROOT = Path(__file__).parents[2]


def test_each_term_says_what_the_page_says():
    parts = parts_of_a_head()
    words = np.array(SENTENCE)
    assert np.array_equal(parts["content"], parts["content"].T)
    asking, asked = np.nonzero(parts["c2p"])
    assert set(words[asking]) == {"the", "a"}
    assert set(asking - asked) == {-1, -2}
    seeing, seen = np.nonzero(parts["p2c"])
    assert set(words[seen]) == {"chased", "ran"}
    assert set(seeing - seen) == {-2, -1, 1}
    assert np.array_equal(parts["sum"], parts["content"] + parts["c2p"] + parts["p2c"])


def test_the_script_writes_the_figures_of_the_page(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    command = [sys.executable, "-m", "tools.attention_figures", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "attention.md").read_text(encoding="utf-8")
    names = re.findall(r"\]\(images/([\w.-]+)\)", page)
    assert sorted(names) == sorted(file.name for file in tmp_path.iterdir())
    for name in names:
        kept, written = ((folder / name).read_bytes() for folder in (FOLDER, tmp_path))
        if f"Matplotlib v{matplotlib.__version__}".encode() in kept:  # others draw the same a little differently
            assert kept == written, f"{name} is not what the script draws: run python -m tools.attention_figures"
