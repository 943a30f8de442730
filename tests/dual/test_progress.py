import io

import pytest

from deberta_dual import progress
from deberta_dual.progress import ByteProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_a_bar_that_goes_away(monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0)
    stream = Terminal()
    with ByteProgress(2_000_000_000, stream) as bar:
        bar.advance(1_000_000_000)
        bar.advance(5_000_000_000)
    pictures = stream.getvalue().split("\r")[1:]
    assert pictures[0] == f"[{'#' * 15}{' ' * 15}]  50% of 2.00 GB"
    assert pictures[1] == f"[{'#' * 30}] 100% of 2.00 GB"
    assert pictures[-1] == "\x1b[K"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_nothing_is_left_of_nothing(stream):
    """A file gets no pictures, and a conversion of no bytes none either."""
    with ByteProgress(0, stream) as bar:
        if not stream.isatty():
            bar.advance(3)
    assert stream.getvalue() == ""
