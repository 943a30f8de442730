"""Small files, and the names of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from deberta_core import limits
from deberta_core.errors import DebertaError, reason
from deberta_core.json_shape import ANY, Shape, parse_json


def read_json(file: Path, error: type[DebertaError], hint: str, shape: Shape = ANY) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        file: the file.
        error: the type raised.
        hint: a sentence saying what should be there.
        shape: what the object must be like.

    Raises:
        error: the file is missing, unreadable, too large, not JSON, not an object or of another shape; the message
            ends with `hint`.
    """
    text = read_content(file, error, hint, "as JSON")
    try:
        content = parse_json(text)
    except ValueError as problem:
        raise error(f"{file} cannot be read as JSON: {problem}. {hint}") from problem
    if not isinstance(content, dict):
        raise error(f"{file} holds a JSON {type(content).__name__}, not an object. {hint}")
    if found := shape(content):
        raise error(f"{found.describe(str(file))}. {hint}")
    return content


def read_content(file: Path, error: type[DebertaError], hint: str, kind: str = "") -> bytes:
    """Reads a JSON file or a vocabulary as a whole, if it is not too large for one.

    Raises:
        error: the file is missing, unreadable (as a `kind`) or too large; the message ends with `hint`.
    """
    most = limits.bound("text_bytes")
    with open_input(file, error, hint, kind=kind) as stream:
        size = os.fstat(stream.fileno()).st_size
        limits.check("text_bytes", size, f"{file} has", error)
        content: bytes = stream.read(size or most + 1)  # a device or a pipe has no size
    limits.check("text_bytes", len(content), f"{file} has", error)
    return content


def open_input(file: Path, error: type[DebertaError], hint: str, mode: str = "rb", kind: str = "", **how: Any) -> Any:
    """Opens a file that must be there.

    Args:
        file: the file.
        error: the type raised.
        hint: a sentence saying what to do.
        mode: as `open` takes it.
        kind: what it cannot be read as, such as "as JSON".
        how: arguments of `open`.

    Raises:
        error: the operating system refuses; the message ends with `hint`, and the number of its error is kept.
    """
    try:
        return file.open(mode, **how)
    except FileNotFoundError as problem:
        raise error(f"{file} does not exist. {hint}").caused_by(problem) from None
    except (OSError, ValueError) as problem:
        what = f"cannot be read {kind}".rstrip()
        raise error(f"{file} {what}: {reason(problem)}. {hint}").caused_by(problem) from problem


def write_text(file: Path, text: str) -> Path:
    """Writes `text` as UTF-8, with the line ends it has."""
    file.write_text(text, encoding="utf-8", newline="")
    return file


def is_plain_name(name: object) -> bool:
    """Whether a text names a file in a folder, and no place elsewhere."""
    return isinstance(name, str) and name not in ("", ".", "..") and not {"/", "\\", "\0"} & {*name}
