"""Pretraining in Keras on TensorFlow; in one process, or in several that TF_CONFIG names."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

import deberta_tf
from deberta_core.tasks import task_spec
from deberta_dual.backends.protocol import Arrays, PretrainingModel, PretrainingStart
from deberta_dual.backends.tf_devices import on_device, policy_of
from deberta_dual.backends.tf_processes import Exchange, connect
from deberta_dual.backends.tf_training import BETAS, EPSILON, STATE_FILE, is_seed
from deberta_dual.processes import own_process
from deberta_tf.optimizer import ParameterAdamW

if TYPE_CHECKING:
    from deberta_dual.pretraining.run import PretrainingRun
    from deberta_dual.pretraining.schedule import MaskedPiece

_SIZE, _REPEATS = 1024, 3  # of the product that tells the machine's limit
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
Variables = list[Any]


def pretraining_model(start: PretrainingStart, device: Any = None) -> PretrainingModel:
    """See `PretrainingBackend.pretraining_model`."""
    connect()
    keras.utils.set_random_seed(start.seed)  # of what is not drawn by name, such as a table that nobody reads
    with on_device(device):
        if start.generator_config is None:
            cls = getattr(deberta_tf, f"TF{task_spec('masked_lm').auto_class}").classes[start.config.model_type]
            policy = policy_of(_POLICIES[start.dtype])
            if start.folder is None:
                model = cls(start.config, dtype=policy)
            else:
                model = cls.from_pretrained(start.folder, start.config, new_head=True, dtype=policy)
            return PretrainingModel(model, model, None)
        classes = {
            "deberta": deberta_tf.TFDebertaForPreTraining,
            "deberta-v2": deberta_tf.TFDebertaV2ForPreTraining,
        }
        cls = classes[start.config.model_type]
        options: dict[str, Any] = {
            **start.drawing,
            "rtd_lambda": start.rtd_weight,
            "dtype": policy_of(_POLICIES[start.dtype]),
        }
        if start.folder is None:
            model = cls(start.generator_config, start.config, start.sharing, seed=start.seed, **options)
        else:
            place = {} if start.generator is None and start.finds_generator else {"generator": start.generator}
            model = cls.from_pretrained(
                start.folder, embedding_sharing=start.sharing, new_head=True, seed=start.seed, **place, **options
            )
        return PretrainingModel(model, model.generator, model.discriminator)


def peak_flops(models: PretrainingModel, dtype: str) -> float | None:
    """See `PretrainingBackend.peak_flops`."""
    left = tf.random.normal((_SIZE, _SIZE), dtype=tf.bfloat16 if dtype == "bfloat16" else tf.float32)
    best = 0.0
    for _ in range(_REPEATS):
        began = time.perf_counter()
        float(tf.cast(tf.matmul(left, left)[0, 0], tf.float32))  # waits for the device
        best = max(best, 2 * _SIZE**3 / (time.perf_counter() - began))
    return best


def pretrain(models: PretrainingModel, run: PretrainingRun, device: Any = None) -> None:
    """See `PretrainingBackend.pretrain`."""
    exchange = Exchange()
    if run.chosen.gradient_checkpointing:
        for part in (models.generator, models.discriminator):
            if part is not None:
                part.gradient_checkpointing_enable()
    with on_device(device):
        trainer = _Trainer(models, run, exchange)
        if run.first_step:
            trainer.read_state(run.folder.state_folder / STATE_FILE)
        run.start_clock()
        for step in range(run.first_step, run.steps):
            losses, tokens = trainer.step(step)
            *totals, count = exchange.numbers([*losses.values(), tokens])
            run.losses_done(step, dict(zip(losses, totals, strict=True)), int(count))
            if run.ends_interval(step):
                run.finish_interval(step, lambda folder: trainer.write_state(folder / STATE_FILE), exchange.agree)
    exchange.numbers([0.0])  # no process ends before all are done


class _Trainer:
    """The steps of a run: of one model, of two that take turns, or of two at once."""

    def __init__(self, models: PretrainingModel, run: PretrainingRun, exchange: Exchange) -> None:
        self._models, self._run = models, run
        model, discriminator = models.model, models.discriminator
        self._seeds = [one for one in model.variables if is_seed(one)] + _drawing_seeds(model)
        self._seed = _seed_of_process(run.chosen.seed)
        for number, seed in enumerate(self._seeds):
            seed.assign(np.array([self._seed, number], dtype="uint32"))
        if discriminator is None:
            self._phases = [_Phase(run, exchange, model.trainable_variables, self._masked_lm)]
        elif run.chosen.updates == "joint":
            own = {id(one) for one in discriminator.trainable_variables}
            self._phases = [_Phase(run, exchange, model.trainable_variables, self._joint, own)]
        else:
            own = {id(one) for one in discriminator.trainable_variables}
            self._phases = [
                _Phase(run, exchange, models.generator.trainable_variables, self._generator),
                _Phase(run, exchange, discriminator.trainable_variables, self._discriminator, own),
            ]

    def step(self, step: int) -> tuple[dict[str, float], int]:
        """One step of every optimizer; its losses, and its number of tokens."""
        pieces = list(self._run.masked_pieces(step))
        batches = [_tensors(piece) for piece in pieces]
        losses: dict[str, float] = {}
        for phase in self._phases:
            found, batches = phase.step(self._run.rate(step), pieces, batches)
            losses |= found
        return losses, sum(piece.tokens for piece in pieces)

    def write_state(self, file: Path) -> None:
        """Writes all that training changes."""
        arrays = (keras.ops.convert_to_numpy(variable) for variable in self._variables())
        np.savez(file, **{str(number): array for number, array in enumerate(arrays)})

    def read_state(self, file: Path) -> None:
        """Reads what `write_state` of the first process wrote."""
        with np.load(file) as state:
            for number, variable in enumerate(self._variables()):
                variable.assign(state[str(number)])
        for seed in self._seeds:  # every process has drawn as often, each from a seed of its own
            seed.assign(np.array([self._seed, keras.ops.convert_to_numpy(seed)[1]], dtype="uint32"))

    def _variables(self) -> Variables:
        optimizers = [variable for phase in self._phases for variable in phase.optimizer.variables]
        return [*self._models.model.weights, *self._seeds, *optimizers]

    def _masked_lm(self, batch: Any, share: Any, token_share: Any) -> tuple[Any, dict[str, Any], Any]:
        found = self._models.model(batch, labelled_logits_only=True, return_dict=True, training=True)
        loss = found.loss * share
        return loss, {"mlm_loss": loss}, batch

    def _joint(self, batch: Any, share: Any, token_share: Any) -> tuple[Any, dict[str, Any], Any]:
        found = self._models.model(batch, training=True)
        losses = {"mlm_loss": found.mlm_loss * share, "rtd_loss": found.rtd_loss * token_share}
        return losses["mlm_loss"] + self._run.chosen.rtd_weight * losses["rtd_loss"], losses, batch

    def _generator(self, batch: Any, share: Any, token_share: Any) -> tuple[Any, dict[str, Any], Any]:
        found = self._models.model.corrupt(**batch, training=True)
        loss = found.mlm_loss * share
        others = {name: values for name, values in batch.items() if name not in ("input_ids", "labels")}
        return loss, {"mlm_loss": loss}, {"corrupted_ids": found.corrupted_ids, "replaced": found.replaced, **others}

    def _discriminator(self, batch: Any, share: Any, token_share: Any) -> tuple[Any, dict[str, Any], Any]:
        loss = self._models.model.discriminate(**batch, training=True).rtd_loss * token_share
        return self._run.chosen.rtd_weight * loss, {"rtd_loss": loss}, batch


class _Phase:
    """An optimizer, and the loss it lowers.

    Args:
        run: says how.
        exchange: sums the gradients of all processes.
        variables: that it moves.
        loss: of a batch and its shares the loss, its parts, and the batch for the next phase.
        own: the variables of the discriminator, by identity.
    """

    def __init__(
        self,
        run: PretrainingRun,
        exchange: Exchange,
        variables: Variables,
        loss: Callable[..., Any],
        own: set[int] | None = None,
    ) -> None:
        chosen, self._exchange = run.chosen, exchange
        self._variables, self._clip = variables, chosen.clip
        rates = {
            variable.path: (
                chosen.discriminator_share if id(variable) in (own or ()) else 1.0,
                chosen.weight_decay if len(variable.shape) > 1 else 0.0,
            )
            for variable in variables
        }
        settings = {"beta_1": BETAS[0], "beta_2": BETAS[1], "epsilon": EPSILON, "global_clipnorm": chosen.clip}
        self.optimizer = ParameterAdamW(chosen.learning_rate, rates, **settings)
        self.optimizer.build(variables)
        self._gradients: Any = None
        self._loss = loss
        self._call = tf.function(self._traced, reduce_retracing=True)
        self._apply = tf.function(lambda gradients: self.optimizer.apply(gradients, self._variables))

    def step(
        self, rate: float, pieces: Sequence[MaskedPiece], batches: Sequence[Any]
    ) -> tuple[dict[str, float], list[Any]]:
        """One step; the losses, and the batches for the next phase."""
        self.optimizer.learning_rate = rate
        losses: dict[str, float] = {}
        gradients: Any = None
        rest = []
        for piece, batch in zip(pieces, batches, strict=True):
            own, found, after = self._call(batch, np.float32(piece.share), np.float32(piece.token_share))
            gradients = own if gradients is None else [_sum(a, b) for a, b in zip(gradients, own, strict=True)]
            losses = {name: losses.get(name, 0.0) + float(loss) for name, loss in found.items()}
            rest.append(after)
        self._apply(self._exchange.sum(gradients))
        return losses, rest

    def _traced(self, batch: Any, share: Any, token_share: Any) -> tuple[Any, dict[str, Any], Any]:
        with tf.GradientTape() as tape:
            total, losses, after = self._loss(batch, share, token_share)
        found = tape.gradient(total, [variable.value for variable in self._variables])
        return [None if one is None else tf.convert_to_tensor(one) for one in found], losses, after


def _seed_of_process(seed: int) -> int:
    """What this process draws from; the first one, as a process alone, from the seed itself."""
    number = own_process().number
    return seed if number == 0 else int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _sum(first: Any, second: Any) -> Any:
    return second if first is None else first if second is None else first + second


def _tensors(piece: MaskedPiece) -> dict[str, Any]:
    batch: Arrays = piece.batch
    return {name: tf.convert_to_tensor(array) for name, array in batch.items()}


def _drawing_seeds(model: Any) -> Variables:
    """The seed of the draws of a pair, where it is not among the model's variables."""
    random = getattr(model, "random", None)
    known = {id(one) for one in model.variables}
    return [] if random is None or id(random.state) in known else [random.state]
