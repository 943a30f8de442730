"""The memory of `deberta run` does not grow with its input; the tool does the same with a million lines."""

from pathlib import Path

import pytest

from tools.benchmark.many_lines import measure


def test_memory_stays_the_same(tmp_path):
    pytest.importorskip("torch")
    if not Path("/proc/self/statm").exists():
        pytest.skip("there is no /proc")
    found = measure(tmp_path, 4_000, "torch")
    assert found["lines"] == 4_000
    assert found["MB"][-1] - found["MB"][4] < 10  # of some 320; it has its buffers by then
