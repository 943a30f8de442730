"""The one place where the core meets PyTorch and TensorFlow, resolved when called: tensors, and models."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.array_model import ArrayModel, Arrays
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, one_of
from deberta_core.parameters import expand
from deberta_core.tasks import task_spec

# Name, also of the extra that installs it -> its module; in the order of preference.
FRAMEWORKS = {"torch": "torch", "tf": "tensorflow"}
# Batches a Keras model computes op by op, before the seconds that a graph takes to make are likely to pay.
EAGER_BATCHES = 8


def to_tensor(array: NDArray[Any], kind: str) -> Any:
    """Makes a framework's tensor of an array.

    Args:
        array: of int64 or float32.
        kind: "np", the array itself; "pt", the same dtype; "tf", int32 or float32.

    Raises:
        InputError: the kind is unknown, or its framework is not installed.
    """
    if kind not in _TENSORS:
        raise InputError(one_of("return_tensors", kind, tuple(_TENSORS)))
    return _TENSORS[kind](array)


def to_list(value: Any) -> Any:
    """Turns an array of NumPy, PyTorch or TensorFlow into nested lists; anything else stays."""
    if hasattr(value, "numpy") and not hasattr(value, "tolist"):
        value = value.numpy()
    return value.tolist() if hasattr(value, "tolist") else value


def worker_seed() -> int | None:
    """The seed PyTorch gave the DataLoader worker this runs in, other in every worker and epoch; None elsewhere."""
    loading = sys.modules.get("torch.utils.data")
    worker = loading and loading.get_worker_info()
    return int(worker.seed) if worker else None


def choose_framework(framework: str | None = None) -> str:
    """The framework to load a model in: the one that is named, or else the first of `FRAMEWORKS` that is installed.

    Raises:
        InputError: the name is unknown, or the framework, or any, is not installed.
    """
    if framework is not None and framework not in FRAMEWORKS:
        raise InputError(one_of("framework", framework, tuple(FRAMEWORKS)))
    wanted = FRAMEWORKS if framework is None else (framework,)
    for name in wanted:
        if importlib.util.find_spec(FRAMEWORKS[name]) is not None:
            return name
    mend = " or ".join(f"pip install 'deberta-dual[{name}]'" for name in wanted)
    raise InputError(f"framework={framework!r} needs {' or '.join(map(FRAMEWORKS.__getitem__, wanted))}. Use {mend}.")


def framework_of(model: Any) -> str:
    """The framework a model object is of, "torch" or "tf".

    Raises:
        InputError: it is no model of this library.
    """
    torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
    has_config = hasattr(model, "config") and hasattr(model, "task")
    if torch and has_config and isinstance(model, torch.nn.Module):
        return "torch"
    if keras and has_config and isinstance(model, keras.Model):
        return "tf"
    raise InputError(
        f"model is of type {type(model).__name__}. Give a folder, a hub id, or a model of deberta_torch or deberta_tf."
    )


def load_model(path: Path, task: str | None, framework: str, device: Any = None, dtype: Any = None) -> Any:
    """Loads a model for inference: on the CPU PyTorch's are optimised (`deberta_torch.optimize`).

    Args:
        path: a checkpoint folder.
        task: the task of the model; None for the backbone.
        framework: a name of `FRAMEWORKS`, installed.
        device: where to; None is the best device there is.
        dtype: of the computation, as the framework's `optimize` (on the CPU) or `from_pretrained` takes it; None is
            float32.

    Raises:
        InputError: an unknown device or dtype.
        ConfigError: see `from_pretrained`.
        WeightError: see `from_pretrained`.
    """
    name = f"AutoModel{task_spec(task).class_suffix.removeprefix('Model')}"
    if framework == "tf":
        import deberta_tf

        with _keras_device(device):
            return getattr(deberta_tf, f"TF{name}").from_pretrained(path, dtype=_keras_policy(dtype))
    import deberta_torch
    from deberta_torch.device_map import choose_device

    place = choose_device(device, "auto" if device is None else None)
    load = partial(getattr(deberta_torch, name).from_pretrained, path, device=place)
    if getattr(place, "type", place) != "cpu":
        return load(dtype=dtype)
    model = load()
    if dtype is None and model.config.mixes_heads:
        return model  # talking heads have no fast encoder
    return deberta_torch.optimize(model, "float32" if dtype is None else dtype)


def trainable_model(
    config: BaseConfig, task: str, framework: str, folder: Path | None, dtype: str, device: Any = None
) -> tuple[Any, tuple[str, ...]]:
    """Makes a model to be trained, with parameters in float32.

    Args:
        config: the model's configuration.
        task: its task.
        framework: a name of `FRAMEWORKS`, installed.
        folder: a checkpoint folder; None: nothing is loaded.
        dtype: of products: "float32", or "bfloat16" in mixed precision (PyTorch's models are not made for one).
        device: where to; None is the best device there is.

    Returns:
        the model, and the names of the parameters that the folder lacks, or has in another shape.

    Raises:
        InputError: an unknown device.
        WeightError: see `from_pretrained`.
    """
    name = f"AutoModel{task_spec(task).class_suffix}"
    options: dict[str, Any] = {"new_head": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    if framework == "tf":
        import deberta_tf

        classes = getattr(deberta_tf, f"TF{name}").classes
        policy = _keras_policy("mixed_bfloat16" if dtype == "bfloat16" else dtype)
        with _keras_device(device):
            if folder is None:
                return classes[config.model_type](config, dtype=policy), tuple(expand(config, task))
            model, report = classes[config.model_type].from_pretrained(folder, config, dtype=policy, **options)
    else:
        import deberta_torch
        from deberta_torch.finetuning import training_device

        place = training_device(device)
        classes = getattr(deberta_torch, name).classes
        if folder is None:
            return classes[config.model_type](config).to(place), tuple(expand(config, task))
        model, report = classes[config.model_type].from_pretrained(folder, config, device=place, **options)
    return model, (*report.missing, *(name for name, *_ in report.mismatched))


def set_parameters(model: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Sets parameters of a model of either framework by their names, from arrays in PyTorch's layout."""
    if framework_of(model) == "torch":
        from deberta_torch.weights import assign
    else:
        from deberta_tf.weights import assign
    assign(model, arrays)


def train(model: Any, run: Any, device: Any = None) -> None:
    """Trains a model of either framework, in its own loop.

    Args:
        model: of `trainable_model`.
        run: a `deberta_core.finetuning.run.Run`, that says what to do.
        device: where a Keras model computes. Those of PyTorch compute where they are.
    """
    if framework_of(model) == "torch":
        from deberta_torch.finetuning import train

        train(model, run)
    else:
        from deberta_tf.finetuning import train

        with _keras_device(device):
            train(model, run)


def array_model(model: Any, device: Any = None) -> ArrayModel:
    """A model object as a function of arrays; a call leaves the object's mode as it is.

    Args:
        model: of `deberta_torch` or `deberta_tf`.
        device: where a Keras model computes. Those of PyTorch compute where they are.

    Raises:
        InputError: see `framework_of`; or TensorFlow has no such device.
    """
    if framework_of(model) == "torch":
        return ArrayModel(model.config, model.task, partial(_run_torch, model))
    return ArrayModel(model.config, model.task, _KerasRunner(model, device), compiles=bool(model.jit_compile))


def _run_torch(model: Any, inputs: Arrays, places: NDArray[Any] | None) -> Arrays:
    import torch

    where = next(model.parameters()).device
    with torch.inference_mode(), _evaluating(model):
        tensors = {name: torch.from_numpy(array).to(where) for name, array in inputs.items()}
        if places is None:
            outputs = _named_arrays(model(**tensors))
        else:
            from deberta_torch.models import Encoded

            hidden = model.deberta(**tensors).last_hidden_state
            rows, tokens = torch.from_numpy(places).to(where).unbind(1)
            outputs = model.predict_outputs(Encoded(hidden[rows, tokens], None, None, None))
        return {name: value.float().cpu().numpy() for name, value in outputs.items()}


class _KerasRunner:
    """A Keras model as `ArrayModel.run`: op by op at first, then as one graph for batches of any shape."""

    def __init__(self, model: Any, device: Any) -> None:
        import keras

        if keras.backend.backend() != "tensorflow":
            raise InputError(f"Keras runs on {keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow.")
        self._model, self._device, self._batches = model, device, 0
        self._graph: Callable[[Arrays], dict[str, Any]] | None = None
        with _keras_device(device):  # an unknown one is refused here
            pass

    def __call__(self, inputs: Arrays, places: NDArray[Any] | None) -> Arrays:
        self._batches += 1
        model = self._model
        with _keras_device(self._device):
            if places is None:
                outputs = self._compute(model, inputs)
            else:
                from deberta_tf.models import Encoded

                hidden = self._compute(model.deberta, inputs)["last_hidden_state"].numpy()
                rows = hidden[None, places[:, 0], places[:, 1]]  # [1, M, C]
                outputs = {"logits": model.predict_outputs(Encoded(rows, None, None, None))["logits"][0]}
        return {name: value.numpy().astype(np.float32) for name, value in outputs.items()}

    def _compute(self, model: Any, inputs: Arrays) -> dict[str, Any]:
        if self._batches <= EAGER_BATCHES:
            return _named_arrays(model(inputs, training=False))
        if self._graph is None:
            import tensorflow as tf

            self._graph = tf.function(
                lambda batch: _named_arrays(model(batch, training=False)),
                input_signature=[{name: tf.TensorSpec([None] * x.ndim, tf.int64) for name, x in inputs.items()}],
                jit_compile=bool(model.jit_compile),
            )
        return self._graph(inputs)


def _named_arrays(output: Any) -> dict[str, Any]:
    return {name: value for name, value in output.items() if hasattr(value, "shape")}


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _keras_policy(dtype: Any) -> Any:
    import keras

    try:
        return None if dtype is None else keras.dtype_policies.get(dtype)
    except (TypeError, ValueError):
        raise InputError(f"dtype={dtype!r} is no dtype or policy of Keras. Give one such as 'bfloat16'.") from None


@contextmanager
def _keras_device(device: Any) -> Iterator[None]:
    import tensorflow as tf

    if device is None:
        yield
        return
    name = str(device).lower().replace("cuda", "gpu")
    present = [found.name.removeprefix("/device:").lower() for found in tf.config.list_logical_devices()]
    if name not in {*present, *(one.split(":")[0] for one in present)}:
        raise InputError(f"device={device!r} is not here. TensorFlow has: {', '.join(present)}.")
    with tf.device(name):
        yield


def _torch_tensor(array: NDArray[Any]) -> Any:
    try:
        import torch
    except ImportError:
        raise InputError(
            "return_tensors='pt' needs PyTorch. Install it with: pip install 'deberta-dual[torch]'"
        ) from None
    return torch.from_numpy(array)


def _tf_tensor(array: NDArray[Any]) -> Any:
    try:
        import tensorflow as tf
    except ImportError:
        raise InputError(
            "return_tensors='tf' needs TensorFlow. Install it with: pip install 'deberta-dual[tf]'"
        ) from None
    return tf.constant(array, dtype=tf.int32 if array.dtype == np.int64 else tf.float32)


_TENSORS: dict[str, Callable[[NDArray[Any]], Any]] = {"np": lambda array: array, "pt": _torch_tensor, "tf": _tf_tensor}
