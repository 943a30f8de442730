"""A run of training in Keras, around `fit`: its steps, its batches, and the state to go on from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from deberta_dual.backends.protocol import TEACHER_LOGITS, Arrays, Comparison
from deberta_dual.backends.tf_recipes import RecipeStep, WeightAverage, add_adapters
from deberta_tf.comparison_losses import comparison_losses
from deberta_tf.losses import mean_loss
from deberta_tf.models import PreTrainedModel
from deberta_tf.optimizer import ParameterAdamW
from deberta_tf.weights import parameter_variables

if TYPE_CHECKING:
    from deberta_dual.finetuning.run import Run

STATE_FILE = "state.npz"
BETAS, EPSILON = (0.9, 0.999), 1e-6
PREFETCHED = 4  # batches made while the model computes
_SEED_STATE = "seed_generator_state"  # what Keras calls the variable that dropout draws from


def fit(model: PreTrainedModel, run: Run) -> None:
    """Trains a model as a run says.

    Dropout's random numbers begin at the seed, and their state is saved, so that a run that goes on from a state ends
    as if it had not been interrupted.

    Args:
        model: a task model with float32 variables.
        run: gives the examples and takes the results.
    """
    pieces = run.options.accumulation
    optimizer = ParameterAdamW(
        run.options.learning_rate,
        _rates(model, run),
        beta_1=BETAS[0],
        beta_2=BETAS[1],
        epsilon=EPSILON,
        global_clipnorm=run.options.clip,
        gradient_accumulation_steps=pieces if pieces > 1 else None,
    )
    optimizer.build(model.trainable_variables)
    recipes, average = RecipeStep(model, run.options, run.options.seed), WeightAverage(model, run.options.ema)
    options = {"labelled_logits_only": True} if model.spec.scores_words and not recipes else {}
    model.compile(optimizer, **options)  # no loss: the model has its own
    if run.comparison is not None:
        model.compute_loss = partial(_compare, run.comparison)
    for number, variable in enumerate(model.non_trainable_variables):
        if is_seed(variable):
            variable.assign(np.array([run.options.seed, number], dtype="uint32"))
    others = [*recipes.variables, *average.averages]
    if run.first_step:
        _read_state(run.folder.state_folder, model, others)
        average.exchange()
    if run.has_stopped or run.first_step == run.steps:
        return
    with recipes.installed():
        model.fit(
            _batches(model, run, weighs_rows=bool(recipes)),
            steps_per_epoch=run.interval * pieces,
            epochs=-(-run.steps // run.interval),
            initial_epoch=run.first_step // run.interval,
            callbacks=[_Steps(run, average, others)],
            shuffle=False,  # the run has its own order
            verbose=0,
        )


def _rates(model: PreTrainedModel, run: Run) -> dict[str, tuple[float, float]]:
    """The rates by the variables' paths; what has none is frozen, and adapters have those of what they add to."""
    variables = parameter_variables(model)
    for name in variables.keys() - run.rates.keys():
        variables[name].trainable = False
    rates = {variables[name].path: own for name, own in run.rates.items()}
    adapters = add_adapters(model, run.options, run.options.seed)
    return rates | {factor.path: run.rates[name] for name, factors in adapters.items() for factor in factors}


def _compare(
    compared: Comparison, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **mode: Any
) -> Any:
    """What stands in the place of a model's `compute_loss`; all rows of a piece have one weight."""
    token_mask = keras.ops.not_equal(x["attention_mask"], 0)
    parts = comparison_losses(compared.loss, compared.pooling, y_pred[0], token_mask, y["labels"])
    return mean_loss(parts) * keras.ops.mean(sample_weight)


class _Steps(keras.callbacks.Callback):
    """Tells the run of every step, and does what it says."""

    def __init__(self, run: Run, average: WeightAverage, others: list[keras.Variable]) -> None:
        super().__init__()
        self._run, self._step, self._average, self._others = run, run.first_step, average, others
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
        rows = schedule.rows(self._step)[len(self._losses)]
        before, self._rows = self._total, self._rows + rows
        self._total = float(logs["loss"]) * self._rows  # Keras tells the mean over the interval's rows
        self._losses.append((self._total - before) / rows)
        if len(self._losses) < len(parts):
            return
        loss = sum(self._losses) / len(parts)
        run.step_done(self._step, loss, schedule.examples(self._step), sum(map(schedule.tokens, parts)))
        self._average.update()
        self._losses = []
        self._step += 1
        if self._step == run.steps:  # the last interval may be shorter
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An interval is done, which Keras calls an epoch."""
        self._rows, self._total = 0, 0.0
        self._average.exchange()  # the averages are judged and saved
        write = partial(_write_state, model=self.model, others=self._others)
        stops = self._run.finish_interval(self._step - 1, write)
        self._average.exchange()
        self.model.stop_training = stops or self.model.stop_training


def _batches(model: PreTrainedModel, run: Run, weighs_rows: bool) -> Any:
    """A `tf.data.Dataset` of inputs, labels and weights of all pieces, of any shape; see `RecipeStep` for weights."""

    def batches() -> Iterator[tuple[Arrays, Arrays, np.ndarray]]:
        for step in range(run.first_step, run.steps):
            for piece in run.pieces(step):
                names = (*(model.spec.labels or ("labels",)), TEACHER_LOGITS)
                labels = {name: piece.batch[name] for name in names if name in piece.batch}
                inputs = {name: values for name, values in piece.batch.items() if name not in labels}
                # Keras takes the mean of the pieces' gradients, each from a mean over its own labels.
                weight = np.multiply([piece.share, piece.row_share], run.options.accumulation).astype(np.float32)
                weights = np.tile(weight, (len(inputs["input_ids"]), 1))
                yield inputs, labels, weights if weighs_rows else weights[:, 0]

    # Given a generator, Keras would take what its first two batches have in common for the shape of all.
    shapes = keras.tree.map_structure(lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), next(batches()))
    return tf.data.Dataset.from_generator(batches, output_signature=shapes).prefetch(PREFETCHED)


def _all_variables(model: PreTrainedModel) -> list[keras.Variable]:
    """Everything that training changes: parameters, random states, and what the optimizer keeps."""
    return [*model.weights, *(v for v in model.non_trainable_variables if is_seed(v)), *model.optimizer.variables]


def is_seed(variable: keras.Variable) -> bool:
    """Whether a variable is the state of random numbers."""
    return str(variable.path).endswith(_SEED_STATE)


def _write_state(folder: Path, model: PreTrainedModel, others: list[keras.Variable]) -> None:
    arrays = (keras.ops.convert_to_numpy(variable) for variable in (*_all_variables(model), *others))
    np.savez(folder / STATE_FILE, **{str(number): array for number, array in enumerate(arrays)})


def _read_state(folder: Path, model: PreTrainedModel, others: list[keras.Variable]) -> None:
    with np.load(folder / STATE_FILE) as state:
        for number, variable in enumerate((*_all_variables(model), *others)):
            variable.assign(state[str(number)])
