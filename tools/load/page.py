"""The numbers of `docs/serving.md`: kept in `docs/serving.json`, written as tables between two marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.load.texts import ROOT

JSON = ROOT / "docs/serving.json"


def put(file: Path, name: str, found: Any) -> None:
    """Keeps what a run found under its name, beside what others did."""
    content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    content[name] = found
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
