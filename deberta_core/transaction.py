"""Saving as one: what a save replaces is wholly old or wholly new, whenever the process or the machine stops.

New files are written into a staging folder, reach the disk, and then take their place in one step:

* a new folder by a rename that replaces nothing;
* else by exchanging the folder with its successor, to which the files that stay are linked (Linux);
* where that is not possible (another system, a mount point, a parent that cannot be written, subfolders that stay, our
  own working folder) by moving the staging folder into the folder, as a journal. From then on the save counts as done:
  `settle`, which every reader and every save calls, moves its files to their places.

A staging folder has one exact name for each target and is locked by its process, so that what a killed one left is
known as such, and taken up or cleared by the next save.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deberta_core.errors import DebertaError
from deberta_core.file_system import sync, sync_tree
from deberta_core.staging import STAGING, Staging, complete, is_staging, places

Names = Callable[[Path], Iterable[str]]


def _no_names(folder: Path) -> Iterable[str]:
    return ()


@contextmanager
def replace_files(folder: str | Path, error: type[DebertaError], stale: Names = _no_names) -> Iterator[Path]:
    """Gives an empty folder; what is written there replaces the files of the same names in `folder`, all as one.

    Within another save (in the folder that one gave) nothing more is needed: that folder itself is given.

    Args:
        folder: the folder to write into, made if need be; all its other files stay.
        error: the type raised.
        stale: the names in `folder` that go too, since an older save of the same kind left them.

    Raises:
        error: something cannot be written (its `errno` is the system's); `folder` is as it was.
    """
    target = Path(os.path.realpath(folder))
    if is_staging(target):
        yield target
        return
    with _staged(target, folder, error) as staging:
        yield staging.new
        staging.commit({*stale(target)} if target.exists() else set(), may_exist=True)


@contextmanager
def replace_folder(folder: str | Path, error: type[DebertaError], *, force: bool) -> Iterator[Path]:
    """Gives an empty folder, which takes the place of `folder` at the end.

    Args:
        folder: the folder to make.
        error: the type raised.
        force: whether what is in `folder` now goes; what others put there meanwhile stays.

    Raises:
        error: `folder` exists, now or at the end, and `force` is false; or something cannot be written.
    """
    target = Path(os.path.realpath(folder))
    exists = error(f"{folder} exists already. Choose another name, or pass --force to replace it.")
    if target.exists() and not force:
        raise exists
    with _staged(target, folder, error) as staging:
        old = {path.name for path in target.iterdir()} - {STAGING} if target.exists() else set()
        yield staging.new
        try:
            staging.commit(old, may_exist=force)
        except FileExistsError:
            raise exists from None


@contextmanager
def replace_file(file: Path, error: type[DebertaError]) -> Iterator[Path]:
    """Gives the path of a file to write, which takes the place of `file` at the end; a device is written directly.

    Raises:
        error: it cannot be written; `file` is as it was.
    """
    target = Path(os.path.realpath(file))
    if target.exists() and not target.is_file():
        yield file
        return
    with _staged(target, file, error, is_file=True) as staging:
        new = staging.new / target.name
        yield new
        sync_tree(staging.new)
        new.replace(target)
        sync(target.parent)


def settle(folder: Path, error: type[DebertaError]) -> None:
    """Completes a save that stopped while its files went to their places; waits for one that is under way.

    Raises:
        error: it cannot be completed, as when `folder` cannot be written.
    """
    try:
        complete(folder)
    except OSError as problem:
        what = f"{folder} holds a save that was stopped, and it cannot be completed"
        raise _failed(error, what, problem) from problem


def clear_leftovers(folder: Path, error: type[DebertaError]) -> None:
    """Completes or removes what killed saves left in and beside a folder, as the next save would.

    Raises:
        error: it cannot be done.
    """
    settle(folder, error)
    target = Path(os.path.realpath(folder))
    if any(map(os.path.lexists, places(target))):
        with _staged(target, folder, error):
            pass


@contextmanager
def _staged(target: Path, shown: str | Path, error: type[DebertaError], *, is_file: bool = False) -> Iterator[Staging]:
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        if not is_file and target.exists():
            settle(target, error)
            if not target.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(shown))
            if not os.access(target, os.W_OK):  # it could be exchanged all the same
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(shown))
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Staging(target)
    except OSError as problem:
        _remove_empty(made)
        raise _failed(error, f"{shown} cannot be made", problem) from problem
    try:
        yield staging
    except OSError as problem:
        raise _failed(error, f"{shown} cannot be written", problem) from problem
    finally:
        staging.close()
        _remove_empty(made)


def _failed(error: type[DebertaError], what: str, problem: OSError) -> DebertaError:
    failed = error(f"{what}: {problem}. Choose a place that can be written and has room.")
    failed.errno = problem.errno
    return failed


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
