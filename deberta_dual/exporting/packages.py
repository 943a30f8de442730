"""The packages that exports need: whether they are there, and new enough."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from typing import Any

from deberta_core.errors import InputError

# The oldest versions that know the operators of our graphs; the extras of pyproject.toml ask for the same.
OLDEST = {"onnx": "1.16", "onnxruntime": "1.18", "openvino": "2025.0"}


def check_package(package: str, extra: str) -> None:
    """Refuses where a package is missing or too old, before anything is imported or written.

    Raises:
        InputError: with the line for pip.
    """
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{package} is not installed. Use pip install 'deberta-dual[{extra}]'.")
    if package in OLDEST and (found := _version(package)) and _numbers(found) < _numbers(OLDEST[package]):
        raise InputError(
            f"{package} {found} is too old: {OLDEST[package]} is needed. "
            f"Use pip install --upgrade 'deberta-dual[{extra}]'."
        )


def needed(package: str, extra: str) -> Any:
    """A package that an extra installs.

    Raises:
        InputError: it is not installed, or too old; the message has the line for pip.
    """
    check_package(package, extra)
    return importlib.import_module(package)


def _version(package: str) -> str | None:
    """Nothing where the package is there under the name of another distribution, such as onnxruntime-gpu."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:2]]
