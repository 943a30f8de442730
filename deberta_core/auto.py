"""Choosing the class of a configuration or a tokenizer by what a folder says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deberta_core.arguments import row_of
from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config, config_file
from deberta_core.config_place import CONFIG_FILE, told_model_type
from deberta_core.errors import ConfigError, TokenizationError, one_of
from deberta_core.files import read_json
from deberta_core.hub import Wanted, local_folder, split_hub_options
from deberta_core.tokenization import DebertaTokenizer, DebertaV2Tokenizer, DebertaV2TokenizerFast, Tokenizer
from deberta_core.tokenization.settings import ANY_CLASS
from deberta_core.tokenization.settings import CONFIG_FILE as TOKENIZER_CONFIG_FILE

CONFIG_CLASSES: dict[str, type[BaseConfig]] = {cls.model_type: cls for cls in (DebertaConfig, DebertaV2Config)}
# By the name in tokenizer_config.json without "Fast", and by config.json's `model_type`: the class, and the one that
# also reads tokenizer.json.
TOKENIZER_CLASSES: dict[str, tuple[type[Tokenizer], type[Tokenizer]]] = {
    "DebertaTokenizer": (DebertaTokenizer, DebertaTokenizer),
    "DebertaV2Tokenizer": (DebertaV2Tokenizer, DebertaV2TokenizerFast),
    "deberta": (DebertaTokenizer, DebertaTokenizer),
    "deberta-v2": (DebertaV2Tokenizer, DebertaV2TokenizerFast),
}


class AutoConfig:
    """The configuration of any DeBERTa; not to be instantiated."""

    @staticmethod
    def from_pretrained(path: str | Path, *, model_type: str | None = None, **overrides: Any) -> BaseConfig:
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
        values = read_json(file, ConfigError, hint="A checkpoint folder holds a config.json.")
        told = told_model_type(file, values) if model_type is None else model_type
        cls = row_of(CONFIG_CLASSES, f"{file}: model_type", told, ConfigError)
        return cls.from_pretrained(file, **overrides)

    @staticmethod
    def for_model(model_type: str, **fields: Any) -> BaseConfig:
        """A configuration of a model type.

        Raises:
            ConfigError: no such model type, or a field that is not allowed.
        """
        return row_of(CONFIG_CLASSES, "model_type", model_type, ConfigError)(**fields)


class AutoTokenizer:
    """The tokenizer of any DeBERTa; not to be instantiated."""

    @staticmethod
    def from_pretrained(folder: str | Path, *, use_fast: bool = True, **overrides: Any) -> Tokenizer:
        """Loads a folder with the class that its tokenizer_config.json names, or else its config.json's `model_type`.

        Args:
            folder: the folder, or a hub id.
            use_fast: whether a v2 or v3 tokenizer is a `DebertaV2TokenizerFast`, which also reads and writes
                tokenizer.json; the ids are the same.
            **overrides: arguments of the constructor that replace what the folder says, and options for the hub; see
                `Tokenizer.from_pretrained`.

        Raises:
            TokenizationError: see `Tokenizer.from_pretrained`; or neither file names a tokenizer of DeBERTa.
            InputError: an override is unknown or has a value it cannot have.
        """
        hub, _ = split_hub_options(overrides)
        wanted = [Wanted((file,), required=False) for file in (TOKENIZER_CONFIG_FILE, CONFIG_FILE)]
        path = local_folder(folder, wanted, TokenizationError, **hub)
        named = _entry(path / TOKENIZER_CONFIG_FILE, "tokenizer_class")
        name = str(named).removesuffix("Fast")
        if named is None or name in ANY_CLASS:
            named = name = _entry(path / CONFIG_FILE, "model_type")
        if name is None:
            raise TokenizationError(
                f"{path} does not say which tokenizer it holds: {TOKENIZER_CONFIG_FILE} has no tokenizer_class, and "
                f"{CONFIG_FILE} no model_type. Load it with the class that fits: DebertaTokenizer for v1, "
                f"DebertaV2Tokenizer for v2 and v3."
            )
        if name not in TOKENIZER_CLASSES:
            raise TokenizationError(f"{path}: {one_of('tokenizer', named, sorted(TOKENIZER_CLASSES))}")
        return TOKENIZER_CLASSES[name][use_fast].from_pretrained(folder, **overrides)


def _entry(file: Path, name: str) -> Any:
    return read_json(file, TokenizationError, "").get(name) if file.exists() else None
