"""A corpus: files of text, in the order of an epoch, from any place on; and whether they are still the same files."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deberta_core.errors import DebertaWarning, InputError, one_of, shown
from deberta_core.files import open_input
from deberta_dual.data.columns import parse_columns
from deberta_dual.data.formats import AUTO, ENDINGS, INPUT_FORMATS
from deberta_dual.data.load import Named
from deberta_dual.data.records import Note
from deberta_dual.data.streams import STANDARD_INPUT, plain_name
from deberta_dual.pretraining.documents import SPLITTINGS, START, Place, Refuse, read_documents

ON_ERROR = ("raise", "skip")
TEXT = "text"
TEXT_ENDINGS = (".txt", ".text")
_HEAD = 65_536  # bytes of a file that are compared
_MOST_TOLD = 1_000  # of what was passed over, which all stay in memory


class Document(NamedTuple):
    """A document, or a piece of a long one.

    Attributes:
        text: its text.
        end: where the next one begins: the file's number in the epoch, and the place in it.
    """

    text: str
    end: tuple[int, Place]


@dataclass(slots=True)
class Corpus:
    """Files of text, read in constant memory.

    In a plain file, blank lines separate documents; or every line is one. A document of more than 64 KiB is cut into
    several at an end of a line or a space. In files of records (JSON lines, Parquet, CSV, ...) each is a document.

    Args:
        sources: files, compressed (.gz, .xz, .zst) or not; folders, of which files of known endings are read; patterns
            such as `data/*.txt`, with `**` for folders at any depth.
        columns: which column of records is the text, as `text=NAME`; by default the first there is of `ROLES["text"]`.
        input_format: of all files; "auto" goes by each name's ending, others are text.
        documents: what a document is in plain text, "paragraph" or "line".
        held_out: share of documents that are kept for evaluation, chosen by a hash of their text, so that equal
            documents are on one side, whatever the seed, the order or the files.
        on_error: "raise", or "skip": what cannot be read is passed over, and `note` is told.
        note: is told once of each thing that was passed over, and of more than 1,000 their number; None: a warning in
            the log.

    Attributes:
        files: in the order of the sources, those of folders and patterns by name.

    Raises:
        InputError: there is no file, or an argument is wrong.
    """

    sources: str | Path | Sequence[str | Path]
    _: KW_ONLY
    columns: Named = None
    input_format: str = AUTO
    documents: str = "paragraph"
    held_out: float = 0.0
    on_error: str = "raise"
    note: Note | None = None
    files: list[Path] = field(init=False)
    _text_columns: Sequence[str] = field(init=False, repr=False)
    _told: set[str] = field(init=False, repr=False, default_factory=set)
    _untold: int = field(init=False, repr=False, default=0)  # while the files are first read
    _has_told_all: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        if self.input_format not in INPUT_FORMATS:
            raise InputError(one_of("input_format", self.input_format, INPUT_FORMATS))
        if self.documents not in SPLITTINGS:
            raise InputError(one_of("documents", self.documents, SPLITTINGS))
        if self.on_error not in ON_ERROR:
            raise InputError(one_of("on_error", self.on_error, ON_ERROR))
        if not 0 <= self.held_out < 1:
            raise InputError(f"held_out={self.held_out!r} is no share. Give a number from 0 to less than 1.")
        named = parse_columns(self.columns or {})
        if others := [role for role in named if role != TEXT]:
            raise InputError(f"columns: {others[0]!r} is nothing that pretraining reads. It reads: {TEXT}.")
        self._text_columns = named.get(TEXT, [])
        self.files = corpus_files(self.sources)

    def read(
        self, epoch: int = 0, seed: int | None = None, start: tuple[int, Place] = (0, START), *, held_out: bool = False
    ) -> Iterator[Document]:
        """Reads documents.

        Args:
            epoch: with the seed decides the order of the files.
            seed: of the run; None: the files come in the order of `files`.
            start: where to begin; the `end` of the document before.
            held_out: those that are kept for evaluation, instead of the others.

        Raises:
            InputError: something cannot be read, with the file and line, and `on_error` is "raise".
        """
        first, place = start
        self._untold = 0
        order = np.arange(len(self.files))
        if seed is not None:
            order = np.random.default_rng((seed, epoch)).permutation(order)
        for number in range(first, len(order)):
            file = self.files[order[number]]
            try:
                for text, end in read_documents(
                    file, self._format(file), place, self.documents, self._text_columns, self._refuse
                ):
                    if self._is_held_out(text) == held_out:
                        yield Document(text, (number, end))
            except InputError as problem:  # the rest of the file cannot be read at all
                if self.on_error == "raise":
                    raise
                self._refuse(str(problem))
            place = START
        if self._untold and not self._has_told_all:
            self._has_told_all = True
            self._note(f"{self._untold:,} more were passed over, of which none is named.")

    def settings(self) -> dict[str, Any]:
        """What decides, besides the files, which documents there are."""
        return {
            "columns": list(self._text_columns),
            "input_format": self.input_format,
            "documents": self.documents,
            "held_out": self.held_out,
            "on_error": self.on_error,
        }

    def fingerprint(self) -> list[dict[str, Any]]:
        """What tells whether the files are the same later on: name, size, time of change, and a hash of the head."""
        return [_fingerprint(file) for file in self.files]

    def check(self, saved: Sequence[Mapping[str, Any]]) -> None:
        """Compares the files with what `fingerprint` said earlier.

        A file that was written anew, with the same size and the same first 64 KiB, is only warned of.

        Raises:
            InputError: files differ; all are named.
        """
        now = {file["name"]: file for file in self.fingerprint()}
        before = {file["name"]: dict(file) for file in saved}
        wrong = [f"{name} is new" for name in now if name not in before]
        wrong += [f"{name} is not there" for name in before if name not in now]
        for name in (name for name in now if name in before):
            kinds = [kind for kind in ("size", "head") if now[name][kind] != before[name][kind]]
            if kinds:
                wrong.append(f"{name} has another {' and another '.join(kinds)}")
            elif now[name]["changed"] != before[name]["changed"]:
                warnings.warn(
                    f"{name} was written since the state was saved; its size and its first {_HEAD:,} bytes are the "
                    f"same. If its text is not, begin anew.",
                    DebertaWarning,
                    stacklevel=2,
                )
        if wrong:
            more = f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""
            what = "; ".join(wrong[:8]) + more
            raise InputError(f"the corpus changed since the state was saved: {what}. Restore it, or begin anew.")
        if [*now] != [*before]:
            raise InputError("the files of the corpus are given in another order. Give them as before, or begin anew.")

    def _format(self, file: Path) -> str:
        return self.input_format if self.input_format != AUTO else ENDINGS.get(_ending(file), TEXT)

    def _is_held_out(self, text: str) -> bool:
        if not self.held_out:
            return False
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self.held_out * 2**64

    @property
    def _refuse(self) -> Refuse:
        if self.on_error == "raise":
            return _raise
        return self._tell

    def _tell(self, problem: str) -> None:
        if problem in self._told:  # a corpus is read for its vocabulary, its judge and in every epoch
            return
        if len(self._told) == _MOST_TOLD:
            self._untold += 1
            return
        self._told.add(problem)
        self._note(problem)

    def _note(self, text: str) -> None:
        (self.note or logging.getLogger(__name__).warning)(text)


def _raise(problem: str) -> None:
    raise InputError(problem)


def corpus_files(sources: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that sources are.

    Raises:
        InputError: a source is no file, no folder with files of known endings, and no pattern of files.
    """
    files: list[Path] = []
    for source in [sources] if isinstance(sources, str | Path) else sources:
        path = Path(source)
        if str(source) == STANDARD_INPUT:
            raise InputError("a corpus is read more than once, which standard input cannot be. Give files.")
        if path.is_dir():
            known = (*ENDINGS, *TEXT_ENDINGS)
            found = sorted(file for file in path.rglob("*") if _ending(file) in known and file.is_file())
            if not found:
                raise InputError(f"the folder {source} holds no file that ends with one of {', '.join(known)}.")
        elif path.exists() or not set("*?[") & set(str(source)):
            found = [path]
        else:
            found = sorted(
                file for file in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if file.is_file()
            )
            if not found:
                raise InputError(f"no file fits {shown(str(source))}. Give files, folders or patterns of files.")
        files += found
    if not files:
        raise InputError("the corpus has no file. Give files, folders or patterns of files.")
    files = list(dict.fromkeys(files))
    for file in files:
        open_input(file, InputError, "Give a file of text.").close()
    return files


def _ending(file: Path) -> str:
    return Path(plain_name(file)).suffix.lower()


def _fingerprint(file: Path) -> dict[str, Any]:
    with open_input(file, InputError, "Give a file of text.") as stream:
        head = hashlib.blake2b(stream.read(_HEAD), digest_size=16).hexdigest()
    status = file.stat()
    return {"name": str(file), "size": status.st_size, "changed": status.st_mtime_ns, "head": head}
