"""Explanations: attention scores taken apart, and integrated gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from deberta_core.errors import InputError
from deberta_core.explanations import Attributions, ScoreParts, check_layer, path_points, rows_by_distance
from deberta_tf.attention import position_products, skew

# Points of the path that are in the model at once, of each text.
_AT_ONCE = 8


def score_parts(model: Any, layer: int, **inputs: Any) -> ScoreParts:
    """Takes the attention scores of a layer apart.

    Args:
        model: of any head.
        layer: counted from 0, or from the end where negative.
        **inputs: of the model; texts `[B, L]`.

    Returns:
        tensors; with talking heads, scores are those before heads are mixed.

    Raises:
        InputError: there is no such layer, or an input is wrong.
    """
    number = check_layer(model.config, layer)
    found = model(inputs, output_hidden_states=True, output_attentions=True, return_dict=True, training=False)
    encoder = getattr(model, "deberta", model).encoder
    hidden, own = found["hidden_states"][number], encoder.layer[number].attention.self
    length = hidden.shape[1]
    query, key, _ = (own._heads_first(part) for part in own.content(hidden))
    query = query * own.scale  # [H, B, L, D]
    positions = encoder.relative_positions(length, length) if own.terms else None
    c2p = p2c = c2p_by_distance = p2c_by_distance = None
    if positions is not None and "c2p" in own.terms:
        rows = ops.take(own.position_key(positions.table), positions.rows[1:], axis=0)
        products = position_products(query, own._heads_first(rows))  # [H, B, L, 2 L]: key - query = 1 - L, ..., L
        c2p, c2p_by_distance = _batch_first(skew(products, length)), _batch_first(products[..., :-1])
    if positions is not None and "p2c" in own.terms:
        rows = ops.take(own.position_query(positions.table) * own.scale, ops.flip(positions.rows)[1:], axis=0)
        products = position_products(key, own._heads_first(rows))  # query - key = 1 - L, ..., L
        p2c = ops.swapaxes(_batch_first(skew(products, length)), -1, -2)
        p2c_by_distance = ops.flip(_batch_first(products[..., :-1]), axis=-1)
    return ScoreParts(
        content=_batch_first(ops.matmul(query, ops.swapaxes(key, -1, -2))),
        c2p=c2p,
        p2c=p2c,
        c2p_by_distance=c2p_by_distance,
        p2c_by_distance=p2c_by_distance,
        probabilities=found["attentions"][number],
        rows=None if positions is None else rows_by_distance(model.config, length),
    )


def integrated_gradients(
    model: Any,
    output: str,
    index: tuple[int, ...],
    *,
    input_ids: Any,
    baseline_ids: Any,
    steps: int = 32,
    **inputs: Any,
) -> Attributions:
    """Attributes one output of a model to the tokens of its texts.

    Args:
        model: of any head.
        output: the name of an output, such as "logits".
        index: which number of it, after the batch: a class; a token and a class; a token.
        input_ids: `[B, L]`; `[B, N, L]` of multiple choice.
        baseline_ids: of the same shape, what the text is compared with: mask tokens for all but the special ones.
        steps: points on the path from baseline to text.
        **inputs: the model's other inputs.

    Raises:
        InputError: an input is wrong, `steps` is less than 1, or Keras computes in another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError("integrated gradients in Keras need TensorFlow. Set KERAS_BACKEND=tensorflow.")
    import tensorflow as tf

    words = model.get_input_embeddings()
    start, end = (ops.convert_to_tensor(words(ops.convert_to_tensor(ids))) for ids in (baseline_ids, input_ids))

    def value_of(embeds: Any) -> Any:
        times = embeds.shape[0] // end.shape[0]
        others = {name: np.repeat(np.asarray(value)[None], times, 0) for name, value in inputs.items()}
        others = {name: value.reshape(-1, *value.shape[2:]) for name, value in others.items()}
        found = model({"inputs_embeds": embeds, **others}, return_dict=True, training=False)
        return found[output][(slice(None), *index)]

    total = ops.zeros_like(end)
    points, weights = path_points(steps)
    for first in range(0, steps, _AT_ONCE):
        ways, shares = (
            numbers[first : first + _AT_ONCE].astype("float32").reshape(-1, *[1] * len(end.shape))
            for numbers in (points, weights)
        )
        path = ops.reshape(start + ways * (end - start), (-1, *end.shape[1:]))  # [P * B, L, E]
        with tf.GradientTape() as tape:
            tape.watch(path)
            value = ops.sum(value_of(path))
        found = ops.reshape(tape.gradient(value, path), (-1, *end.shape))
        total = total + ops.sum(found * shares, axis=0)
    return Attributions(ops.sum(total * (end - start), axis=-1), value_of(end), value_of(start))


def _batch_first(values: Any) -> Any:
    """`[H, B, ...]` to `[B, H, ...]`."""
    return ops.swapaxes(values, 0, 1)
