"""What `transaction` asks of the operating system beyond Python's own functions."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two saves into one folder at one time are not kept apart there
    fcntl = None  # type: ignore[assignment]

NO_REPLACE, EXCHANGE = 1, 2  # flags of Linux' renameat2
_HERE = -100  # paths are taken from the working folder
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
_NO_SUCH_CALL = (errno.ENOSYS, errno.EINVAL)  # of the kernel, or of the file system


def rename(old: Path, new: Path, flag: int) -> None:
    """Renames a folder: `NO_REPLACE` never over another, `EXCHANGE` with another, which gets the old name.

    Raises:
        FileExistsError: there is something under the new name, without `EXCHANGE`.
        OSError: it cannot be done; for `EXCHANGE` also since the system cannot.
    """
    number = errno.ENOSYS
    if _renameat2 is not None:
        if _renameat2(_HERE, os.fsencode(old), _HERE, os.fsencode(new), flag) == 0:
            return
        number = ctypes.get_errno()
    if flag == EXCHANGE or number not in _NO_SUCH_CALL:
        raise OSError(number, os.strerror(number), str(new))
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    old.rename(new)  # what comes between is replaced only if it is an empty folder


def sync(path: Path) -> None:
    """Waits until a file, or the list of names of a folder, is on the disk.

    Raises:
        OSError: it cannot be written there.
    """
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as problem:
        if not is_folder or problem.errno != errno.EINVAL:  # some file systems have no such thing for folders
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """`sync` for all files and folders in a folder, and itself."""
    for place, _, files in os.walk(folder, topdown=False):
        for path in (*(Path(place, name) for name in files), Path(place)):
            sync(path)


def lock_folder(folder: Path) -> int | None:
    """Locks a folder of ours, waiting for the process or thread that has it.

    Returns:
        what `unlock` takes; None if the folder is no longer there.

    Raises:
        OSError: it is no folder, or another user's.
    """
    try:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "geteuid") and found.st_uid != os.geteuid()):
            raise PermissionError(errno.EPERM, "not a folder of yours", str(folder))
        if fcntl is None:
            return -1
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.samestat(os.lstat(folder), os.fstat(handle)):
            return handle
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def unlock(lock: int) -> None:
    """Ends a lock of `lock_folder`."""
    if lock >= 0:
        os.close(lock)
