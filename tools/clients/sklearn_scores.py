"""scikit-learn: `cross_val_score` and `GridSearchCV` over the wrapper that docs/clients.md shows."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from deberta_torch import as_transformers
from tools.clients.tiny import make, report

ENVIRONMENTS = ("hf5",)
PAGE = Path(__file__).parents[2] / "docs" / "clients.md"


def wrapper() -> Any:
    """The class, from the page."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert code, "docs/clients.md shows no wrapper"
    place: dict[str, Any] = {}
    exec(code[1], place)
    return place["Classifier"]
