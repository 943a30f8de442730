"""The line that a client prints."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence


def report(client: str, checks: Sequence[str], takes: str = "the model", package: str | None = None) -> None:
    """Prints what was checked, as `python -m tools.clients` reads it.

    Args:
        client: what was used with ours.
        checks: what was seen to work.
        takes: what the client is given.
        package: whose version it is; None: that of `client`.
    """
    version = importlib.metadata.version(package or client)
    row = {"client": client, "version": version, "takes": takes, "checks": [one.removesuffix(".") for one in checks]}
    print(json.dumps(row), flush=True)
