"""The header and the closing table of a conformance run."""

from __future__ import annotations

import os
from typing import Any

from conformance.suite.report import MEASUREMENTS, rows, table, versions

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_report_header() -> str:
    """Names what is compared."""
    return f"conformance: {', '.join(f'{name} {version}' for name, version in versions().items())}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the errors against the float64 reference, per case."""
    if MEASUREMENTS:
        terminalreporter.section("float32 error against the float64 reference, relative to the output's scale")
        for line in table(rows(MEASUREMENTS)):
            terminalreporter.write_line(line)
