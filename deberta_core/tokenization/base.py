"""What every tokenizer can do besides encoding and decoding: its options, its files, a new vocabulary."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from deberta_core.errors import TokenizationError, name_list
from deberta_core.hub import Wanted, local_folder, split_hub_options
from deberta_core.tokenization.options import SAVED_OPTIONS, checked_options
from deberta_core.tokenization.row_encoder import RowEncoder
from deberta_core.tokenization.settings import SETTINGS_FILES, read_settings, write_settings
from deberta_core.tokenization.tokenizer_json import TOKENIZER_FILE, TokenizerFile


class Tokenizer(RowEncoder):
    """A tokenizer with its files.

    A subclass names its files and options, sets up its model and then calls this constructor. Calls from several
    threads are safe as long as no thread changes the tokenizer.
    """

    tokenizer_class: ClassVar[str]  # the name in tokenizer_config.json
    vocabulary_files: ClassVar[dict[str, str]]  # by the argument of the constructor that takes the path
    reads_tokenizer_json: ClassVar[bool]  # also without the vocabulary files
    model_kind: ClassVar[str]  # what a tokenizer.json must hold
    foreign_files: ClassVar[tuple[str, ...]]  # vocabularies of the other kind of tokenizer
    own_options: ClassVar[tuple[str, ...]]  # further arguments, which are attributes too and are saved
    option_defaults: ClassVar[Mapping[str, Any]] = {}  # where they differ from options.DEFAULTS

    def __init__(self, **options: Any) -> None:
        settings = checked_options(options, self.own_options, self.option_defaults)
        self.model_max_length = settings["model_max_length"]
        self.padding_side = settings["padding_side"]
        self.truncation_side = settings["truncation_side"]
        self.clean_up_tokenization_spaces = settings["clean_up_tokenization_spaces"]
        self._extra: dict[str, Any] = {}
        self._set_tokens(settings)

    @abstractmethod
    def _check_tokenizer_json(self, file: TokenizerFile, folder: Path) -> None:
        """Raises TokenizationError if a tokenizer.json contradicts the vocabulary files beside it."""

    @abstractmethod
    def train_new_from_iterator(
        self, text_iterator: Iterable[str | list[str]], vocab_size: int, **options: Any
    ) -> Self:
        """Trains a new vocabulary for a tokenizer with this one's options and special tokens."""

    @classmethod
    def from_pretrained(cls, folder: str | Path, **overrides: Any) -> Self:
        """Loads a folder as published, or as `save_pretrained` writes it, here or in transformers 4 and 5.

        Args:
            folder: the folder, with the vocabulary files; the JSON files may be missing. Or a hub id.
            **overrides: arguments of the constructor that replace what the folder says; and for a hub id the options
                of `deberta_core.hub.local_folder` (`revision`, `cache_dir`, `local_files_only`, `token`).

        Raises:
            TokenizationError: a file is missing or broken, two contradict each other, or the folder is another class's.
            InputError: an override is unknown or has a value it cannot have.
        """
        hub, overrides = split_hub_options(overrides)
        names = (*cls.vocabulary_files.values(), TOKENIZER_FILE, *SETTINGS_FILES)
        path = local_folder(folder, [Wanted((file,), required=False) for file in names], TokenizationError, **hub)
        files = cls._find_files(path)
        described = path / TOKENIZER_FILE
        described_by = TokenizerFile(described, cls.model_kind, cls.__name__) if described.exists() else None
        tokens = described_by.added_tokens() if described_by else {}
        settings = read_settings(path, (*cls.own_options, *SAVED_OPTIONS), cls.tokenizer_class, tokens)
        tokenizer = cls(**files, **{**settings.options, **overrides})
        if described_by:
            tokenizer._check_tokenizer_json(described_by, path)
        tokenizer._extra = settings.extra
        return tokenizer

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Writes the vocabulary and the JSON files, makes the folder if need be, and returns the paths.

        Raises:
            TokenizationError: the folder cannot be made.
        """
        folder = Path(save_directory)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise TokenizationError(f"{folder} cannot be made: {problem}. Choose another folder.") from problem
        config = {name: getattr(self, name) for name in (*self.own_options, *SAVED_OPTIONS)}
        config = {**self._extra, **config, "tokenizer_class": self.tokenizer_class}
        written = write_settings(folder, config, self._saved_roles(), self._added.by_id, self.vocab_size)
        return (*map(str, written), *self.save_vocabulary(folder))

    def save_vocabulary(self, save_directory: str | Path, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes the vocabulary files into an existing folder, their names after a prefix, and returns their paths."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        return tuple(map(str, self._save_files(Path(save_directory), prefix)))

    def __repr__(self) -> str:
        size = f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}"
        return f"{type(self).__name__}({size}, special_tokens={self.special_tokens_map})"

    @abstractmethod
    def _save_files(self, folder: Path, prefix: str) -> tuple[Path, ...]:
        """Writes the vocabulary files."""

    @classmethod
    def _find_files(cls, folder: Path) -> dict[str, Path]:
        """The files for the constructor, by argument."""
        wanted = list(cls.vocabulary_files.values())
        if not folder.is_dir():
            raise TokenizationError(
                f"{folder} is not a folder. {cls.__name__}.from_pretrained reads one that holds {', '.join(wanted)}."
            )
        present = {file.name for file in folder.iterdir()}
        missing = [file for file in wanted if file not in present]
        described = TOKENIZER_FILE in present
        if foreign := [file for file in cls.foreign_files if file in present]:
            both = f"{folder} holds {name_list(foreign)}, of another tokenizer than {cls.__name__}"
            rest = f", beside {name_list(set(wanted) - set(missing))}" if len(missing) < len(wanted) else ""
            raise TokenizationError(f"{both}{rest}. Choose the class that fits, or remove the file that is wrong.")
        if missing and not (described and cls.reads_tokenizer_json):
            alternative = f" or {TOKENIZER_FILE}" if cls.reads_tokenizer_json else ""
            fast = f" {cls.__name__}Fast reads {TOKENIZER_FILE}." if described else ""
            raise TokenizationError(
                f"{folder} has no {name_list(missing)}{alternative}, which {cls.__name__} needs. It holds: "
                f"{name_list(present) or 'nothing'}. Choose the folder of a tokenizer, or the class that fits.{fast}"
            )
        if missing:
            return {"tokenizer_file": folder / TOKENIZER_FILE}
        return {argument: folder / file for argument, file in cls.vocabulary_files.items()}

    def _saved_roles(self) -> dict[str, Any]:
        return {name: role or None for name, role in self._roles().items()}

    def _ends(self) -> dict[str, int]:
        """The tokens around a text, with their ids."""
        ends = (self.cls_token, self.sep_token)
        return {token: self._added.ids[token] for token in ends if token is not None}
