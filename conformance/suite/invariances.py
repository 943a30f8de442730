"""Changes of a batch that must not change anything at a real position, in a pooled logit or in a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from conformance.suite.adapters import Array
from conformance.suite.cases import folded_mask
from conformance.suite.compare import Comparison, at_real_positions, compare_outputs, output_kind, output_scale
from conformance.suite.subjects import Subject
from deberta_core.config import BaseConfig
from deberta_core.inputs import IGNORED_LABEL

Arrays = Mapping[str, Array]

_POSITION_LABELS = ("start_positions", "end_positions")
_MORE = 6  # tokens of padding added


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A changed batch.

    Attributes:
        name: what was changed.
        inputs: the changed batch.
        restore: takes an output of the changed batch to the rows of the original one.
        same_shape: whether the shapes are as before, and no row has moved: then not a bit may differ.
    """

    name: str
    inputs: Arrays
    restore: Callable[[Array], Array] = lambda values: values
    same_shape: bool = False


def compare_changes(subject: Subject, framework: str) -> Iterator[Comparison]:
    """Compares what a framework makes of every changed batch with what is said of the original one.

    Where only hidden content differs, with the framework's own outputs, to the last bit: the same products are made in
    the same order. Where shapes differ or rows move, matrix products may be split up differently, so the reference is
    the judge and its bounds hold.

    Args:
        subject: its inputs have a mask `[..., L]`, and should have padding and holes.
        framework: a name of `FRAMEWORKS`.
    """
    model, mask = subject.model(framework), subject.mask
    own = model.forward(subject.inputs)
    for change in changes(subject.config, subject.inputs):
        actual = {name: change.restore(values) for name, values in model.forward(change.inputs).items()}
        changed_mask = change.restore(folded_mask(dict(change.inputs)))
        label = f"{change.name}: "
        if change.same_shape:
            for one in compare_outputs(actual, own, mask, label=label):
                yield Comparison("exact", one.name, one.actual, one.expected)
            continue
        for name, values in actual.items():
            kind, judge = output_kind(name), subject.expected[name]
            sides = aligned(name, values, changed_mask), aligned(name, judge, mask)
            yield Comparison(subject.quantity(kind), label + name, *sides, output_scale(kind, judge))


def changes(config: BaseConfig, inputs: Arrays, seed: int = 0) -> Iterator[Change]:
    """Every change of a batch; inputs as `random_inputs` and `task_inputs` make them."""
    generator = np.random.default_rng(seed)
    inputs = dict(inputs)
    if config.position_biased_input and "position_ids" not in inputs:
        # Default positions count from the left edge, so that a text that moves would change.
        length = inputs["input_ids"].shape[-1]
        inputs["position_ids"] = np.broadcast_to(np.arange(length), inputs["input_ids"].shape).copy()
    mask = inputs["attention_mask"] != 0
    inside = np.arange(mask.shape[-1]) < _text_lengths(mask)[..., None]
    yield Change("content of padding", _fill(config, inputs, ~inside, generator), same_shape=True)
    yield Change("content of holes", _fill(config, inputs, inside & ~mask, generator), same_shape=True)
    length = mask.shape[-1]
    yield Change("more padding", move_texts(config, inputs, length + _MORE, "right", generator))
    yield Change("padding on the left", move_texts(config, inputs, length + _MORE, "left", generator))
    yield _reordered(inputs)


def move_texts(config: BaseConfig, inputs: Arrays, width: int, side: str, generator: np.random.Generator) -> Arrays:
    """The texts of a batch that is padded on the right, in rows of `width` tokens padded on `side` with anything.

    Labels move along: those of tokens with their tokens, and positions by the padding that came before them. Position 0
    is the context token wherever it stands, and a position beyond the text is still beyond it.
    """
    lengths = _text_lengths(inputs["attention_mask"] != 0)  # [...]
    before = width - lengths if side == "left" else np.zeros_like(lengths)
    # Where each new column reads; columns of padding are recognised by a number outside the text.
    column = np.arange(width) - before[..., None]  # [..., width]
    inside = (column >= 0) & (column < lengths[..., None])
    read = np.where(inside, column, 0)
    moved: dict[str, Array] = {}
    for name, values in inputs.items():
        if name in _POSITION_LABELS:
            moved[name] = np.where((values > 0) & (values < lengths), values + before, np.where(values > 0, width, 0))
        elif values.shape == inputs["input_ids"].shape:
            empty = 0 if name == "attention_mask" else IGNORED_LABEL
            moved[name] = np.where(inside, np.take_along_axis(values, read, axis=-1), empty).astype(values.dtype)
        else:
            moved[name] = values
    return _fill(config, moved, ~inside, generator)


def aligned(name: str, values: Array, mask: Array) -> Array:
    """An output at real positions, in the order of the tokens, however they are padded; of attentions real keys too."""
    if output_kind(name) != "attentions":
        return at_real_positions(name, values, mask)
    rows = [row[:, real][:, :, real].ravel() for row, real in zip(values, mask, strict=True)]  # [H, Q, K] each
    return np.concatenate(rows)


def _fill(config: BaseConfig, inputs: Arrays, where: Array, generator: np.random.Generator) -> dict[str, Array]:
    """The same inputs with something else at some tokens."""
    limits = {
        "input_ids": config.vocab_size,
        "token_type_ids": config.type_vocab_size,
        "position_ids": config.max_position_embeddings,
    }
    filled = dict(inputs)
    for name in limits.keys() & inputs.keys():
        other = generator.integers(0, limits[name], where.shape)
        filled[name] = np.where(where, other, inputs[name]).astype(inputs[name].dtype)
    return filled


def _reordered(inputs: Arrays) -> Change:
    """The rows in another order; every output comes back in the first."""
    batch = len(inputs["input_ids"])
    order = np.roll(np.arange(batch), 1)

    def restore(values: Array) -> Array:
        if not values.ndim:
            return values
        by_row = values.reshape(batch, -1, *values.shape[1:])  # choices are folded
        return by_row[np.argsort(order)].reshape(values.shape)

    return Change("rows in another order", {name: values[order] for name, values in inputs.items()}, restore)


def _text_lengths(mask: Array) -> Array:
    """Of each row the tokens up to the last real one, `[...]`."""
    lengths: Array = np.where(mask, np.arange(1, mask.shape[-1] + 1), 0).max(axis=-1)
    return lengths
