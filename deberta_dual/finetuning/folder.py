"""The folder of a run: the best model so far, its scores, and the state to resume from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deberta_core.errors import InputError
from deberta_core.files import read_json, write_text
from deberta_core.layout import (
    ADAPTER,
    METRICS,
    PROGRESS,
    SENTENCE_PARTS,
    STATE,
    TENSORBOARD,
    is_model_file,
    is_run_file,
    refuse_foreign,
)
from deberta_core.transaction import clear_leftovers, replace_files, settle

Rows = list[dict[str, Any]]
Files = Mapping[str, str | bytes]
_RUNNING, _FINISHED = "running", "finished"


class RunFolder:
    """A folder into which a model is trained.

    `training.json` says whether the run is at its end. Model, scores and state are written as one, so that
    they are always of the same step.

    Args:
        path: the folder; made by the first thing that is written.
        resume: whether an unfinished run in it goes on; without one the run begins.
        force: whether a checkpoint in it is replaced, once there is a new one.
        is_main: whether this process is the one that writes; others do not look, since that one may be writing.

    Raises:
        InputError: it holds something, and neither was asked for; or, to be replaced, what is no checkpoint's; or its
            state is damaged.
    """

    def __init__(self, path: str | Path, *, resume: bool, force: bool, is_main: bool = True) -> None:
        self.path, self._is_main = Path(path), is_main
        if is_main:
            clear_leftovers(self.path, InputError)
            self._check(path, resume, force)
        progress = self._progress() if resume and (self.path / PROGRESS).exists() else {"step": 0}
        self._is_finished = progress.get("status") == _FINISHED
        self._resumes = not self._is_finished and progress.get("step") != 0

    def is_finished(self) -> bool:
        """Whether the run that was to be resumed has come to its end."""
        return self._is_finished

    def read_metrics(self) -> Rows:
        """The rows written so far."""
        return [json.loads(line) for line in (self.path / METRICS).read_text(encoding="utf-8").splitlines()]

    def begin(self, files: Files | None = None) -> None:
        """Marks the folder as that of a run that is not at its end, unless one goes on; a model there stays.

        Args:
            files: what is in files to begin with, by name.
        """
        if self._is_main and not self._resumes:
            self._write({"status": _RUNNING, "step": 0}, files=files, stale=is_run_file)

    @contextmanager
    def begun(self, files: Files | None = None) -> Iterator[None]:
        """Around the training of a run: begins it, and leaves nothing where there was nothing if nothing is saved.

        Args:
            files: see `begin`.
        """
        made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        was_empty = self._is_main and not (self.path.exists() and any(self.path.iterdir()))
        self.begin(files)
        try:
            yield
        except BaseException:
            if was_empty:
                with suppress(InputError, OSError):  # what is wrong is being told
                    self._take_back(files or (), made)
            raise

    def begin_parts(self, identity: Mapping[str, Any], files: Files | None = None) -> bool:
        """Marks the folder as that of several runs, each in a folder of its own within; what is there goes.

        Args:
            identity: as of `state`.
            files: what is in files to begin with, by name.

        Returns:
            whether such a job goes on, and all stays.

        Raises:
            InputError: see `state`.
        """
        if self.state(identity) is not None:
            return True
        if self._is_main:
            progress = {"status": _RUNNING, "step": 1, "identity": identity}
            self._write(progress, files=files, stale=lambda name: is_run_file(name) or _is_old_model(name))
        return False

    def identity(self) -> dict[str, Any]:
        """The settings of the run that goes on; none, if none does."""
        found: dict[str, Any] = self._progress().get("identity", {}) if self._resumes else {}
        return found

    def state(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """What `save` wrote last, if the run goes on.

        Raises:
            InputError: it is the state of another run; the message says in what they differ.
        """
        if not self._resumes:
            return None
        found = self._progress()
        saved = found.get("identity", {})
        wrong = [one for name, value in identity.items() for one in _differences(name, saved.get(name), value)]
        if wrong:
            raise InputError(
                f"the run in {self.path} has {'; '.join(wrong)}. Resume with the same settings and data, or begin anew "
                f"with --force."
            )
        return found

    @property
    def state_folder(self) -> Path:
        """Where a framework finds what it wrote."""
        return self.path / STATE

    def save(
        self,
        progress: Mapping[str, Any],
        rows: Iterable[Mapping[str, Any]],
        write_state: Callable[[Path], None],
        write_model: Callable[[Path], None] | None,
    ) -> None:
        """Writes scores, state and model: all of them, or everything is as it was.

        Args:
            progress: what there is to know, as JSON.
            rows: the scores, a line of JSON each.
            write_state: writes the framework's part into a folder.
            write_model: writes the model and its tokenizer into a folder, instead of those that are there; None: they
                stay.
        """
        self._write({"status": _RUNNING, **progress}, rows, write_state, write_model)

    def finish(self, rows: Rows, files: Files | None = None) -> None:
        """Writes the last scores, marks the run as being at its end, and removes what it would go on from.

        Args:
            rows: the scores.
            files: what is in further ones, by name.
        """
        if self._is_main:
            step = max((row.get("step", 0) for row in rows), default=0)
            self._write({"status": _FINISHED, "step": step}, rows, files=files)

    def _write(
        self,
        progress: Mapping[str, Any],
        rows: Iterable[Mapping[str, Any]] | None = None,
        write_state: Callable[[Path], None] | None = None,
        write_model: Callable[[Path], None] | None = None,
        files: Files | None = None,
        stale: Callable[[str], bool] | None = None,
    ) -> None:
        goes = stale or (_is_old_model if write_model else _nothing)

        def old(folder: Path) -> list[str]:
            return [STATE, *(path.name for path in folder.iterdir() if goes(path.name))]

        with replace_files(self.path, InputError, stale=old) as staging:
            if write_model:
                write_model(staging)
            if rows is not None:
                write_text(staging / METRICS, "".join(f"{json.dumps(row)}\n" for row in rows))
            if write_state:
                (staging / STATE).mkdir()
                write_state(staging / STATE)
            for name, content in (files or {}).items():
                (staging / name).write_bytes(content if isinstance(content, bytes) else content.encode())
            write_text(staging / PROGRESS, json.dumps(progress))

    def _take_back(self, names: Iterable[str], made: Iterable[Path]) -> None:
        """Removes what `begin` and TensorBoard's file left, and the folders that were made, if nothing was saved."""
        settle(self.path, InputError)
        if self._progress().get("step") != 0:
            return
        shutil.rmtree(self.path / TENSORBOARD, ignore_errors=True)
        for name in (*names, PROGRESS):
            (self.path / name).unlink()
        for place in made:
            place.rmdir()

    def _progress(self) -> dict[str, Any]:
        return read_json(self.path / PROGRESS, InputError, hint="Begin anew with --force.")

    def _check(self, path: str | Path, resume: bool, force: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"output={str(path)!r} is a file. Give a folder.")
        is_used = self.path.exists() and any(self.path.iterdir())
        has_run = (self.path / PROGRESS).exists()
        if is_used and not resume and not force:
            mend = "--resume to go on with it, " if has_run else ""
            raise InputError(f"output={str(path)!r} is not empty. Pass {mend}--force to replace it, or another name.")
        if is_used and resume and not has_run and not force:
            raise InputError(f"output={str(path)!r} holds something, but no run to resume. Give another name.")
        if force:
            refuse_foreign(self.path, InputError)


def _nothing(name: str) -> bool:
    return False


def _is_old_model(name: str) -> bool:
    return is_model_file(name) or name in (*SENTENCE_PARTS, ADAPTER)


def _differences(name: str, there: Any, here: Any) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted({*there, *here}):
            yield from _differences(f"{name}.{key}", there.get(key), here.get(key))
    elif there != here:
        yield f"{name}={there!r:.80}, this one {here!r:.80}"
