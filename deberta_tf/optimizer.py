"""AdamW as PyTorch computes it, with rates of its own for each parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops


class ParameterAdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay; epsilon is added to the corrected root, as in the paper and in PyTorch.

    Keras' own AdamW adds epsilon before the correction, and knows one rate and one decay for all parameters.

    Args:
        learning_rate: the highest rate of a parameter.
        rates: path of a variable -> its share of the learning rate, and its weight decay; (1, 0) without an entry.
        **options: of `keras.optimizers.Adam`.

    Source:
        Loshchilov & Hutter (2019), algorithm 2; Kingma & Ba (2015), algorithm 1.
    """

    def __init__(self, learning_rate: Any, rates: Mapping[str, tuple[float, float]], **options: Any) -> None:
        super().__init__(learning_rate, **options)
        self.rates = {path: (float(share), float(decay)) for path, (share, decay) in rates.items()}

    def build(self, variables: Any) -> None:
        """Makes what is kept of each variable."""
        super().build(variables)
        self._rates = [self.rates.get(variable.path, (1.0, 0.0)) for variable in variables]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Moves the variables."""
        # TensorFlow gives an embedding's gradient as rows, one for each use of an id; clipping would take those of one
        # id apart. Reshaping adds them up.
        variables = trainable_variables or self._trainable_variables
        pairs = zip(grads, variables, strict=True)
        dense = [None if one is None else ops.reshape(one, variable.shape) for one, variable in pairs]
        super().apply(dense, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable."""
        place = self._get_variable_index(variable)
        share, decay = self._rates[place]
        rate = ops.cast(learning_rate, variable.dtype) * share
        gradient = ops.cast(gradient, variable.dtype)
        mean, square = self._momentums[place], self._velocities[place]
        self.assign(mean, self.beta_1 * mean + (1 - self.beta_1) * gradient)
        self.assign(square, self.beta_2 * square + (1 - self.beta_2) * ops.square(gradient))
        step = ops.cast(self.iterations + 1, variable.dtype)
        mean_scale = 1 - ops.power(ops.cast(self.beta_1, variable.dtype), step)
        square_scale = 1 - ops.power(ops.cast(self.beta_2, variable.dtype), step)
        change = (mean / mean_scale) / (ops.sqrt(square / square_scale) + self.epsilon)
        self.assign(variable, variable * (1 - rate * decay) - rate * change)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "rates": self.rates}
