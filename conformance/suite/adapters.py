"""One protocol over NumPy, PyTorch and Keras; the suite knows the frameworks through it only."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from deberta_core import reference
from deberta_core.config import BaseConfig
from deberta_core.parameters import expand
from deberta_core.tasks import task_spec

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


class Adapter(Protocol):
    """A model of one framework with given parameters."""

    name: str

    def __init__(self, config: BaseConfig, task: str | None, params: Arrays, dtype: str | None = None) -> None:
        """Builds the model and loads the parameters, named and laid out as in PyTorch.

        Args:
            config: its configuration.
            task: a name of `TASKS`; None is the backbone.
            params: by PyTorch name.
            dtype: of the model, in the framework's own words; None is float32.
        """

    @classmethod
    def from_pretrained(cls, folder: Path, config: BaseConfig, task: str | None) -> Self:
        """The model of a checkpoint folder, loaded as users load it."""

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """Every output by the names of `reference.forward`, in evaluation mode."""

    def gradients(self, inputs: Arrays) -> tuple[Array, dict[str, Array]]:
        """The loss with dropout off, and its gradient by parameter name, in PyTorch's layout."""

    def score_parts(self, inputs: Arrays) -> dict[str, Array]:
        """What explanations show: the parts of every layer's scores, by the names of `reference.forward`."""


class ReferenceAdapter:
    """The judge: NumPy in float64."""

    name = "reference"

    def __init__(self, config: BaseConfig, task: str | None, params: Arrays) -> None:
        self.config, self.task, self.params = config, task, params

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """See `Adapter`."""
        return reference.forward(self.config, self.params, inputs, self.task)

    def loss(self, changed: Arrays, inputs: Arrays) -> float:
        """The loss with some parameters changed."""
        return float(reference.forward(self.config, {**self.params, **changed}, inputs, self.task)["loss"])

    def directional_derivative(self, name: str, direction: Array, inputs: Arrays, step: float = 1e-5) -> float:
        """The derivative of the loss along `direction` (of length 1) in one parameter, by central differences."""
        value = self.params[name].astype(np.float64)
        up, down = (self.loss({name: value + sign * step * direction}, inputs) for sign in (1, -1))
        return (up - down) / (2 * step)


def _numpy(tensor: Any) -> Array:
    """A PyTorch tensor as float32, or as float64 if it is."""
    return np.asarray((tensor if str(tensor.dtype) == "torch.float64" else tensor.float()).numpy())


class TorchAdapter:
    """PyTorch in float32."""

    name = "torch"

    def __init__(self, config: BaseConfig, task: str | None, params: Arrays, dtype: str | None = None) -> None:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = False
        self.model = self._model_class(config, task)(config)
        state = {name: torch.from_numpy(np.array(value)) for name, value in params.items()}
        self.model.load_state_dict(state, strict=True)
        if dtype is not None:
            self.model.to(getattr(torch, dtype))

    @classmethod
    def from_pretrained(cls, folder: Path, config: BaseConfig, task: str | None) -> Self:
        """See `Adapter`."""
        made = cls.__new__(cls)
        made.model = cls._model_class(config, task).from_pretrained(folder)
        return made

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """See `Adapter`."""
        import torch

        with torch.no_grad():
            output = self.model.eval()(**self._tensors(inputs), output_hidden_states=True, output_attentions=True)
        return flatten_outputs(output, _numpy)

    def gradients(self, inputs: Arrays) -> tuple[Array, dict[str, Array]]:
        """See `Adapter`."""
        self.model.eval().zero_grad()
        loss = self.model(**self._tensors(inputs)).loss
        loss.backward()
        grads = {name: parameter.grad for name, parameter in self.model.named_parameters()}
        parameters = dict(self.model.named_parameters())
        return loss.detach().numpy(), {
            name: np.zeros(parameters[name].shape, np.float32) if grad is None else grad.numpy().copy()
            for name, grad in grads.items()
        }

    def score_parts(self, inputs: Arrays) -> dict[str, Array]:
        """See `Adapter`."""
        from deberta_torch.explain import score_parts

        model, tensors = self.model.eval(), self._tensors(inputs)
        return flatten_parts(lambda layer: score_parts(model, layer, **tensors), model.config, _numpy)

    @staticmethod
    def _model_class(config: BaseConfig, task: str | None) -> Any:
        import deberta_torch

        return getattr(deberta_torch, model_class(config, task))

    @staticmethod
    def _tensors(inputs: Arrays) -> dict[str, Any]:
        import torch

        return {name: torch.from_numpy(np.array(value)) for name, value in inputs.items()}


class TorchSdpaAdapter(TorchAdapter):
    """PyTorch without probabilities and gradients: then it uses what `attn_implementation` names."""

    name = "torch sdpa"
    attn_implementation = "sdpa"

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """See `Adapter`; without attentions."""
        import torch

        self.model.set_attn_implementation(self.attn_implementation)
        with torch.no_grad():
            output = self.model.eval()(**self._tensors(inputs), output_hidden_states=True)
        return flatten_outputs(output, _numpy)


class TorchFlexAdapter(TorchSdpaAdapter):
    """The same with flex attention."""

    name = "torch flex"
    attn_implementation = "flex"


class TorchTritonAdapter(TorchSdpaAdapter):
    """The same with our Triton kernels, interpreted, forward and backward."""

    name = "torch triton"
    attn_implementation = "triton"

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """See `TorchSdpaAdapter`."""
        found: dict[str, Array] = self._interpreted(super().forward, inputs)
        return found

    def gradients(self, inputs: Arrays) -> tuple[Array, dict[str, Array]]:
        """See `Adapter`."""
        self.model.set_attn_implementation(self.attn_implementation)
        found: tuple[Array, dict[str, Array]] = self._interpreted(super().gradients, inputs)
        return found

    def _interpreted(self, function: Callable[[Arrays], Any], inputs: Arrays) -> Any:
        from conformance.suite.interpreted import interpreted

        with interpreted():
            found = function(inputs)
        assert self.model.attn_implementation_used == ("triton", None), self.model.attn_implementation_used
        return found


class KerasAdapter:
    """Keras in float32; gradients on TensorFlow alone."""

    name = "keras"

    def __init__(self, config: BaseConfig, task: str | None, params: Arrays, dtype: str | None = None) -> None:
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_tensor_float_32_execution(False)
        self._hold(self._model_class(config, task)(config, dtype=dtype))
        assert set(self.variables) == set(params)
        for name, value in params.items():
            self.variables[name].assign(self.table[name].kind.convert(value))

    @classmethod
    def from_pretrained(cls, folder: Path, config: BaseConfig, task: str | None) -> Self:
        """See `Adapter`."""
        made = cls.__new__(cls)
        made._hold(cls._model_class(config, task).from_pretrained(folder))
        return made

    def _hold(self, model: Any) -> None:
        from deberta_tf.weights import parameter_variables

        self.model = model
        self.variables = parameter_variables(model)
        self.table = expand(model.config, model.task)

    @staticmethod
    def _model_class(config: BaseConfig, task: str | None) -> Any:
        import deberta_tf

        return getattr(deberta_tf, f"TF{model_class(config, task)}")

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """See `Adapter`."""
        output = self.model(dict(inputs), output_hidden_states=True, output_attentions=True)
        return flatten_outputs(output, np.asarray)

    def gradients(self, inputs: Arrays) -> tuple[Array, dict[str, Array]]:
        """See `Adapter`."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self.model(dict(inputs), training=False).loss
        grads = tape.gradient(loss, [variable.value for variable in self.variables.values()])
        gradients = {}
        for (name, variable), grad in zip(self.variables.items(), grads, strict=True):
            values = np.zeros(variable.shape, np.float32) if grad is None else tf.convert_to_tensor(grad).numpy()
            gradients[name] = self.table[name].kind.convert(values)
        return np.asarray(loss), gradients

    def score_parts(self, inputs: Arrays) -> dict[str, Array]:
        """See `Adapter`."""
        from deberta_tf.explain import score_parts

        return flatten_parts(lambda layer: score_parts(self.model, layer, **inputs), self.model.config, np.asarray)


class TransformersAdapter:
    """transformers' PyTorch models in float32, where they are installed: somebody else's error, to compare with."""

    name = "transformers"

    def __init__(self, config: BaseConfig, task: str | None, params: Arrays, dtype: str | None = None) -> None:
        import torch
        import transformers

        published = transformers.AutoConfig.for_model(**config.to_dict(), attn_implementation="eager")
        self.model = getattr(transformers, model_class(config, task))(published)
        state = {name: torch.from_numpy(np.array(value)) for name, value in params.items()}
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}  # other names of loaded parameters
        assert set(missing) <= tied, missing
        assert not unexpected, unexpected

    forward = TorchAdapter.forward
    _tensors = staticmethod(TorchAdapter._tensors)


FRAMEWORKS: dict[str, type[TorchAdapter] | type[KerasAdapter]] = {"torch": TorchAdapter, "keras": KerasAdapter}


class TorchOptimizedAdapter(TorchSdpaAdapter):
    """The same with the encoder of `deberta_torch.optimize`."""

    name = "torch optimized"
    precision = "float32"

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """See `TorchSdpaAdapter`."""
        from deberta_core.errors import DebertaWarning
        from deberta_torch import optimize

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DebertaWarning)  # a CPU without the instructions emulates them
            optimize(self.model, dtype=self.precision)
        return super().forward(inputs)


class TorchOptimizedBfloat16Adapter(TorchOptimizedAdapter):
    """The same with products and attention in bfloat16."""

    name = "torch optimized bfloat16"
    precision = "bfloat16"


class TorchOptimizedInt8Adapter(TorchOptimizedAdapter):
    """The same with 8-bit products."""

    name = "torch optimized int8"
    precision = "int8"


# PyTorch again, with its other implementations of attention, and with packed weights.
IMPLEMENTATIONS: dict[str, type[TorchSdpaAdapter]] = {
    adapter.name: adapter for adapter in (TorchSdpaAdapter, TorchFlexAdapter, TorchOptimizedAdapter)
}
INTERPRETED: dict[str, type[TorchSdpaAdapter]] = {TorchTritonAdapter.name: TorchTritonAdapter}
# With weights and activations of fewer bits, which have bounds of their own.
REDUCED: dict[str, type[TorchOptimizedAdapter]] = {
    adapter.name: adapter for adapter in (TorchOptimizedBfloat16Adapter, TorchOptimizedInt8Adapter)
}
_PACKAGES = {"torch": ("torch",), "keras": ("tensorflow", "keras"), "transformers": ("torch", "transformers")}


def is_installed(framework: str) -> bool:
    """Whether the packages of a framework are there; none of them is imported."""
    return all(importlib.util.find_spec(package) for package in _PACKAGES[framework])


def model_class(config: BaseConfig, task: str | None) -> str:
    """The name of the PyTorch class of a configuration and task."""
    return type(config).__name__.removesuffix("Config") + task_spec(task).class_suffix


def flatten_outputs(output: Any, to_numpy: Callable[[Any], Array]) -> dict[str, Array]:
    """A model's output as the flat names of `reference.forward`."""
    flat: dict[str, Array] = {}
    for name, value in output.items():
        if isinstance(value, tuple):
            flat |= {f"{name}.{number}": to_numpy(part) for number, part in enumerate(value)}
        else:
            flat[name] = to_numpy(value)
    return flat


def flatten_parts(
    score_parts: Callable[[int], Any], config: BaseConfig, to_numpy: Callable[[Any], Array]
) -> dict[str, Array]:
    """The parts of the scores of every layer as the flat names of `reference.forward`."""
    flat: dict[str, Array] = {}
    for layer in range(config.num_hidden_layers):
        found = score_parts(layer)
        parts = {name: getattr(found, name) for name in ("content", "c2p", "p2c")}
        flat |= {f"scores.{layer}.{name}": to_numpy(part) for name, part in parts.items() if part is not None}
    return flat
