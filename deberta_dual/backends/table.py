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
from deberta_dual.backends.protocol import Backend, ExplainingBackend, PretrainingBackend
from deberta_dual.processes import TF_CONFIG, TORCHRUN, own_process


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework; its name is also that of the extra which installs it.

    Attributes:
        module: what does `Backend`'s work: a module, or "module:name" of an object.
        packages: the first brings the others; while the last is not imported, no object can be a model of it.
        trains: whether it trains models, or runs them alone.
        launchers: what tells several processes that they train one model, by kind of training.
        environment: variables that are set before it is imported, where they are not set.
    """

    module: str
    packages: tuple[str, ...]
    trains: bool = True
    launchers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


FRAMEWORKS: dict[str, Framework] = {
    "torch": Framework(
        "deberta_dual.backends.torch", ("torch",), launchers={"finetuning": TORCHRUN, "pretraining": TORCHRUN}
    ),
    "tf": Framework(
        "deberta_dual.backends.tf",
        ("tensorflow", "keras"),
        launchers={"pretraining": TF_CONFIG},
        # Our Keras models are promised on TensorFlow, and its C++ notices are not ours.
        environment={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
    ),
    "onnx": Framework("deberta_dual.backends.graphs:ONNX", ("onnxruntime",), trains=False),
    "openvino": Framework("deberta_dual.backends.graphs:OPENVINO", ("openvino",), trains=False),
}


TRAINERS = tuple(name for name, row in FRAMEWORKS.items() if row.trains)


def choose_framework(framework: str | None = None, *, trains: str | None = None) -> str:
    """The framework to load a model in: the one that is named, or else the first of `FRAMEWORKS` that is installed.

    Args:
        framework: a name; None for the first.
        trains: "finetuning" or "pretraining", for one that does so in all processes that were started; None: for one
            that runs models.

    Raises:
        InputError: the name is unknown, the framework, or any, is not installed, or it trains in one process alone.
    """
    known = TRAINERS if trains else tuple(FRAMEWORKS)
    if framework is not None and framework not in known:
        raise InputError(one_of("framework", framework, known))
    wanted = known if framework is None else (framework,)
    for name in wanted:
        if importlib.util.find_spec(FRAMEWORKS[name].packages[0]) is not None:
            if trains:
                _check_processes(name, trains)
            return name
    needed = " or ".join(FRAMEWORKS[name].packages[0] for name in wanted)
    mend = " or ".join(f"pip install 'deberta-dual[{name}]'" for name in wanted)
    raise InputError(f"framework={framework!r} needs {needed}. Use {mend}.")


def _check_processes(framework: str, training: str) -> None:
    """Refuses several processes of which the framework is told in another way, or not at all."""
    process, launcher = own_process(), FRAMEWORKS[framework].launchers.get(training)
    if process.count > 1 and process.launcher != launcher:
        does = "works in one process" if launcher is None else f"is told of its processes by {launcher}"
        raise InputError(
            f"{training} with framework={framework!r} {does}, and this is one of {process.count} of "
            f"{process.launcher}. Use another framework, or leave {process.launcher} out."
        )


def get_backend(framework: str) -> Backend:
    """The backend of a name of `FRAMEWORKS` that is installed."""
    module, _, name = FRAMEWORKS[framework].module.partition(":")
    found = importlib.import_module(module)
    return cast(Backend, getattr(found, name) if name else found)


def pretraining_backend(framework: str) -> PretrainingBackend:
    """What pretrains in a framework of `TRAINERS` that is installed."""
    return cast(PretrainingBackend, importlib.import_module(f"{FRAMEWORKS[framework].module}_pretraining"))


def explaining_backend(framework: str | None) -> ExplainingBackend:
    """What explains models of a framework of `TRAINERS`.

    Raises:
        InputError: it is another framework: a graph tells nothing of its inside.
    """
    if framework not in TRAINERS:
        raise InputError(f"a model of {framework} cannot be explained. Load it with one of: {', '.join(TRAINERS)}.")
    return cast(ExplainingBackend, importlib.import_module(f"{FRAMEWORKS[framework].module}_explain"))


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


def installed_versions() -> dict[str, str]:
    """The versions of the frameworks' packages that are installed, by package."""
    distributions = importlib.metadata.packages_distributions()
    packages = (package for row in FRAMEWORKS.values() for package in row.packages)
    return {name: importlib.metadata.version(distributions[name][0]) for name in packages if name in distributions}
