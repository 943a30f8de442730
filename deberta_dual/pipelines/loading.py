"""Loading a model in a framework that is named, found, or chosen by measuring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deberta_core.errors import InputError
from deberta_dual.backends import Backend, get_backend
from deberta_dual.compiling.candidates import AUTOMATIC
from deberta_dual.compiling.measure import known_choice, thread_option
from deberta_dual.pipelines.checkpoint_heads import framework_of

_CPU = (None, "cpu", -1)


def load_model(
    framework: str | None, folder: Path, task: str | None, device: Any = None, dtype: Any = None, **options: Any
) -> tuple[Backend, Any]:
    """Loads a model for inference.

    Args:
        framework: a name of `FRAMEWORKS`, or of `AUTOMATIC`, which is measured for this machine unless it is known;
            None: see `framework_of`.
        folder: a checkpoint folder.
        task: of the model; None is the backbone.
        device: see `Backend.load_model`.
        dtype: likewise.
        **options: likewise.

    Returns:
        the backend, and its model.

    Raises:
        InputError: an unknown framework, or an argument that "auto" chooses by itself.
        ConfigError: see `Backend.load_model`.
        WeightError: likewise.
    """
    if framework not in AUTOMATIC:
        backend = get_backend(framework_of(framework, folder, task))
        return backend, backend.load_model(folder, task, device, dtype, **options)
    if dtype is not None or device not in _CPU or options:
        name = "dtype" if dtype is not None else "device" if device not in _CPU else min(options)
        raise InputError(f"{name} is not for framework={framework!r}, which chooses for the CPU. Leave it out.")
    choice = known_choice(folder, task, framework)
    backend = get_backend(choice.framework)
    return backend, backend.load_model(folder, task, "cpu", choice.dtype, **thread_option(choice.threads))
