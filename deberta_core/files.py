"""Small files, and the names of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deberta_core.errors import DebertaError


def read_json(file: Path, error: type[DebertaError], hint: str) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        file: the file.
        error: the type raised.
        hint: a sentence saying what should be there.

    Raises:
        error: the file is missing, unreadable, not JSON or not an object; the message ends with `hint`.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False).encode()  # a lone surrogate could not be written again
    except FileNotFoundError:
        raise error(f"{file} does not exist. {hint}") from None
    except (OSError, ValueError, RecursionError) as problem:  # also numbers of thousands of digits
        raise error(f"{file} cannot be read as JSON: {problem}. {hint}") from problem
    if not isinstance(content, dict):
        raise error(f"{file} holds a JSON {type(content).__name__}, not an object. {hint}")
    return content


def write_text(file: Path, text: str) -> Path:
    """Writes `text` as UTF-8, with the line ends it has."""
    file.write_text(text, encoding="utf-8", newline="")
    return file


def is_plain_name(name: object) -> bool:
    """Whether a text names a file in a folder, and no place elsewhere."""
    return isinstance(name, str) and name not in ("", ".", "..") and not {"/", "\\", "\0"} & {*name}
