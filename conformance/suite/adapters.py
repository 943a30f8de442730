"""One protocol over NumPy, PyTorch and Keras; the suite knows the frameworks through it only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

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

    def __init__(self, config: BaseConfig, task: str | None, params: Arrays) -> None:
        """Builds the model and loads the parameters, named and laid out as in PyTorch."""

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """Every output by the names of `reference.forward`, in evaluation mode."""

    def gradients(self, inputs: Arrays) -> tuple[Array, dict[str, Array]]:
        """The loss with dropout off, and its gradient by parameter name, in PyTorch's layout."""


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


class TorchAdapter:
    """PyTorch in float32."""

    name = "torch"

    def __init__(self, config: BaseConfig, task: str | None, params: Arrays) -> None:
        import torch

        import deberta_torch

        torch.backends.cuda.matmul.allow_tf32 = False
        self.model = getattr(deberta_torch, model_class(config, task))(config)
        state = {name: torch.from_numpy(np.array(value)) for name, value in params.items()}
        self.model.load_state_dict(state, strict=True)

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """See `Adapter`."""
        import torch

        with torch.no_grad():
            output = self.model.eval()(**self._tensors(inputs), output_hidden_states=True, output_attentions=True)
        return flatten_outputs(output, lambda tensor: tensor.float().numpy())

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

    @staticmethod
    def _tensors(inputs: Arrays) -> dict[str, Any]:
        import torch

        return {name: torch.from_numpy(np.array(value)) for name, value in inputs.items()}


class KerasAdapter:
    """Keras on TensorFlow in float32."""

    name = "keras"

    def __init__(self, config: BaseConfig, task: str | None, params: Arrays) -> None:
        import tensorflow as tf

        import deberta_tf
        from deberta_tf.weights import parameter_variables

        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.model = getattr(deberta_tf, f"TF{model_class(config, task)}")(config)
        self.variables = parameter_variables(self.model)
        self.table = expand(config, task)
        assert set(self.variables) == set(params)
        for name, value in params.items():
            self.variables[name].assign(self.table[name].kind.convert(value))

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


FRAMEWORKS: dict[str, type[TorchAdapter] | type[KerasAdapter]] = {"torch": TorchAdapter, "keras": KerasAdapter}


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
