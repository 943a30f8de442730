"""The folder of a run: the best model so far, its scores, and the state to resume from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from deberta_core.errors import InputError
from deberta_core.files import atomic_folder, read_json, write_text

STATE, PROGRESS = "training", "progress.json"
METRICS = "metrics.jsonl"

Rows = list[dict[str, Any]]


class RunFolder:
    """A folder into which a model is trained.

    Args:
        path: the folder; made by the first thing that is written.
        resume: whether an unfinished run in it goes on; without one the run begins.
        force: whether what is in it is replaced.
        is_main: whether this process is the one that writes; others do not look, since that one may be writing.

    Raises:
        InputError: it holds something, and neither was asked for.
    """

    def __init__(self, path: str | Path, *, resume: bool, force: bool, is_main: bool = True) -> None:
        self.path, self._is_main = Path(path), is_main
        self._resumes = resume and (self.state_folder / PROGRESS).exists()
        if is_main:
            self._check(path, resume, force)

    def is_finished(self) -> bool:
        """Whether a run has come to its end here."""
        return (self.path / METRICS).exists() and not self.state_folder.exists()

    def read_metrics(self) -> Rows:
        """The rows written so far."""
        return [json.loads(line) for line in (self.path / METRICS).read_text(encoding="utf-8").splitlines()]

    def begin(self) -> None:
        """Makes the folder, with a place for the state; empties it unless a run goes on."""
        if self._is_main:
            if not self._resumes and self.path.exists():
                shutil.rmtree(self.path)
            self.state_folder.mkdir(parents=True, exist_ok=True)  # says that a run is not at its end

    def state(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """What `save_state` wrote last, if the run goes on.

        Raises:
            InputError: it is the state of another run; the message says in what they differ.
        """
        if not self._resumes:
            return None
        found = read_json(self.state_folder / PROGRESS, InputError, hint="Begin anew with --force.")
        for name, value in identity.items():
            there = found.get("identity", {}).get(name)
            if there != value:
                raise InputError(
                    f"the run in {self.path} has {_difference(name, there, value)}. Resume with the same settings and "
                    f"data, or begin anew with --force."
                )
        return found

    @property
    def state_folder(self) -> Path:
        """Where a framework finds what it wrote."""
        return self.path / STATE

    def save_state(self, progress: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        """Writes a state: whole, or as it was before.

        Args:
            progress: what there is to know, as JSON.
            write: writes the framework's part into a folder.
        """
        with atomic_folder(self.state_folder, force=True, error=InputError) as temporary:
            write(temporary)
            (temporary / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")

    def save_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes the scores, a line of JSON each."""
        write_text(self.path / METRICS, "".join(f"{json.dumps(row)}\n" for row in rows))

    def finish(self) -> None:
        """Removes the state: the run is at its end."""
        if self._is_main:
            aside = self.path / f".{STATE}.done"
            self.state_folder.replace(aside)  # at once: half a state would be resumed from
            shutil.rmtree(aside, ignore_errors=True)

    def _check(self, path: str | Path, resume: bool, force: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"output={str(path)!r} is a file. Give a folder.")
        is_used = self.path.exists() and any(self.path.iterdir())
        if is_used and not resume and not force:
            mend = "--resume to go on with it, " if self.state_folder.exists() else ""
            raise InputError(f"output={str(path)!r} is not empty. Pass {mend}--force to replace it, or another name.")
        if is_used and resume and not self.state_folder.exists() and not self.is_finished() and not force:
            raise InputError(f"output={str(path)!r} holds something, but no run to resume. Give another name.")


def _difference(name: str, there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        own = next(key for key in sorted({*there, *here}) if there.get(key) != here.get(key))
        return _difference(f"{name}.{own}", there.get(own), here.get(own))
    return f"{name}={there!r:.80}, this one {here!r:.80}"
