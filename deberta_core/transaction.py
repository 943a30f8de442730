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
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deberta_core.errors import DebertaError
from deberta_core.file_system import EXCHANGE, NO_REPLACE, lock_folder, rename, sync, sync_tree, unlock
from deberta_core.files import is_plain_name

STAGING = ".deberta-save"  # inside its target; beside it, after a dot and the target's name
JOURNAL = ".deberta-journal"  # inside its target
_NEW, _PLAN = "new", "plan.json"

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
    if target.name == _NEW and target.parent.name.endswith(STAGING):
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
    journal = folder / JOURNAL
    try:
        if os.path.lexists(journal) and (lock := lock_folder(journal)) is not None:
            try:
                _complete(journal, folder)
            finally:
                unlock(lock)
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
    if any(map(os.path.lexists, _places(target))):
        with _staged(target, folder, error):
            pass


class _Staging:
    """A locked staging folder, and the empty folder `new` in it, for what will be in `target`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.place, self._lock = _open(target)
        self.new = self.place / _NEW
        try:
            self.new.mkdir()  # nobody else can enter its parent; itself it has the usual permissions
        except BaseException:
            self.close()
            raise

    def commit(self, stale: set[str], *, may_exist: bool) -> None:
        """Puts `new` in the place of the target, or its files in the place of the target's, and removes `stale` ones.

        Raises:
            FileExistsError: there is a target, and `may_exist` is false.
            OSError: something cannot be written; the target is as it was.
        """
        sync_tree(self.new)
        if not (may_exist and self.target.exists()):
            try:
                rename(self.new, self.target, NO_REPLACE)
                return sync(self.target.parent)
            except FileExistsError:
                if not may_exist:
                    raise
        put = {path.name for path in self.new.iterdir()}
        plan = {"number": self.new.stat().st_ino, "put": sorted(put), "stale": sorted(stale - put)}
        (self.place / _PLAN).write_text(json.dumps(plan), encoding="utf-8")
        sync(self.place / _PLAN)
        sync(self.place)
        if self.place.parent == self.target or not _exchange(self.new, self.target, put | stale):
            settle(self.target, DebertaError)
            self.place = self.place.rename(self.target / JOURNAL)  # from here on the save counts as done
            sync(self.target)
            _complete(self.place, self.target)

    def close(self) -> None:
        """Removes the staging folder, which after an exchange holds the old state."""
        try:
            if self.place.name != JOURNAL:
                with contextlib.suppress(OSError):  # then the next save clears it
                    _clear(self.place, self.target)
                    self.place.rmdir()
        finally:
            unlock(self._lock)


@contextmanager
def _staged(target: Path, shown: str | Path, error: type[DebertaError], *, is_file: bool = False) -> Iterator[_Staging]:
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        if not is_file and target.exists():
            settle(target, error)
            if not target.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(shown))
            if not os.access(target, os.W_OK):  # it could be exchanged all the same
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(shown))
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = _Staging(target)
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


def _open(target: Path) -> tuple[Path, int]:
    """Makes the staging folder beside the target, or in it where that is not possible; and its lock."""
    beside, inside = _places(target)
    try:
        lock = _claim(beside, target)
        try:
            if target.is_dir():  # only moving something tells whether they are on one file system and mount
                beside.rename(inside).rename(beside)
            return beside, lock
        except BaseException:
            try:
                beside.rmdir()
            finally:
                unlock(lock)
            raise
    except OSError:
        if not target.is_dir():
            raise
    return inside, _claim(inside, target)


def _places(target: Path) -> tuple[Path, Path]:
    return target.parent / f".{target.name}{STAGING}", target / STAGING


def _claim(place: Path, target: Path) -> int:
    """Makes an empty staging folder and locks it; takes over that of a killed process, and waits for a live one."""
    lock = None
    while lock is None:
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
        lock = lock_folder(place)
    try:
        _clear(place, target)
    except BaseException:
        unlock(lock)
        raise
    return lock


def _clear(place: Path, target: Path) -> None:
    """Empties a staging folder; what others had put into the target before it was exchanged moves on to the new one."""
    new = place / _NEW
    if os.path.lexists(place / _PLAN) and os.path.lexists(new):
        try:
            number, put, stale = _read_plan(place)
        except ValueError:  # cut off, so nothing was exchanged yet
            number, put, stale = new.lstat().st_ino, set(), set()
        for path in [*new.iterdir()] if new.lstat().st_ino != number else ():
            now = target / path.name
            is_linked = os.path.lexists(now) and os.path.samestat(path.lstat(), now.lstat())
            if path.name not in put | stale and not is_linked:
                path.replace(now)
    for path in [*place.iterdir()]:
        _remove(path)


def _complete(journal: Path, target: Path) -> None:
    """Moves the files of a journal to their places; each step may be done again after a stop."""
    if os.path.lexists(journal / _PLAN):
        try:
            _, put, stale = _read_plan(journal)
        except ValueError as problem:
            raise OSError(errno.EINVAL, f"{problem}", str(journal / _PLAN)) from None
        for name in stale - put:
            _remove(target / name)
        for name in put:
            if os.path.lexists(journal / _NEW / name):
                if (target / name).is_dir():
                    _remove(target / name)
                (journal / _NEW / name).replace(target / name)
        sync(target)
        (journal / _PLAN).unlink()
    _remove(journal)


def _read_plan(place: Path) -> tuple[int, set[str], set[str]]:
    """The number of the new folder, the names that come from it, and those that go.

    Raises:
        ValueError: the plan is damaged, or names places outside.
    """
    try:
        plan = json.loads((place / _PLAN).read_text(encoding="utf-8"))
        number, put, stale = plan["number"], {*plan["put"]}, {*plan["stale"]}
        if all(is_plain_name(name) for name in put | stale) and not (place / _NEW).is_symlink():
            return number, put, stale
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ValueError("it is no plan of a save")


def _remove(path: Path) -> None:
    """Removes a file, or a folder with all in it; nothing, where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _exchange(new: Path, target: Path, own: set[str]) -> bool:
    """Exchanges two folders, the files that stay linked into the new one; False where that is not possible."""
    links: list[Path] = []
    try:
        there, here = target.stat(), new.stat()
        if (there.st_uid, there.st_gid) != (here.st_uid, here.st_gid) or _is_bound(target):
            return False
        for entry in os.scandir(target):
            if entry.name not in own:
                os.link(entry.path, new / entry.name, follow_symlinks=False)  # fails for a folder
                links.append(new / entry.name)
        new.chmod(stat.S_IMODE(there.st_mode))
        sync(new)
        rename(new, target, EXCHANGE)
    except OSError:
        for link in links:
            link.unlink()
        return False
    sync(target.parent)
    return True


def _is_bound(folder: Path) -> bool:
    """Whether another folder of the same name is not the same: we work in it, or it has marks such as access lists."""
    with contextlib.suppress(OSError):
        if folder.samefile(Path.cwd()):
            return True
    marks = os.listxattr(folder) if hasattr(os, "listxattr") else []
    return any(mark.startswith(("system.", "user.")) for mark in marks)
