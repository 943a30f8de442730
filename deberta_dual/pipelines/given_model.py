"""A model object as pipelines use it: a function of arrays, with what is known of its framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deberta_core.errors import InputError
from deberta_dual.backends import Backend, get_backend, owner
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.pipelines.ensemble import average_models


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model object.

    Args:
        model: the object; of several models their tuple.
        arrays: what runs it.
        framework: its name; None for an `ArrayModel`, and so are the two below; None where several models differ.
        device: where it computes.
        backend: what knows the framework.
    """

    model: Any
    arrays: ArrayModel
    framework: str | None = None
    device: Any = None
    backend: Backend | None = None


def given_model(model: Any, task: str | None, *, framework: str | None, device: Any, dtype: Any) -> GivenModel:
    """Makes a model object ready for a task.

    Args:
        model: a model of a framework, or an `ArrayModel`; or a list of such, see `average_models`.
        task: the model's task; None takes the backbone out of any model.
        framework: if given, it must be the model's.
        device: where it is to compute; None: where it is.
        dtype: if given, it must be the model's.

    Raises:
        InputError: the model is none, or `framework` or `dtype` are others than its own, or `device` is unknown.
    """
    if isinstance(model, list | tuple):
        if not model:
            raise InputError("model=[] is not allowed. Give at least one model.")
        members = [given_model(one, task, framework=framework, device=device, dtype=dtype) for one in model]
        alike = (members[0].framework, members[0].device)
        alike = alike if all((one.framework, one.device) == alike for one in members) else (None, None)
        return GivenModel(tuple(one.model for one in members), average_models([one.arrays for one in members]), *alike)
    if isinstance(model, ArrayModel):
        return GivenModel(model, model)
    own = owner(model)
    if framework not in (None, own):
        raise InputError(f"framework={framework!r}, but the model is one of {own!r}. Leave framework out.")
    has = str(getattr(model, "dtype", None)).removeprefix("torch.")
    if dtype not in (None, "auto") and str(dtype).removeprefix("torch.") != has:
        raise InputError(
            f"dtype={dtype!r} is for models that are loaded here; this one has {has}. Convert it, or leave dtype out."
        )
    model = getattr(model, "deberta", model) if task is None else model
    backend = get_backend(own)
    place = backend.place_model(model, device)
    return GivenModel(model, backend.array_model(model, device), own, place, backend)
