"""Reading and writing small files and whole folders so that nothing half-written is left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Writes `text` as UTF-8 to a temporary file beside `file` and renames it, so that `file` is whole or untouched."""
    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return file


@contextmanager
def atomic_file(file: Path) -> Iterator[Path]:
    """Gives a temporary path beside `file`, renamed to it at the end, removed on any error."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.unlink()  # ext4 waits for the disk when a file that was emptied is closed, not with a new one
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path, *, force: bool, error: type[DebertaError]) -> Iterator[Path]:
    """Gives a temporary folder beside `folder`, renamed to it at the end, removed on any error.

    Args:
        folder: the folder to make.
        force: whether an existing one is replaced.
        error: the type raised.

    Raises:
        error: `folder` exists and `force` is false, or its parent cannot be written.
    """
    if folder.exists() and not force:
        raise error(f"{folder} exists already. Choose another name, or pass --force to replace it.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as problem:
        raise error(f"{folder} cannot be made: {problem}. Choose a place that can be written.") from problem
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        if folder.exists():
            _swap(folder, temporary)
        else:
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(folder: Path, new: Path) -> None:
    """Puts `new` in the place of `folder`, which is back there if that fails."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    old = aside / folder.name
    try:
        folder.replace(old)
        new.replace(folder)
    except BaseException:
        if old.exists():
            old.replace(folder)  # if even this fails, the old folder stays where it is and nothing is lost
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
