"""Choosing the class of a configuration or a tokenizer by what a folder says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deberta_core.arguments import row_of
from deberta_core.config import FILE_HINT, BaseConfig, DebertaConfig, DebertaV2Config, config_file
from deberta_core.config_place import CONFIG_FILE, told_model_type
from deberta_core.errors import ConfigError, TokenizationError, one_of
from deberta_core.files import read_json
from deberta_core.hub import Wanted, local_folder, split_hub_options
from deberta_core.names.configs import CONFIG_LOADING
from deberta_core.names.rows import with_other_names
from deberta_core.names.tokenizers import TOKENIZER_LOADING
from deberta_core.tokenization import (
    DebertaTokenizer,
    DebertaTokenizerFast,
    DebertaV2Tokenizer,
    DebertaV2TokenizerFast,
    FileTokenizer,
    Tokenizer,
)
from deberta_core.tokenization.settings import ANY_CLASS
from deberta_core.tokenization.settings import CONFIG_FILE as TOKENIZER_CONFIG_FILE
from deberta_core.tokenization.tokenizer_json import TOKENIZER_FILE, TokenizerFile

CONFIG_CLASSES: dict[str, type[BaseConfig]] = {cls.model_type: cls for cls in (DebertaConfig, DebertaV2Config)}
# By the name in tokenizer_config.json without "Fast", and by config.json's `model_type`: the class, and the one that
# writes tokenizer.json, and for v2 reads it, too.
TOKENIZER_CLASSES: dict[str, tuple[type[Tokenizer], type[Tokenizer]]] = {
    "DebertaTokenizer": (DebertaTokenizer, DebertaTokenizerFast),
    "DebertaV2Tokenizer": (DebertaV2Tokenizer, DebertaV2TokenizerFast),
    "deberta": (DebertaTokenizer, DebertaTokenizerFast),
    "deberta-v2": (DebertaV2Tokenizer, DebertaV2TokenizerFast),
}


class AutoConfig:
    """The configuration of any DeBERTa; not to be instantiated."""

    @classmethod
    @with_other_names(CONFIG_LOADING, ConfigError)
    def from_pretrained(cls, path: str | Path, *, model_type: str | None = None, **overrides: Any) -> BaseConfig:
        """Reads config.json of a checkpoint folder with the class its `model_type` names, or else its other keys.

        Args:
            path: the folder, the file itself, or a hub id.
            model_type: used where neither tells; else it must be the file's.
            **overrides: fields to change, and options for the hub; see `BaseConfig.from_pretrained`.

        Raises:
            ConfigError: see `BaseConfig.from_pretrained`; or `model_type` is not DeBERTa's, or nothing tells it.
        """
        hub, overrides = split_hub_options(overrides)
        file = config_file(path, **hub)
        values = read_json(file, ConfigError, hint=FILE_HINT)
        told = told_model_type(file, values) if model_type is None else model_type
        chosen = row_of(CONFIG_CLASSES, f"{file}: model_type", told, ConfigError)
        return chosen.from_pretrained(file, **{"name_or_path": str(path), **overrides})

    @staticmethod
    def for_model(model_type: str, **fields: Any) -> BaseConfig:
        """A configuration of a model type.

        Raises:
            ConfigError: no such model type, or a field that is not allowed.
        """
        return row_of(CONFIG_CLASSES, "model_type", model_type, ConfigError)(**fields)


class AutoTokenizer:
    """The tokenizer of any DeBERTa; not to be instantiated."""

    @classmethod
    @with_other_names(TOKENIZER_LOADING)
    def from_pretrained(cls, folder: str | Path, *, use_fast: bool = True, **overrides: Any) -> Tokenizer:
        """Loads a folder with the class that its tokenizer_config.json names, or else its config.json.

        A DeBERTa whose folder names another class, or holds the tokenizer.json of another algorithm and no vocabulary
        that its own class reads, gets a `FileTokenizer`.

        Args:
            folder: the folder, or a hub id.
            use_fast: whether the class is `DebertaTokenizerFast` or `DebertaV2TokenizerFast`, which write
                tokenizer.json; the ids are the same.
            **overrides: arguments of the constructor that replace what the folder says, and options for the hub; see
                `Tokenizer.from_pretrained`.

        Raises:
            TokenizationError: see `Tokenizer.from_pretrained`; or neither file names a tokenizer of DeBERTa.
            InputError: an override is unknown or has a value it cannot have.
        """
        hub, _ = split_hub_options(overrides)
        files = (TOKENIZER_CONFIG_FILE, CONFIG_FILE, TOKENIZER_FILE)
        path = local_folder(folder, [Wanted((file,), required=False) for file in files], TokenizationError, **hub)
        family = _entry(path / CONFIG_FILE, "model_type")
        named = _entry(path / TOKENIZER_CONFIG_FILE, "tokenizer_class") or _entry(path / CONFIG_FILE, "tokenizer_class")
        name = str(named).removesuffix("Fast")
        if named is None or name in ANY_CLASS or (name not in TOKENIZER_CLASSES and family in TOKENIZER_CLASSES):
            chosen = _class_for(path, family, use_fast, name not in ("None", *ANY_CLASS))
            if name == "BertTokenizer" and _entry(path / TOKENIZER_CONFIG_FILE, "do_lower_case") is None:
                overrides = {"do_lower_case": True, **overrides}  # which wins over a tokenizer.json there, too
        elif name not in TOKENIZER_CLASSES:
            raise TokenizationError(f"{path}: {one_of('tokenizer', named, sorted(TOKENIZER_CLASSES))}")
        else:
            chosen = TOKENIZER_CLASSES[name][use_fast]
        return chosen.from_pretrained(folder, **overrides)


def _class_for(path: Path, family: Any, use_fast: bool, is_other: bool) -> type[Tokenizer]:
    """The class for a DeBERTa's folder, of whose tokenizer one knows at most that it is another."""
    if family is None:
        raise TokenizationError(
            f"{path} does not say which tokenizer it holds: {TOKENIZER_CONFIG_FILE} has no tokenizer_class, and "
            f"{CONFIG_FILE} no model_type. Load it with the class that fits: DebertaTokenizer for v1, "
            f"DebertaV2Tokenizer for v2 and v3."
        )
    if family not in TOKENIZER_CLASSES:
        raise TokenizationError(f"{path}: {one_of('tokenizer', family, sorted(TOKENIZER_CLASSES))}")
    cls = TOKENIZER_CLASSES[family][use_fast]
    if any((path / file).exists() for file in cls.layout.vocabulary.values()) and not is_other:
        return cls
    if not (path / TOKENIZER_FILE).exists():
        return FileTokenizer if is_other or (path / FileTokenizer.layout.vocabulary["vocab_file"]).exists() else cls
    found = TokenizerFile(path / TOKENIZER_FILE, (), "AutoTokenizer")
    return cls if found.kind == cls.layout.model_kind and not is_other else FileTokenizer


def _entry(file: Path, name: str) -> Any:
    return read_json(file, TokenizationError, "").get(name) if file.exists() else None
