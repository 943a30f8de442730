"""Which version of this library it is."""

from __future__ import annotations

import importlib.metadata


def own_version() -> str:
    """The version of this library; "of no version" where it runs from its sources and was not installed."""
    try:
        return importlib.metadata.version("deberta-dual")
    except importlib.metadata.PackageNotFoundError:
        return "of no version"
