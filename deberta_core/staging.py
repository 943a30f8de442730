"""Staging folders: where a save writes, how its files come to their places, and what a killed one left.

A staging folder holds the folder `new` and, once that is complete, a plan. Others cannot enter it, and its process has
it locked. Moved into its target it is a journal, which anybody who may write there completes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
from pathlib import Path

from deberta_core.file_system import EXCHANGE, NO_REPLACE, lock_folder, rename, sync, sync_tree, unlock
from deberta_core.files import is_plain_name

STAGING = ".deberta-save"  # inside its target; beside it, after a dot and the target's name
JOURNAL = ".deberta-journal"  # inside its target
_NEW, _PLAN = "new", "plan.json"


class Staging:
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
            complete(self.target)
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


def is_staging(folder: Path) -> bool:
    """Whether a folder is one that a save gave to be written into."""
    return folder.name == _NEW and folder.parent.name.endswith(STAGING)


def places(target: Path) -> tuple[Path, Path]:
    """The staging folders of a target: beside it, and in it."""
    return target.parent / f".{target.name}{STAGING}", target / STAGING


def complete(target: Path) -> None:
    """Completes the journal in a folder, if there is one; waits for a save that is doing it.

    Raises:
        OSError: it cannot be completed.
    """
    journal = target / JOURNAL
    if os.path.lexists(journal) and (lock := lock_folder(journal)) is not None:
        try:
            _complete(journal, target)
        finally:
            unlock(lock)


def _open(target: Path) -> tuple[Path, int]:
    """Makes the staging folder beside the target, or in it where that is not possible; and its lock."""
    beside, inside = places(target)
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
