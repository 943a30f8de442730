"""Conversion of a checkpoint between formats, beside `cp` and transformers."""

from __future__ import annotations

from typing import Any

from tools.benchmark.conversion import measure as convert
from tools.benchmark.conversion import show
from tools.benchmark.session import Row, Session

PRESET, QUICK_PRESET = "deberta-v3-base", "deberta-v3-xsmall"
FORMATS = ("h5", "keras", "bin")


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """What was converted, and rows as `tools.benchmark.conversion` gives them."""
    preset = QUICK_PRESET if session.only_first else PRESET
    formats = session.cells(FORMATS)
    return convert(preset, formats, session.pythons.get("transformers4"), session.folder, show)
