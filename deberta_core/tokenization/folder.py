"""The folder of a tokenizer: which files a class needs, what they say together, and whether they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deberta_core.errors import TokenizationError, name_list, reason
from deberta_core.hub import Wanted, local_folder
from deberta_core.layout import TOKENIZER_FILES
from deberta_core.tokenization.settings import SETTINGS_FILES, Settings, read_settings, write_settings
from deberta_core.tokenization.subwords import SubwordModel
from deberta_core.tokenization.tokenizer_json import TOKENIZER_FILE, TokenizerFile, write_tokenizer_json
from deberta_core.tokenization.vocabulary import Vocabulary
from deberta_core.transaction import replace_files


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files of a class of tokenizers."""

    tokenizer_class: str  # the name in tokenizer_config.json
    vocabulary: dict[str, str]  # file names by the argument of the constructor that takes the path
    foreign: tuple[str, ...]  # vocabularies of the other kind of tokenizer
    model_kind: str | None  # what a tokenizer.json must hold; None: anything
    has_tokenizer_json: bool  # whether one can be written, and is read where there are no vocabulary files
    writes_tokenizer_json: bool = True  # of those that have one, whether it is written unless a caller says so
    other_kinds: tuple[str, ...] = ()  # what it may hold too where it only lies beside vocabulary files
    prefers_tokenizer_json: bool = False  # whether it is read where there are vocabulary files, too


@dataclass(frozen=True)
class Folder:
    """What a folder holds."""

    files: dict[str, Path]  # for the constructor, by argument
    settings: Settings  # what the JSON files say
    described: TokenizerFile | None

    def check(self, model: SubwordModel) -> None:
        """Raises TokenizationError if a tokenizer.json contradicts the vocabulary files beside it."""
        if self.described is None or "tokenizer_file" in self.files:
            return
        names = [file.name for file in self.files.values()]
        pieces, others = [model.id_to_piece(index) for index in range(model.vocab_size)], self.described.pieces()
        if others != pieces:
            pairs = enumerate(zip(others, pieces, strict=False))
            place = next((place for place, (one, two) in pairs if one != two), None)
            detail = f"{len(others)} tokens against {len(pieces)}" if place is None else f"id {place} differs"
            raise TokenizationError(
                f"{self.described.file} and {names[0]} beside it are of two tokenizers: {detail}. Remove the one that "
                f"is wrong."
            )
        if model.merges and self.described.merges() != model.merges:
            raise TokenizationError(
                f"{self.described.file} and {names[-1]} beside it have different merges. Remove the one that is wrong."
            )


def read_folder(name: str | Path, layout: Layout, owner: str, options: Sequence[str], hub: dict[str, Any]) -> Folder:
    """Finds the files of a tokenizer and reads the JSON ones.

    Args:
        name: a folder, or a hub id.
        layout: of the class.
        owner: the name of the class, for messages.
        options: arguments of the constructor that tokenizer_config.json may hold, beside the special tokens.
        hub: options of `local_folder`.

    Raises:
        TokenizationError: a file is missing or broken, two contradict each other, or the folder is another class's.
    """
    names = (*layout.vocabulary.values(), TOKENIZER_FILE, *SETTINGS_FILES)
    path = local_folder(name, [Wanted((file,), required=False) for file in names], TokenizationError, **hub)
    files = _find_files(path, layout, owner)
    file = path / TOKENIZER_FILE
    others = () if "tokenizer_file" in files else layout.other_kinds
    kinds = (layout.model_kind, *others) if layout.model_kind else ()
    described = TokenizerFile(file, kinds, owner) if file.exists() else None
    tokens = described.added_tokens() if described else {}
    owner_class = layout.tokenizer_class if layout.model_kind else None
    return Folder(files, read_settings(path, options, owner_class, tokens), described)


def write_folder(
    folder: str | Path,
    prefix: str,
    model: SubwordModel,
    vocabulary: Vocabulary,
    config: Mapping[str, Any] | None,
    pipeline: Mapping[str, Any] | None,
) -> tuple[str, ...]:
    """Writes the files of a tokenizer, makes the folder if need be, and returns the paths.

    Args:
        folder: the folder; without `config` only vocabulary files are written, and others stay.
        prefix: put before the names.
        model: which writes its own files.
        vocabulary: what the JSON files say.
        config: for tokenizer_config.json; None writes none of the three files of settings.
        pipeline: of `SubwordModel.describe`, for a tokenizer.json; None writes none.

    Raises:
        TokenizationError: the folder cannot be made or written; it is as it was.
    """
    stale = {f"{prefix}{file}" for file in TOKENIZER_FILES} if config is not None else set()
    with replace_files(folder, TokenizationError, stale=lambda _: stale) as staging:
        written = () if config is None else write_settings(staging, prefix, config, vocabulary)
        written = (*written, *model.save(staging, prefix))
        if pipeline is not None:
            written = (*written, write_tokenizer_json(staging, prefix, pipeline, vocabulary))
    return tuple(str(Path(folder) / file.name) for file in written)


def _find_files(folder: Path, layout: Layout, owner: str) -> dict[str, Path]:
    wanted = list(layout.vocabulary.values())
    if not folder.is_dir():
        raise TokenizationError(
            f"{folder} is not a folder. {owner}.from_pretrained reads one that holds {', '.join(wanted)}."
        )
    try:
        present = {file.name for file in folder.iterdir()}
    except OSError as problem:
        raise TokenizationError(f"{folder} cannot be read: {reason(problem)}.").caused_by(problem) from None
    missing = [file for file in wanted if file not in present]
    described = TOKENIZER_FILE in present
    if foreign := [file for file in layout.foreign if file in present]:
        both = f"{folder} holds {name_list(foreign)}, of another tokenizer than {owner}"
        rest = f", beside {name_list(set(wanted) - set(missing))}" if len(missing) < len(wanted) else ""
        raise TokenizationError(f"{both}{rest}. Choose the class that fits, or remove the file that is wrong.")
    if missing and not (described and layout.has_tokenizer_json):
        alternative = f" or {TOKENIZER_FILE}" if layout.has_tokenizer_json else ""
        fast = f" {owner}Fast reads {TOKENIZER_FILE}." if described else ""
        raise TokenizationError(
            f"{folder} has no {name_list(missing)}{alternative}, which {owner} needs. It holds: "
            f"{name_list(present) or 'nothing'}. Choose the folder of a tokenizer, or the class that fits.{fast}"
        )
    if missing or (described and layout.prefers_tokenizer_json):
        return {"tokenizer_file": folder / TOKENIZER_FILE}
    return {argument: folder / file for argument, file in layout.vocabulary.items()}
