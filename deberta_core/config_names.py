"""The configuration's side towards code written for transformers: other names, assignments, JSON texts."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self, TypeVar

from deberta_core.config_rules import FIELD_RULES
from deberta_core.errors import ConfigError, MissingName, name_list
from deberta_core.files import write_text
from deberta_core.names.configs import CONFIG_ASSIGNMENTS, CONFIG_ATTRIBUTES, CONFIG_KEPT, CONFIG_OPTIONS
from deberta_core.names.loading import LOADING
from deberta_core.names.rows import other_attribute, own_keywords

Config = TypeVar("Config", bound="ConfigNames")


class FrozenConfigError(ConfigError, dataclasses.FrozenInstanceError):
    """An assignment to a configuration, which does not change."""


class ConfigNames:
    """Attributes and methods of transformers' `PretrainedConfig`; the fields are those of the subclasses."""

    model_type: ClassVar[str]
    extra: dict[str, Any]

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The declared fields, without `extra`."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        """Other keys of config.json, and other names; only what is no attribute comes here."""
        # A field of the other version changes nothing here, whatever config.json says.
        if name not in FIELD_RULES and name != "extra" and not name.startswith("__"):
            return self.extra[name] if name in self.extra else other_attribute(CONFIG_ATTRIBUTES, self, name)
        raise MissingName(f"{type(self).__name__} has no attribute {name!r}.")

    def get(self, name: str, default: Any = None) -> Any:
        """A field or another key of config.json, or `default`."""
        return getattr(self, name, default)

    def get_text_config(self, decoder: bool = False, encoder: bool = False) -> Self:
        """This configuration: a DeBERTa reads nothing but text."""
        return self

    def to_diff_dict(self) -> dict[str, Any]:
        """What differs from the class's defaults, and `model_type`."""
        defaults = type(self)().to_dict()
        return {
            name: value
            for name, value in self.to_dict().items()
            if name == "model_type" or name not in defaults or defaults[name] != value
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """The text of a config.json, with its last line end.

        Args:
            use_diff: leaves out what is the class's default.
        """
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, json_file_path: str | Path, use_diff: bool = True) -> None:
        """Writes `to_json_string` to a file."""
        write_text(Path(json_file_path), self.to_json_string(use_diff))


def with_names(cls: type[Config]) -> type[Config]:
    """A decorator of a frozen dataclass: says what to do instead of an assignment, and what keyword was meant.

    A dataclass makes its own `__setattr__` and `__init__`; these go around them.
    """
    make = cls.__init__

    @functools.wraps(make)
    def make_by_our_names(self: Config, **values: Any) -> None:
        make(self, **own_fields(type(self), values))

    methods = {"__init__": make_by_our_names, "__setattr__": _refuse_assignment, "__delattr__": _refuse_deletion}
    for name, method in methods.items():
        setattr(cls, name, method)
    return cls


def own_fields(
    cls: type[ConfigNames], values: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Keywords as fields; what config.json may hold and nothing reads goes into `extra`.

    Args:
        cls: the configuration's class.
        values: as the caller wrote them.
        extra: what is in `extra` already.

    Raises:
        ConfigError: a name is refused or unknown.
    """
    known = {*cls.field_names(), "name_or_path", "extra"}
    fields = own_keywords(CONFIG_OPTIONS, values, values.keys() - CONFIG_OPTIONS.keys(), error=ConfigError)
    kept = {name: fields.pop(name) for name in CONFIG_KEPT if name in fields}
    if unknown := fields.keys() - known:
        raise ConfigError(_no_field(cls, unknown))
    return fields | ({"extra": {**(fields.get("extra", extra) or {}), **kept}} if kept else {})


def _no_field(cls: type[ConfigNames], unknown: Collection[str]) -> str:
    names = cls.field_names()
    near = [difflib.get_close_matches(name, [*names, *LOADING, *CONFIG_OPTIONS], n=1) for name in sorted(unknown)]
    meant = f" Did you mean {name_list(repr(name) for found in near for name in found)}?" if any(near) else ""
    return f"{cls.__name__} has no field {name_list(unknown)}. It has: {', '.join(names)}.{meant}"


def _refuse_assignment(config: ConfigNames, name: str, value: object) -> None:
    if name not in CONFIG_ASSIGNMENTS:
        _refuse_deletion(config, name)


def _refuse_deletion(config: ConfigNames, name: str) -> NoReturn:
    what, change = (
        ("a field", f"{name}=...") if name in config.field_names() else ("no field", f"extra={{{name!r}: ...}}")
    )
    raise FrozenConfigError(
        f"{name} is {what} of {type(config).__name__}, whose objects do not change. Use replace(): "
        f"config = config.replace({change}), and make or load the model with it."
    )
