"""The training of `deberta_core.finetuning` with Keras' `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from deberta_tf.models import PreTrainedModel
from deberta_tf.optimizer import ParameterAdamW
from deberta_tf.weights import parameter_variables

if TYPE_CHECKING:
    from deberta_core.finetuning.run import Run
    from deberta_core.finetuning.schedule import Arrays

STATE_FILE = "state.npz"
BETAS, EPSILON = (0.9, 0.999), 1e-6
PREFETCHED = 4  # batches made while the model computes
_SEED_STATE = "seed_generator_state"  # what Keras calls the variable that dropout draws from


def train(model: PreTrainedModel, run: Run) -> None:
    """Trains a model as a run says, with `fit`.

    Dropout's random numbers begin at the seed, and their state is saved, so that a run that goes on from a state ends
    as if it had not been interrupted.

    Args:
        model: a task model with float32 variables.
        run: gives the examples and takes the results.
    """
    pieces = run.options.accumulation
    variables = parameter_variables(model)
    optimizer = ParameterAdamW(
        run.options.learning_rate,
        {variables[name].path: rates for name, rates in run.rates.items()},
        beta_1=BETAS[0],
        beta_2=BETAS[1],
        epsilon=EPSILON,
        global_clipnorm=run.options.clip,
        gradient_accumulation_steps=pieces if pieces > 1 else None,
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)  # no loss: the model has its own
    for number, variable in enumerate(model.non_trainable_variables):
        if _is_seed(variable):
            variable.assign(np.array([run.options.seed, number], dtype="uint32"))
    if run.first_step:
        _read_state(run.folder.state_folder, model)
    if run.has_stopped or run.first_step == run.steps:
        return
    model.fit(
        _batches(model, run),
        steps_per_epoch=run.interval * pieces,
        epochs=-(-run.steps // run.interval),
        initial_epoch=run.first_step // run.interval,
        callbacks=[_Steps(run)],
        shuffle=False,  # the run has its own order
        verbose=0,
    )


class _Steps(keras.callbacks.Callback):
    """Tells the run of every step, and does what it says."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run, self._step = run, run.first_step
        self._losses: list[float] = []  # of this step's pieces
        self._rows, self._total = 0, 0.0  # of this interval: rows, and the sum of their losses

    def on_train_begin(self, logs: Any = None) -> None:
        """Training begins."""
        self._run.start_clock()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A piece begins."""
        self.model.optimizer.learning_rate = self._run.rate(self._step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A piece is done, and with the last one of a step, the step."""
        run, schedule = self._run, self._run.schedule
        parts = schedule.parts(self._step)
        rows = max(len(parts[len(self._losses)]), 1)
        before, self._rows = self._total, self._rows + rows
        self._total = float(logs["loss"]) * self._rows  # Keras tells the mean over the interval's rows
        self._losses.append((self._total - before) / rows)
        if len(self._losses) < len(parts):
            return
        loss = sum(self._losses) / len(parts)
        run.step_done(self._step, loss, schedule.examples(self._step), sum(map(schedule.tokens, parts)))
        self._losses = []
        self._step += 1
        if self._step == run.steps:  # the last interval may be shorter
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An interval is done, which Keras calls an epoch."""
        self._rows, self._total = 0, 0.0
        stops = self._run.finish_interval(self._step - 1, lambda folder: _write_state(folder, self.model))
        self.model.stop_training = stops or self.model.stop_training


def _batches(model: PreTrainedModel, run: Run) -> Any:
    """A `tf.data.Dataset` of inputs, labels and weights of all pieces, of any shape."""
    import tensorflow as tf

    def batches() -> Iterator[tuple[Arrays, Arrays, np.ndarray]]:
        for step in range(run.first_step, run.steps):
            for piece in run.pieces(step):
                labels = {name: piece.batch[name] for name in model.spec.labels}
                inputs = {name: values for name, values in piece.batch.items() if name not in labels}
                # Keras takes the mean of the pieces' gradients, each from a mean over its own labels.
                weight = piece.share * run.options.accumulation
                yield inputs, labels, np.full(len(inputs["input_ids"]), weight, np.float32)

    # Given a generator, Keras would take what its first two batches have in common for the shape of all.
    shapes = keras.tree.map_structure(lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), next(batches()))
    return tf.data.Dataset.from_generator(batches, output_signature=shapes).prefetch(PREFETCHED)


def _all_variables(model: PreTrainedModel) -> list[keras.Variable]:
    """Everything that training changes: parameters, random states, and what the optimizer keeps."""
    return [*model.weights, *(v for v in model.non_trainable_variables if _is_seed(v)), *model.optimizer.variables]


def _is_seed(variable: keras.Variable) -> bool:
    return variable.path.endswith(_SEED_STATE)


def _write_state(folder: Path, model: PreTrainedModel) -> None:
    arrays = (keras.ops.convert_to_numpy(variable) for variable in _all_variables(model))
    np.savez(folder / STATE_FILE, **{str(number): array for number, array in enumerate(arrays)})


def _read_state(folder: Path, model: PreTrainedModel) -> None:
    with np.load(folder / STATE_FILE) as state:
        for number, variable in enumerate(_all_variables(model)):
            variable.assign(state[str(number)])
