"""The frameworks by name, in the order of preference; each is imported when it is asked for."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from deberta_core.errors import InputError, one_of
from deberta_dual.backends.protocol import Backend


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework; its name is also that of the extra which installs it.

    Attributes:
        module: what does `Backend`'s work.
        packages: the first brings the others; while the last is not imported, no object can be a model of it.
        environment: variables that are set before it is imported, where they are not set.
    """

    module: str
    packages: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


FRAMEWORKS: dict[str, Framework] = {
    "torch": Framework("deberta_dual.backends.torch", ("torch",)),
    "tf": Framework(
        "deberta_dual.backends.tf",
        ("tensorflow", "keras"),
        # Our Keras models are promised on TensorFlow, and its C++ notices are not ours.
        {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
    ),
}


def choose_framework(framework: str | None = None) -> str:
    """The framework to load a model in: the one that is named, or else the first of `FRAMEWORKS` that is installed.

    Raises:
        InputError: the name is unknown, or the framework, or any, is not installed.
    """
    if framework is not None and framework not in FRAMEWORKS:
        raise InputError(one_of("framework", framework, tuple(FRAMEWORKS)))
    wanted = tuple(FRAMEWORKS) if framework is None else (framework,)
    for name in wanted:
        if importlib.util.find_spec(FRAMEWORKS[name].packages[0]) is not None:
            return name
    needed = " or ".join(FRAMEWORKS[name].packages[0] for name in wanted)
    mend = " or ".join(f"pip install 'deberta-dual[{name}]'" for name in wanted)
    raise InputError(f"framework={framework!r} needs {needed}. Use {mend}.")


def get_backend(framework: str) -> Backend:
    """The backend of a name of `FRAMEWORKS` that is installed."""
    return cast(Backend, importlib.import_module(FRAMEWORKS[framework].module))


def owner(model: Any) -> str:
    """The name of the framework a model object is of.

    Raises:
        InputError: it is no model of this library.
    """
    for name, row in FRAMEWORKS.items():
        # What is not imported has made no object.
        if row.packages[-1] in sys.modules and get_backend(name).is_model(model):
            return name
    raise InputError(
        f"model is of type {type(model).__name__}. Give a folder, a hub id, or a model of deberta_torch or deberta_tf."
    )


def set_environment() -> None:
    """Sets what the frameworks should find when they are imported; for a process of our own."""
    for row in FRAMEWORKS.values():
        for name, value in row.environment.items():
            os.environ.setdefault(name, value)


def own_version() -> str:
    """The version of this library; "of no version" where it runs from its sources and was not installed."""
    try:
        return importlib.metadata.version("deberta-dual")
    except importlib.metadata.PackageNotFoundError:
        return "of no version"


def installed_versions() -> dict[str, str]:
    """The versions of the frameworks' packages that are installed, by package."""
    distributions = importlib.metadata.packages_distributions()
    packages = (package for row in FRAMEWORKS.values() for package in row.packages)
    return {name: importlib.metadata.version(distributions[name][0]) for name in packages if name in distributions}
