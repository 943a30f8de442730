"""The tables of `docs/gpu.md` are those that `tools/gpu/page.py` writes."""

import json
from pathlib import Path

from tools.gpu.page import written

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_as_its_tool_writes_it():
    page = (DOCS / "gpu.md").read_text(encoding="utf-8")
    runs = json.loads((DOCS / "gpu.json").read_text(encoding="utf-8"))["runs"]
    assert written(page, runs) == page
    assert "not measured" in page
    assert written(page, runs[:1]) != page
