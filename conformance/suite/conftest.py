"""The header and the closing table of a conformance run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from conformance.suite.report import MEASUREMENTS, table

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_report_header() -> str:
    """Names what is compared."""
    names = ("numpy", "torch", "tensorflow", "tensorflow-cpu", "keras")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"conformance: {', '.join(versions)}, {platform.machine()}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the errors against the float64 reference, per case."""
    if MEASUREMENTS:
        terminalreporter.section("float32 error against the float64 reference, relative to the output's scale")
        for line in table(MEASUREMENTS):
            terminalreporter.write_line(line)
