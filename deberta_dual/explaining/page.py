"""The page that shows an explanation: for a server, which answers what it asks, or as a file by itself."""

from __future__ import annotations

import json
from importlib.resources import files

from deberta_dual.explaining.explanation import Explanation

_EMPTY = '<script id="data" type="application/json">null</script>'


def page() -> str:
    """The page for a server with the routes `/info` and `/explain`."""
    return files(__package__).joinpath("page.html").read_text("utf-8")


def page_of(explanation: Explanation, text: str) -> str:
    """The page of one explanation, which needs no server.

    Args:
        explanation: what it shows.
        text: what was explained.
    """
    # "</script>" inside a text would end the element, so no "<" is left.
    data = json.dumps({"text": text, "explanation": explanation.to_dict()}).replace("<", "\\u003c")
    return page().replace(_EMPTY, _EMPTY.replace("null", data))
