"""Notices what a reader does beyond reading its folder, what an input costs, and what it ended with."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deberta_core.errors import DebertaError

ROOT = Path(__file__).resolve().parents[2]
# Events of Python's audit hooks that reading a file never needs.
_FORBIDDEN = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *("socket.connect", "socket.bind", "socket.sendto", "pickle.find_class", "os.putenv", "os.kill", "webbrowser.open"),
)
# Those that change something: for each path among the arguments, its place, and that of the folder it starts from.
_CHANGING = {
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.truncate": ((0, 0),),
}
# Where Python and its packages lie, which may be read at any time.
_READABLE = (sys.prefix, sys.base_prefix, str(ROOT), "/proc/", "/sys/", "/dev/null", "/dev/urandom", "/usr/", "/lib")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an input.

    Attributes:
        kind: "read" or "refused"; or a failure: "crash", "hang", "memory", "effect" or "exception".
        place: where in the project, or what was done; inputs of the same kind and place count as one.
        detail: for a person.
        seconds: it took.
        mebibytes: of memory it took at most, beyond what was there.
    """

    kind: str
    place: str = ""
    detail: str = ""
    seconds: float = 0.0
    mebibytes: float = 0.0

    @property
    def is_failure(self) -> bool:
        """Whether it is something no file may bring about."""
        return self.kind not in ("read", "refused")


class Watch:
    """An audit hook, of which a process has one, since no hook can be taken away."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._effect = ""
        sys.addaudithook(self._see)

    def run(self, read: Callable[[], object], folder: Path) -> Result:
        """Reads; only `folder` may be written to."""
        before = _reset_peak()
        self._folder, self._effect, start = os.path.realpath(folder), "", time.perf_counter()
        try:
            read()
            result = Result("read")
        except BaseException as error:
            self._folder = None
            result = _judged(error)
        self._folder = None
        if self._effect:
            result = Result("effect", self._effect.split()[0], self._effect)
        cost = max(0.0, (_status("VmHWM") - before) / 1024)
        return Result(result.kind, result.place, result.detail, time.perf_counter() - start, cost)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._folder is None:
            return
        if event in _FORBIDDEN:
            self._effect = f"{event} {arguments!r:.300}"
        elif event == "open":
            path, _, flags = arguments
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else False
            # Python does not tell what a relative path starts from; the worker looks into its own folder itself.
            if isinstance(path, str | bytes) and os.fsdecode(path).startswith(("/", "..")):
                self._check(event, path, -1, writes)
        for place, base in _CHANGING.get(event, ()):
            self._check(event, arguments[place], arguments[base], True)

    def _check(self, event: str, path: Any, base: Any, writes: bool) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # the number of an open file
        folder, self._folder = self._folder, None  # what is done here is not the reader's
        start = Path(f"/proc/self/fd/{base}" if isinstance(base, int) and base >= 0 else os.curdir)
        place = os.path.realpath(start / os.fsdecode(path))
        self._folder = folder
        is_inside = place == folder or place.startswith(f"{folder}{os.sep}")
        if not is_inside and (writes or not place.startswith(_READABLE)):
            self._effect = f"{event} {place}"


def _judged(error: BaseException) -> Result:
    kind = "refused" if isinstance(error, DebertaError) else "exception"
    detail = f"{type(error).__name__}: {error!s:.600}"
    if any(isinstance(part, MemoryError) for part in _chain(error)):
        kind = "memory"
    if kind != "refused":
        detail = "".join(traceback.format_exception(error))[-4000:]
    return Result(kind, f"{type(error).__name__} at {_place(error)}", detail)


def _place(error: BaseException) -> str:
    """The innermost line of the project."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(f"{ROOT}{os.sep}")]
    inner = [frame for frame in own if f"{os.sep}fuzz{os.sep}" not in frame.filename] or own
    return f"{Path(inner[-1].filename).relative_to(ROOT).as_posix()}:{inner[-1].lineno}" if inner else "no line of ours"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _reset_peak() -> int:
    """Starts to measure the process's peak of memory anew, where the system can; what it has now, in KiB."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _status("VmHWM")
    return _status("VmRSS")


def _status(name: str) -> int:
    """A number of the process's status, in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def address_space() -> int:
    """Bytes of address space the process has."""
    return _status("VmSize") * 1024
