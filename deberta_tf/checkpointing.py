"""Gradient checkpointing: what a layer computed inside is forgotten, and computed again in the backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from deberta_core.errors import InputError
from deberta_tf.attention import RelativePositions
from deberta_tf.masks import Masks

if TYPE_CHECKING:
    from deberta_tf.encoder import Layer


def check_checkpointing() -> None:
    """Refuses backends of Keras other than TensorFlow.

    Raises:
        InputError: it is another.
    """
    if (backend := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"gradient checkpointing is not for Keras on {backend!r}. Set KERAS_BACKEND=tensorflow, or leave it out."
        )


def recompute(
    layer: Layer, hidden: Any, masks: Masks, positions: RelativePositions | None, query: Any = None, rows: Any = None
) -> Any:
    """Computes a layer in training, twice; arguments and result are those of `Layer.call`, without the probabilities.

    The second time dropout draws from the states of the first, and its states are left alone. (`keras.remat` draws
    anew there, so that its gradients are those of another dropout than the loss.)
    """
    import tensorflow as tf

    given = [hidden] if positions is None else [hidden, positions.table]
    given += [] if query is None else [query]
    weights = {id(variable) for variable in layer.weights}
    seeds = [variable for variable in layer.variables if id(variable) not in weights]  # of dropout

    def compute(values: list[Any]) -> Any:
        hidden, *rest = values
        own = None if positions is None else positions._replace(table=rest.pop(0))
        return layer(hidden, masks, own, *(rest or [None]), rows, training=True)[0]

    def forgetful(*values: Any) -> Any:
        states = [tf.identity(seed.value) for seed in seeds]

        def gradients(above: Any, variables: Any = None) -> Any:
            inputs, drawn = _behind(above, [*values]), _behind(above, states)
            sources = [*inputs, *(variables or ())]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(sources)
                with keras.StatelessScope(state_mapping=list(zip(seeds, drawn, strict=True))):
                    again = compute(inputs)
            found = tape.gradient(again, sources, above, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            count = len(inputs)
            return found[:count] if variables is None else (found[:count], found[count:])

        return compute([*values]), gradients

    return tf.custom_gradient(forgetful)(*given)


def _behind(above: Any, values: list[Any]) -> list[Any]:
    """The same values, which a graph has only when a gradient is there; else it would compute both times at once."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return values
    one = tf.cast(tf.reduce_max(tf.reshape(above, [-1])[:1]), tf.bool)
    # It is always 0, which graph optimizers do not know beforehand.
    zero = tf.where(tf.equal(one, one), 0.0, float("nan"))
    return [value + tf.cast(zero, value.dtype) for value in values]
