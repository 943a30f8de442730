"""Calls of an optimised model, and changes of its weights by other threads, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from deberta_torch.kernels.eager import is_traced


class WeightLock:
    """Any number of calls at a time, or one change; a change that waits goes before calls that come later.

    A thread may begin again what it has begun. A copy, or a pickle, is a lock of its own that is free.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._calls: dict[int, int] = {}  # thread -> how many of its calls are within one another
        self._changer: int | None = None
        self._changes = self._waiting = 0
        self._handles: list[Any] = []

    def guard(self, modules: list[nn.Module]) -> None:
        """Makes every call of these modules a call, and every `load_state_dict` a change."""
        for module in modules:
            self._handles += [
                module.register_forward_pre_hook(self.begin_call),
                module.register_forward_hook(self.end_call, always_call=True),
                module.register_load_state_dict_pre_hook(self.begin_change),
                module.register_load_state_dict_post_hook(self.end_change),
            ]

    def release(self) -> None:
        """Undoes `guard`."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def begin_call(self, *_: Any) -> None:
        """Waits for a change by another thread."""
        if is_traced():
            return
        thread = threading.get_ident()
        with self._turn:
            if thread not in self._calls and thread != self._changer:
                self._turn.wait_for(lambda: self._changer is None and not self._waiting)
            self._calls[thread] = self._calls.get(thread, 0) + 1

    def end_call(self, *_: Any) -> None:
        """Ends what the same thread began last."""
        if is_traced():
            return
        thread = threading.get_ident()
        with self._turn:
            if (left := self._calls.pop(thread, 0) - 1) > 0:
                self._calls[thread] = left
            self._turn.notify_all()

    def begin_change(self, *_: Any) -> None:
        """Waits for the calls and the change of other threads."""
        thread = threading.get_ident()
        with self._turn:
            if thread != self._changer:
                self._waiting += 1
                try:
                    self._turn.wait_for(lambda: self._changer is None and not self._calls.keys() - {thread})
                    self._changer = thread
                finally:
                    self._waiting -= 1
                    self._turn.notify_all()
            self._changes += 1

    def end_change(self, *_: Any) -> None:
        """Ends what the same thread began last."""
        with self._turn:
            self._changes -= 1
            if not self._changes:
                self._changer = None
                self._turn.notify_all()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """A call within."""
        self.begin_call()
        try:
            yield
        finally:
            self.end_call()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A change within."""
        self.begin_change()
        try:
            yield
        finally:
            self.end_change()

    def __getstate__(self) -> dict[str, Any]:
        return {"_handles": self._handles}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self._handles = state["_handles"]
