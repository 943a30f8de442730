"""Replaced-token detection (NUMERICS 8): a generator fills masks, and a discriminator finds what it filled in wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import keras
import numpy as np
from keras import ops

from deberta_core.checkpoint import checkpoint_folder, load_config, pair
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.hub import split_hub_options
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.outputs import make_output
from deberta_core.tasks import PreTrainingOutput, TaskSpec
from deberta_tf import weights
from deberta_tf.calls import Called
from deberta_tf.checks import check_call, is_jax_traced
from deberta_tf.distribution import replica_count
from deberta_tf.inputs import named_labels
from deberta_tf.losses import labelled_tokens
from deberta_tf.masks import make_masks
from deberta_tf.task_models import LmModel, ReplacedTokenModel

_OPTIONS = ("embedding_sharing", "rtd_lambda", "temperature", "never_drawn")


class Generated(NamedTuple):
    """What a generator makes of masked texts."""

    loss: Any  # a scalar, of masked LM
    logits: Any  # [N, V], of the labelled tokens; [B, L, V] where JAX traces
    corrupted_ids: Any  # [B, L], the texts with drawn tokens in place of the masks
    replaced: Any  # [B, L], 1 where a token is not the true one, 0 where it is, -100 at padding


class PreTrainingModel(Called):
    """A generator and a discriminator, which share their embeddings.

    Attributes:
        config: the discriminator's configuration.
        generator_config: the generator's.
        generator: the masked-LM model.
        discriminator: the model of replaced-token detection, which can be called by itself. With "gdes" its own word
            table holds what is added to the generator's; with "es" it has no use.
        embedding_sharing: "gdes", "es" or "none".
        rtd_lambda: what the discriminator's loss is multiplied with in the sum.
        temperature: of the distribution that replacements are drawn from.
        never_drawn: ids that no replacement has.
    """

    generator_class: ClassVar[type[LmModel]]
    discriminator_class: ClassVar[type[ReplacedTokenModel]]
    options = ("return_dict",)

    def __init__(
        self,
        config: BaseConfig,
        generator_config: BaseConfig | None = None,
        *,
        embedding_sharing: str = "gdes",
        rtd_lambda: float = 50.0,
        temperature: float = 1.0,
        never_drawn: Collection[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if generator_config is None:
            generator_config = pair.generator_config(config)
        pair.check_pair(config, generator_config, embedding_sharing)
        self.config, self.generator_config = config, generator_config
        self.embedding_sharing, self.rtd_lambda, self.temperature = embedding_sharing, rtd_lambda, temperature
        self.never_drawn = tuple(sorted({int(number) for number in never_drawn}))
        self.generator = self.generator_class(generator_config, name="generator", dtype=self.dtype_policy)
        self.discriminator = self.discriminator_class(config, name="discriminator", dtype=self.dtype_policy)
        self.draws = keras.random.SeedGenerator(seed)
        self.trackers = [keras.metrics.Mean(name=name) for name in ("mlm_loss", "rtd_loss")]
        self._is_drawn = np.isin(np.arange(config.vocab_size), self.never_drawn, invert=True)
        self.position_delta = None  # of tables that the discriminator does not read
        if embedding_sharing != "none":
            self._share_embeddings()
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs: both configurations as dictionaries, the options, and Keras' name and policy."""
        options = {name: getattr(self, name) for name in _OPTIONS}
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        configs = {"config": self.config.to_dict(), "generator_config": self.generator_config.to_dict()}
        return {**configs, **options, "name": self.name, "dtype": policy}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Builds a model with fresh weights from `get_config`'s dictionary."""
        values = dict(config)
        read = cls.generator_class.config_class.from_dict
        return cls(read(values.pop("config")), read(values.pop("generator_config")), **values)

    @classmethod
    def from_pretrained(cls, path: str | Path, **options: Any) -> Self:
        """Builds a model from the files of a discriminator and its generator.

        Without a generator's file one is made of every second layer of the discriminator, with a warning.

        Args:
            path: a folder, or a hub id, with a discriminator, and its generator in `model.generator.safetensors` or
                `pytorch_model.generator.bin` and `generator_config.json`.
            **options: those of the constructor, `dtype`, and for a hub id those of `PreTrainedModel.from_pretrained`.

        Raises:
            ConfigError: a configuration is missing, wrong or another model's, or the two do not go together.
            WeightError: a weight file is missing or broken, or does not fit.
        """
        hub, options = split_hub_options(options)
        folder = checkpoint_folder(path, also=pair.GENERATOR_NAMES, **hub)
        config = load_config(
            cls.discriminator_class.config_class, folder, "replaced_token", {"name_or_path": str(path)}
        )
        generator = pair.load_generator_config(config, folder)
        model = cls(config, generator, **options)
        loaded = pair.load_pair(folder, config, generator, model.embedding_sharing)
        weights.assign(model.generator, loaded.generator)
        weights.assign(model.discriminator, loaded.discriminator)
        if model.position_delta is not None and loaded.position_delta is not None:
            model.position_delta.assign(loaded.position_delta)
        return model

    def save_pretrained(
        self,
        folder: str | Path,
        max_shard_size: int | str | None = "5GB",
        format: str = "safetensors",
        *,
        keep_delta: bool = False,
    ) -> None:
        """Writes both models into `folder`: the discriminator as an ordinary one, its tables summed up.

        Args:
            folder: where to, made if need be; a pair there is replaced as one.
            max_shard_size: of the discriminator; see `PreTrainedModel.save_pretrained`.
            format: "safetensors" or "bin". `model.generator.save_pretrained` knows the others.
            keep_delta: with "gdes" also write what is added to the generator's tables, as Microsoft's trainer does.

        Raises:
            WeightError: another format, or the folder cannot be written, and is as it was.
        """
        delta = None if self.position_delta is None else ops.convert_to_numpy(self.position_delta)
        parameters = pair.Pair(weights.merged_arrays(self.generator), weights.merged_arrays(self.discriminator), delta)
        pair.save_pair(
            folder,
            weights.published_config(self.discriminator),
            weights.published_config(self.generator),
            parameters,
            self.embedding_sharing,
            format,
            max_shard_size,
            keep_delta=keep_delta,
        )

    @property
    def spec(self) -> TaskSpec:
        """The row of the generator's task, whose labels a call takes."""
        return self.generator.spec

    @property
    def label_names(self) -> tuple[str, ...]:
        """The true ids, and ids to be read instead of a draw."""
        return (*super().label_names, "corrupted_ids")

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Refuses wrong inputs and labels, given by name."""
        check_call(self.generator_config, self.spec, inputs)

    def generate(
        self,
        input_ids: Any,
        labels: Any,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        corrupted_ids: Any = None,
    ) -> Generated:
        """The first half of a step: the generator's loss, and its texts, which have no gradient.

        Args:
            input_ids: `[B, L]`, masked.
            labels: `[B, L]`, the true ids at masked tokens, -100 elsewhere.
            attention_mask: as for every model, here and below.
            token_type_ids: `[B, L]`.
            position_ids: `[B, L]` or `[1, L]`.
            corrupted_ids: `[B, L]`, used instead of a draw.
        """
        labelled_only = not is_jax_traced(labels)
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        inputs |= {"position_ids": position_ids, "labels": labels}
        found = self.generator(inputs, labelled_logits_only=labelled_only, return_dict=True)
        labels, input_ids = ops.cast(labels, "int32"), ops.cast(input_ids, "int32")
        is_labelled = labels >= 0
        if corrupted_ids is None:
            drawn = draw_tokens(found.logits, self._is_drawn, self.temperature, self.draws)
            if labelled_only:
                rows, size = labelled_tokens({"labels": labels}), ops.size(labels)
                drawn = ops.reshape(ops.scatter(rows[:, None], drawn, (size,)), ops.shape(labels))
            corrupted_ids = ops.where(is_labelled, drawn, input_ids)
        corrupted_ids = ops.cast(corrupted_ids, "int32")
        replaced = ops.cast(ops.logical_and(is_labelled, corrupted_ids != labels), "int32")
        tokens = make_masks(attention_mask, *ops.shape(input_ids)).tokens
        return Generated(found.loss, found.logits, corrupted_ids, ops.where(tokens, replaced, IGNORED_LABEL))

    def discriminate(
        self,
        corrupted_ids: Any,
        replaced: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
    ) -> Any:
        """The second half of a step: the discriminator's loss, on the generator's tables as they are now.

        Args:
            corrupted_ids: `[B, L]`, of `generate`.
            replaced: `[B, L]`, its labels, of `generate`; None gives no loss.
            attention_mask: as for every model, here and below.
            token_type_ids: `[B, L]`.
            position_ids: `[B, L]` or `[1, L]`.

        Returns:
            `ReplacedTokenOutput`, whose loss is not multiplied with `rtd_lambda`.
        """
        inputs = {"input_ids": corrupted_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return self.discriminator({**inputs, "position_ids": position_ids, "labels": replaced}, return_dict=True)

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        labels: Any = None,
        corrupted_ids: Any = None,
        return_dict: bool | None = None,
        training: bool | None = None,
    ) -> Any:
        """Runs both models, on tables as they are now: a joint step.

        Args:
            input_ids: `[B, L]`, masked; without labels what the discriminator reads.
            attention_mask: as for every model.
            token_type_ids: `[B, L]`.
            position_ids: `[B, L]` or `[1, L]`.
            labels: `[B, L]`, the true ids at masked tokens, -100 elsewhere.
            corrupted_ids: `[B, L]`, read by the discriminator instead of a draw.
            return_dict: False returns a plain tuple.
            training: whether dropout is on, in both.

        Returns:
            `PreTrainingOutput`; without labels with `logits [B, L]` alone.
        """
        inputs = (attention_mask, token_type_ids, position_ids)
        values: dict[str, Any] = {}
        if labels is None:
            values["logits"] = self.discriminate(input_ids, None, *inputs).logits
        else:
            made = self.generate(input_ids, labels, *inputs, corrupted_ids)
            judged = self.discriminate(made.corrupted_ids, made.replaced, *inputs)
            values["loss"] = made.loss + self.rtd_lambda * judged.loss
            values |= {"mlm_loss": made.loss, "rtd_loss": judged.loss, "logits": judged.logits}
            values |= {"corrupted_ids": made.corrupted_ids, "replaced": made.replaced, "generator_logits": made.logits}
        return make_output(PreTrainingOutput, values, self.config.return_dict if return_dict is None else return_dict)

    def train_step(self, *state_and_data: Any) -> Any:
        """Trains both on a batch, in a joint step; JAX gives the variables' values before the data."""
        *state, data = state_and_data
        return super().train_step(*state, self._labels_inside(data))

    def test_step(self, *state_and_data: Any) -> Any:
        """Evaluates both on a batch."""
        *state, data = state_and_data
        return super().test_step(*state, self._labels_inside(data))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The sum of both losses, divided by the number of replicas, whose gradients Keras sums."""
        return y_pred[0] / replica_count()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates the means of both losses."""
        for tracker, loss in zip(self.trackers, y_pred[1:3], strict=True):
            tracker.update_state(loss)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _labels_inside(self, data: Any) -> Any:
        """The data of a step with its labels among the inputs.

        Raises:
            InputError: there are no labels, or there are weights.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        labels = named_labels(self.spec, x, y)
        if labels is None or sample_weight is not None:
            what = "no labels" if labels is None else "sample weights, which two losses cannot share"
            raise InputError(f"there are {what}. Give masked ids, and the true ones as y, or as labels inside x.")
        return {**self.named_inputs(x), **labels}, None, None

    def _share_embeddings(self) -> None:
        """Makes the discriminator look up the generator's tables, with "gdes" without gradient, and its own to add."""
        own, others = self.discriminator.deberta.embeddings, self.generator.deberta.embeddings
        is_one_table = self.embedding_sharing == "es"
        for table in (own.word_embeddings, own.position_embeddings):
            if table is not None:
                table.embeddings.assign(ops.zeros_like(table.embeddings))
                table.trainable = not is_one_table
        if own.position_embeddings is None and others.position_embeddings is not None and not is_one_table:
            shape = others.position_embeddings.embeddings.shape
            self.position_delta = self.add_weight(
                shape=shape, initializer="zeros", trainable=False, name="position_delta"
            )

        def look_up(table: str, ids: Any) -> Any:
            rows = getattr(others, table)(ids)
            return rows if is_one_table else ops.stop_gradient(rows) + getattr(own, table)(ids)

        own.look_up = look_up


def draw_tokens(logits: Any, allowed: Any, temperature: float, seed: Any) -> Any:
    """One token per row from `softmax(logits / temperature)`, without gradient.

    The largest of the logits and numbers from Gumbel's distribution follows the same law.

    Shape:
        logits: `[..., V]`; allowed: bool `[V]`, false where a token is never drawn; returns `[...]` int32.
    """
    logits = ops.cast(ops.stop_gradient(logits), "float32") / temperature
    uniform = keras.random.uniform(ops.shape(logits), dtype="float32", seed=seed)
    noise = -ops.log(-ops.log(uniform))  # -inf where the number is 0: never chosen
    scores = ops.where(allowed, logits + noise, float("-inf"))
    return ops.cast(ops.argmax(scores, axis=-1), "int32")
