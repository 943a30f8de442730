"""Stops a process at each of its calls that change files, and makes such calls fail."""

import builtins
import contextlib
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from deberta_core import DebertaError, file_system

CHANGING = ("open", "mkdir", "rename", "replace", "link", "symlink", "unlink", "rmdir", "chmod", "fsync")  # of `os`
GROWING = ("mkdir", "link", "symlink", "write", "create")  # what needs room on the disk


class Killed(BaseException):
    """Ends a process as SIGKILL does: whatever it tries to do then is not done."""


class Calls:
    """Counts calls, and lets those from a number on fail.

    Args:
        stop_at: the number of the first call that fails, from 1; None: none does.
        error: what it raises: `Killed`, for all calls from then on, or an `OSError` with a number of the system, for
            all that need room (ENOSPC), all that change anything (EROFS), or for this call alone (others).
    """

    def __init__(self, stop_at: int | None, error: int | None = None) -> None:
        self.stop_at, self.error, self.names = stop_at, error, []

    @property
    def has_stopped(self) -> bool:
        return self.stop_at is not None and len(self.names) >= self.stop_at

    def count(self, name: str) -> None:
        if self.error == errno.ENOSPC and name not in GROWING:
            return
        self.names.append(name)
        if not self.has_stopped:
            return
        if self.error is None:
            raise Killed
        if self.error in (errno.ENOSPC, errno.EROFS) or len(self.names) == self.stop_at:
            raise OSError(self.error, os.strerror(self.error))

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name != "open" or (arguments[1] if len(arguments) > 1 else 0) & (os.O_WRONLY | os.O_RDWR):
                self.count(name)
            return real(*arguments, **options)

        return call

    def opened(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            changes = isinstance(file, str | bytes | os.PathLike) and not {*"wax+"}.isdisjoint(mode)
            if not changes:
                return real(file, mode, *arguments, **options)
            self.count("create")
            stream = real(file, mode, *arguments, **options)
            return _Writer(stream, self)

        return call


class _Writer:
    """An open file; a write that is stopped leaves half of what it was given."""

    def __init__(self, stream: Any, calls: Calls) -> None:
        self._stream, self._calls = stream, calls

    def write(self, data: Any) -> int:
        try:
            self._calls.count("write")
        except BaseException:
            part = data if isinstance(data, str) else bytes(data)
            self._stream.write(part[: len(part) // 2])
            raise
        written: int = self._stream.write(data)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.close()


@contextlib.contextmanager
def stopping(stop_at: int | None, error: int | None = None, *, exchange: bool = True) -> Iterator[Calls]:
    """Counts the calls that change files, and stops at one of them.

    Args:
        stop_at: see `Calls`.
        error: likewise.
        exchange: whether the system has `renameat2`.
    """
    calls = Calls(stop_at, error)
    with contextlib.ExitStack() as stack:
        for name in CHANGING:
            stack.enter_context(mock.patch.object(os, name, calls.wrapped(name, getattr(os, name))))
        for module in (builtins, io):
            stack.enter_context(mock.patch.object(module, "open", calls.opened(io.open)))
        real = file_system._renameat2
        chosen = calls.wrapped("renameat2", real) if exchange and real is not None else None
        stack.enter_context(mock.patch.object(file_system, "_renameat2", chosen))
        yield calls


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too; and empty folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"(folder)"
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def stop_everywhere(
    folder: Path,
    old: Path | None,
    save: Callable[[Path], object],
    load: Callable[[Path], object],
    error: int | None = None,
    *,
    exchange: bool = True,
    every: int = 1,
    inside: bool = False,
) -> int:
    """Saves once for each call at which it may be stopped, over a copy of an old state.

    Asserts that the target, as `load` has it, is then wholly old or wholly new, and new where nothing was raised; that
    an error of the system is one of ours with its number; and that after the next save there is nothing but the new.

    Args:
        folder: a folder for all of it, which is emptied.
        old: what is there before; None: nothing.
        save: saves into a folder.
        load: what is in a folder, in a form that can be compared; an error of ours where nothing is.
        error: of the system, at the call; None: the process is killed.
        exchange: whether the system has `renameat2`.
        every: 1: all points, 2: every second ...
        inside: whether staging folders cannot be made beside the target, as for a mount point.

    Returns:
        the number of points.
    """
    target = folder / "target"

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if old is not None:
            shutil.copytree(old, target)

    with _only_inside(target, inside):
        prepare()
        before, raw = (load(target), content(target)) if old is not None else (None, None)
        with stopping(None, error, exchange=exchange) as calls:
            save(target)
        after, files = load(target), content(folder)
        assert before != after
        total, seen = len(calls.names), set()
        for point in range(1, total + 1, every):
            prepare()
            with stopping(point, error, exchange=exchange) as calls:
                try:
                    save(target)
                    done = True
                except Killed:
                    done = False
                except DebertaError as problem:
                    if problem.errno != error:
                        raise
                    done = False
            where = f"point {point} of {total}, {calls.names[-3:]}"
            if exchange and not inside:  # whoever reads: without a journal there is nothing to complete
                there = {name: data for name, data in content(target).items() if not name.startswith(".deberta-")}
                assert (there if target.exists() else None) in (raw, _in_target(files)), where
            found = load(target) if target.exists() else None
            assert found in ((after,) if done else (before, after)), where
            seen.add(found == after)
            if error is not None and found == before:
                left = [name for name in content(folder) if ".deberta-" in name]
                assert not left or error == errno.EROFS, (where, left)
            save(target)
            assert load(target) == after, where
            assert content(folder) == files, (where, sorted(content(folder)))
    return -(-total // every)


def _in_target(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix("target/"): data for name, data in files.items()}


@contextlib.contextmanager
def _only_inside(target: Path, inside: bool) -> Iterator[None]:
    """As if nothing could be made or moved in the target's parent."""
    real = os.mkdir

    def mkdir(path: Any, *arguments: Any, **options: Any) -> None:
        if inside and Path(path).parent == target.parent and Path(path) != target:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        real(path, *arguments, **options)

    with mock.patch.object(os, "mkdir", mkdir):
        yield
