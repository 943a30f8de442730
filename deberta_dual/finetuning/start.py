"""What training starts from: a checkpoint, or a published size with fresh weights and a trained vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from deberta_core.auto import CONFIG_CLASSES, TOKENIZER_CLASSES, AutoConfig, AutoTokenizer
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, one_of
from deberta_core.presets import PRESETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What training starts from: one of `model` and `preset`.

    Args:
        model: a checkpoint folder or a hub id. A backbone, or a model of another task or with other classes, gets a
            fresh head.
        preset: the name of a published size, with fresh weights.
        changes: fields of the configuration to change; for dropout, or smaller sizes of a preset.
        tokenizer: a folder or hub id; None: that of `model`, or one that is trained, see `vocab_size`.
        vocab_size: with a preset: trains a vocabulary of so many tokens on the training data.

    Raises:
        InputError: they do not go together.
    """

    model: str | Path | None = None
    preset: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str | Path | None = None
    vocab_size: int | None = None

    def __post_init__(self) -> None:
        if (self.model is None) == (self.preset is None):
            given = "neither" if self.model is None else "both"
            raise InputError(f"{given} of model and preset were given. Give exactly one of them.")
        if self.model is not None and self.vocab_size is not None:
            raise InputError("vocab_size is for presets: a checkpoint has a vocabulary. Leave it out.")
        if self.preset is not None and (self.vocab_size is None) == (self.tokenizer is None):
            raise InputError("A preset needs a vocabulary: give either tokenizer or vocab_size.")

    def folders(self) -> list[Path]:
        """What there is of model and tokenizer on this machine."""
        return [Path(place) for place in (self.model, self.tokenizer) if place is not None and Path(place).exists()]

    def config(self, folder: Path | None) -> BaseConfig:
        """The configuration, without the head that the data will ask for.

        Raises:
            ConfigError: a change is not allowed, or config.json is missing or wrong.
            InputError: no such preset.
        """
        if folder is not None:
            return AutoConfig.from_pretrained(folder, **self.changes)
        names = {name: model_type for model_type, presets in PRESETS.items() for name in presets}
        if self.preset not in names:
            raise InputError(one_of("preset", self.preset, sorted(names)))
        fields = PRESETS[names[self.preset]][self.preset]
        known = CONFIG_CLASSES[names[self.preset]].field_names()
        for name in self.changes:
            if name not in known:
                raise InputError(one_of("field", name, known))
        return AutoConfig.for_model(names[self.preset], **{**fields, **self.changes})

    def make_tokenizer(self, folder: Path | None, config: BaseConfig, texts: Iterable[str]) -> Any:
        """The tokenizer: loaded, or trained on texts.

        Raises:
            TokenizationError: its files are missing or wrong, or the texts do not allow such a vocabulary.
        """
        if self.tokenizer is not None or folder is not None:
            is_weight_file = folder is not None and folder.is_file()
            return AutoTokenizer.from_pretrained(self.tokenizer or str(folder if is_weight_file else self.model))
        assert self.vocab_size is not None
        cls: Any = TOKENIZER_CLASSES[config.model_type][0]
        return cls.train(texts, self.vocab_size, model_max_length=config.max_position_embeddings)

    def fitted(self, config: BaseConfig, tokenizer: Any) -> BaseConfig:
        """The configuration with the tokenizer's vocabulary; that of a checkpoint must be large enough as it is.

        Raises:
            InputError: it is not.
        """
        if self.preset is not None:
            return config.replace(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
        if len(tokenizer) > config.vocab_size:
            raise InputError(
                f"the tokenizer has {len(tokenizer)} tokens, but the model vocab_size={config.vocab_size}. Use that of "
                f"the model."
            )
        return config


Options = TypeVar("Options")


def read_choices(
    start: tuple[type[Start], Start | None], training: tuple[type[Options], Options | None], options: Mapping[str, Any]
) -> tuple[Start, Options]:
    """Start and options of a training, given as such or by the names of their fields.

    Args:
        start: the class, and what was given; None: made of `options`.
        training: likewise, of any class of options.
        options: fields of both by name; `config` for `changes`.

    Raises:
        InputError: a name is unknown, or one is given in both ways.
    """
    named = {"changes" if name == "config" else name: value for name, value in options.items()}
    found: list[Any] = []
    for cls, given in (start, training):
        own = {one.name: named.pop(one.name) for one in fields(cls) if one.name in named}  # type: ignore[arg-type]
        if own and given is not None:
            raise InputError(f"{next(iter(own))} is given beside a {cls.__name__}, which has it. Give one of them.")
        found.append(given or cls(**own))
    for name in named:
        known = [one.name for cls, _ in (start, training) for one in fields(cls) if one.name != "changes"]  # type: ignore[arg-type]
        raise InputError(one_of("option", name, ["config", *known]))
    return found[0], found[1]
