"""The page that shows an explanation: for a server, which answers what it asks, or as a file by itself."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from deberta_dual.explaining.explanation import Explanation

_EMPTY = '<script id="data" type="application/json">null</script>'
# What is put in the place of its name, so that the page is one file: the style, and two parts of the script.
_PIECES = ("page.css", "page.js", "page_charts.js")
# Tables of a number for each pair of tokens: a file has them in whole units of the last decimal that the page shows,
# half as long as JSON's fractions.
_TABLES = ("content", "c2p", "p2c", "scores", "probabilities", "c2p_by_distance", "p2c_by_distance")
_DECIMALS = 4


def page() -> str:
    """The page for a server with the routes `/info` and `/explain`."""
    text = _read("page.html")
    for piece in _PIECES:
        text = text.replace(f"/* {piece} */", _read(piece))
    return text


def page_of(explanation: Explanation, text: str, text_pair: str | None = None) -> str:
    """The page of one explanation, which needs no server.

    Args:
        explanation: what it shows.
        text: what was explained.
        text_pair: the second text, if there was one.
    """
    found = explanation.to_dict()
    found |= {name: _whole(found[name]) for name in _TABLES}
    content = {"texts": [text, text_pair], "explanation": found, "tables": _TABLES, "unit": 10**_DECIMALS}
    # "</script>" inside a text would end the element, so no "<" is left.
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return page().replace(_EMPTY, _EMPTY.replace("null", data))


def _whole(table: Any) -> list[list[int]] | None:
    return table and [[round(round(value, _DECIMALS) * 10**_DECIMALS) for value in row] for row in table]


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
