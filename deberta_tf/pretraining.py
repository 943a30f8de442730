"""Generator and discriminator together: pretraining by replaced-token detection (NUMERICS 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from deberta_core.checkpoint import check_pair, checkpoint_folder, read_pair, write_pair
from deberta_core.checkpoint.formats import GENERATOR_FILES
from deberta_core.checkpoint.pairs import BESIDE, SHARINGS, has_position_table
from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.config_place import GENERATOR_CONFIG
from deberta_core.errors import InputError
from deberta_core.hub import split_hub_options
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.outputs import make_output
from deberta_core.parameters import DELTA_NAMES
from deberta_core.tasks import PreTrainingOutput, TaskSpec
from deberta_tf import weights
from deberta_tf.checks import check_call, is_jax_traced
from deberta_tf.layers import normal
from deberta_tf.losses import labelled_tokens
from deberta_tf.masks import make_masks
from deberta_tf.tasks import (
    TFDebertaForMaskedLM,
    TFDebertaForReplacedTokenDetection,
    TFDebertaV2ForMaskedLM,
    TFDebertaV2ForReplacedTokenDetection,
)
from deberta_tf.training import PairTraining

_, _POSITIONS = DELTA_NAMES
_OPTIONS = ("embedding_sharing", "rtd_lambda", "special_ids", "num_tokens", "sample_special", "temperature")
_BELOW_ONE = 1 - 2**-22  # in float32, times a number that is more than 0, is less than that number


class PreTrainingModel(PairTraining):
    """A generator, which predicts masked tokens, and a discriminator, which tells what was replaced by them.

    One joint step is a call, whose `loss` trains both; `compile(optimizer)` and `fit(inputs, labels)` take such steps.
    A decoupled step is `corrupt`, a step of an optimizer of `generator.trainable_variables` on its `mlm_loss`, then
    `discriminate` of what was corrupted, and a step of an optimizer of `discriminator.trainable_variables` on its
    `rtd_loss`.

    Args:
        generator_config: of a masked-LM model, usually with half of the layers: `generator_config_of`.
        config: of the discriminator.
        embedding_sharing: "gdes": the discriminator's tables are the generator's, without gradient, plus a difference
            of its own; "es": both have the same ones; "none": each its own.
        rtd_lambda: what the discriminator's loss is multiplied with in `loss`. (Microsoft's code: 10.)
        special_ids: ids that are never drawn, such as `tokenizer.all_special_ids`.
        num_tokens: ids from this on are never drawn, `len(tokenizer)`; None: all are.
        sample_special: draws any id, as Microsoft's code does.
        temperature: what logits are divided by before a token is drawn.
        seed: of the draws; None: Keras' own.

    Attributes:
        generator: the masked-LM model.
        discriminator: the model of replaced-token detection, which can be called by itself, too. Its own word table is
            the difference under "gdes", and has no use under "es".

    Raises:
        ConfigError: the configurations do not fit (`deberta_core.checkpoint.check_pair`).
        InputError: every id is excluded, or `temperature` is not above 0.
    """

    config_class: ClassVar[type[BaseConfig]]
    generator_class: ClassVar[Any]
    discriminator_class: ClassVar[Any]
    options = ()

    def __init__(
        self,
        generator_config: BaseConfig,
        config: BaseConfig,
        embedding_sharing: str = SHARINGS[0],
        rtd_lambda: float = 50.0,
        *,
        special_ids: Sequence[int] = (),
        num_tokens: int | None = None,
        sample_special: bool = False,
        temperature: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for given in (generator_config, config):
            self.config_class.check_class(given, type(self).__name__)
        check_pair(generator_config, config, embedding_sharing)
        if not temperature > 0:
            raise InputError(f"temperature={temperature!r} is not allowed: it must be above 0.")
        self.embedding_sharing, self.rtd_lambda, self.temperature = embedding_sharing, rtd_lambda, temperature
        self.special_ids, self.num_tokens, self.sample_special = tuple(special_ids), num_tokens, sample_special
        self.generator = self.generator_class(generator_config, name="generator", dtype=self.dtype_policy)
        self.discriminator = self.discriminator_class(config, name="discriminator", dtype=self.dtype_policy)
        self._share_tables()
        self.drawn_ids = np.ones(config.vocab_size, dtype=bool)
        if not sample_special:
            self.drawn_ids[config.vocab_size if num_tokens is None else num_tokens :] = False
            self.drawn_ids[list(special_ids)] = False
        if not self.drawn_ids.any():
            raise InputError(f"special_ids and num_tokens={num_tokens} leave no id that could be drawn.")
        self.random = keras.random.SeedGenerator(seed)
        self.built = True

    def _share_tables(self) -> None:
        own, given = self.discriminator.deberta.embeddings, self.generator.deberta.embeddings
        config, sharing = self.discriminator.config, self.embedding_sharing
        # A table that only the discriminator's file has, or what is added to the generator's there.
        self.unread_positions = None
        if has_position_table(config, sharing) and not config.position_biased_input:
            shape = (config.max_position_embeddings, config.embedding_width)
            values = normal(config) if sharing == "none" else "zeros"
            self.unread_positions = self.add_weight(shape, values, trainable=False, name="position_embeddings")
        if sharing == "none":
            return
        for table in (own.word_embeddings, own.position_embeddings):
            if table is not None:
                table.embeddings.assign(ops.zeros(table.embeddings.shape))
                table.trainable = sharing == "gdes"

        def look_up(table: str, ids: Any) -> Any:
            rows = getattr(given, table)(ids)
            return rows if sharing == "es" else ops.stop_gradient(rows) + getattr(own, table)(ids)

        own.look_up = look_up

    @property
    def config(self) -> BaseConfig:
        """The discriminator's configuration."""
        return self.discriminator.config

    @property
    def spec(self) -> TaskSpec:
        """The row of the generator's task, whose labels a call takes."""
        return self.generator.spec

    @property
    def label_names(self) -> tuple[str, ...]:
        """The true ids, and what was drawn before."""
        return (*super().label_names, "corrupted_ids")

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Refuses wrong inputs and labels, given by name."""
        check_call(self.generator.config, self.spec, inputs)

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        labels: Any = None,
        corrupted_ids: Any = None,
        training: bool | None = None,
    ) -> Any:
        """A joint step: arguments `[B, L]` as for `corrupt`.

        Returns:
            `PreTrainingOutput` with everything in it: `loss = mlm_loss + rtd_lambda * rtd_loss`. Without labels the
            discriminator reads `input_ids`, and there are its `logits [B, L]` alone.
        """
        inputs = (attention_mask, token_type_ids, position_ids)
        if labels is None:
            told = self.discriminate(input_ids, *inputs, training=training)
            return make_output(PreTrainingOutput, {"logits": told.logits})
        made = self.corrupt(input_ids, *inputs, labels, corrupted_ids, training)
        told = self.discriminate(made.corrupted_ids, *inputs, made.replaced, training)
        loss = made.mlm_loss + self.rtd_lambda * told.rtd_loss
        return make_output(PreTrainingOutput, {"loss": loss} | _ordered(made, told))

    def corrupt(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        labels: Any = None,
        corrupted_ids: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Runs the generator, and puts a token drawn from its predictions at each labelled place.

        Args:
            input_ids: `[B, L]`, masked.
            attention_mask: as for every model.
            token_type_ids: likewise.
            position_ids: likewise.
            labels: `[B, L]`, the true ids at the places that are predicted, -100 elsewhere.
            corrupted_ids: `[B, L]`, what was drawn before; None draws.
            training: whether dropout is on; None: as in the call around it.

        Returns:
            `PreTrainingOutput`: `mlm_loss`, `corrupted_ids`, `replaced` (`[B, L]`: 1 where a drawn id is not the true
            one, else 0; -100 at padding) and `generator_logits [N, V]`, `[B, L, V]` where JAX traces. Only the loss and
            the logits have gradients.

        Raises:
            InputError: an input or a label has the wrong shape or a value out of range, or there are no labels.
        """
        if labels is None:
            raise InputError("labels are missing. Give the true ids at the masked places, -100 elsewhere.")
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        inputs |= {"position_ids": position_ids, "labels": labels}
        only = not is_jax_traced(labels)
        made = self.generator(inputs, return_dict=True, labelled_logits_only=only, training=training)
        labels, input_ids = ops.cast(labels, "int32"), ops.cast(input_ids, "int32")
        if corrupted_ids is None:
            corrupted_ids = ops.where(labels >= 0, self._drawn(labels, made.logits), input_ids)
        corrupted_ids = ops.cast(corrupted_ids, "int32")
        replaced = ops.cast(ops.logical_and(labels >= 0, corrupted_ids != labels), "int32")
        tokens = make_masks(attention_mask, *ops.shape(input_ids)).tokens
        values = {"mlm_loss": made.loss, "corrupted_ids": corrupted_ids}
        values |= {"replaced": ops.where(tokens, replaced, IGNORED_LABEL), "generator_logits": made.logits}
        return make_output(PreTrainingOutput, values)

    def discriminate(
        self,
        corrupted_ids: Any,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        replaced: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Runs the discriminator on what `corrupt` made.

        Returns:
            `PreTrainingOutput`: `rtd_loss`, without `rtd_lambda`, where `replaced` is given, and `logits [B, L]`.

        Raises:
            InputError: as `corrupt`.
        """
        inputs = {"input_ids": corrupted_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        inputs |= {"position_ids": position_ids, "labels": replaced}
        told = self.discriminator(inputs, return_dict=True, training=training)
        return make_output(PreTrainingOutput, {"rtd_loss": told.loss, "logits": told.logits})

    def _drawn(self, labels: Any, logits: Any) -> Any:
        """A draw from softmax(logits / T) at each label, `[B, L]`: the place of a uniform number in the sums."""
        scores = ops.cast(ops.stop_gradient(logits), "float32") / self.temperature
        scores = ops.where(self.drawn_ids, scores, float("-inf"))
        sums = ops.cumsum(ops.softmax(scores, axis=-1), axis=-1)  # [N, V]
        total = sums[..., -1:]
        shares = keras.random.uniform(ops.shape(total), dtype="float32", seed=self.random) * _BELOW_ONE
        drawn = ops.sum(ops.cast(sums <= shares * total, "int32"), axis=-1)
        if len(logits.shape) == 3:
            return drawn
        rows, size = labelled_tokens({"labels": labels}), ops.size(labels)
        return ops.reshape(ops.scatter(rows[:, None], drawn, (size,)), ops.shape(labels))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs: both configurations as dictionaries, the options, and Keras' name and policy."""
        configs = {"generator_config": self.generator.config.to_dict(), "config": self.config.to_dict()}
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        return {**configs, **{name: getattr(self, name) for name in _OPTIONS}, "name": self.name, "dtype": policy}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Builds a model with fresh weights from `get_config`'s dictionary."""
        names = ("generator_config", "config")
        return cls(**{**config, **{name: cls.config_class.from_dict(config[name]) for name in names}})

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        generator: str | Path | None = BESIDE,
        embedding_sharing: str | None = None,
        *,
        new_head: bool = False,
        seed: int | None = None,
        **options: Any,
    ) -> Self:
        """Builds both models from checkpoints.

        Args:
            path: the discriminator's folder or hub id.
            generator: the generator's folder or weight file, by default beside the discriminator; None makes one of the
                discriminator, with a warning.
            embedding_sharing: None is what config.json says, or else "gdes".
            new_head: whether the discriminator's head may be missing; it then starts fresh.
            seed: of what starts fresh, and of the draws; None: other numbers every time.
            **options: others of the class, and for a hub id those of `deberta_core.hub.local_folder`.

        Raises:
            ConfigError: a configuration is missing or wrong, or the two do not fit.
            WeightError: weights are missing, damaged, or do not fit; or there is no generator.
        """
        hub, own = split_hub_options(options)
        folder = checkpoint_folder(path, also=(*GENERATOR_FILES, GENERATOR_CONFIG), **hub)
        with read_pair(folder, cls.config_class, generator, embedding_sharing, new_head=new_head, seed=seed) as pair:
            model = cls(pair.generator_config, pair.config, pair.embedding_sharing, seed=seed, **own)
            weights.assign(model.generator, pair.generator)
            arrays = {name: pair.discriminator[stored] for name, stored in model._stored_names().items()}
        if model.unread_positions is not None:
            model.unread_positions.assign(arrays.pop(_POSITIONS))
        weights.assign(model.discriminator, arrays)
        return model

    def save_pretrained(self, folder: str | Path, keep_delta: bool = False, format: str = "safetensors") -> None:
        """Writes both models into a folder as published ones lie there; the discriminator is an ordinary checkpoint.

        Args:
            folder: made if need be.
            keep_delta: under "gdes" the differences of the tables are written, too.
            format: "safetensors" or "bin".

        Raises:
            WeightError: another format, or the folder cannot be written, and is as it was.
        """
        parts = (self.generator, self.discriminator)
        given, own = (weights.merged_arrays(part) for part in parts)
        names = self._stored_names()
        arrays = {stored: own[name] for name, stored in names.items() if name in own}
        if self.unread_positions is not None:
            arrays[names[_POSITIONS]] = ops.convert_to_numpy(self.unread_positions)
        generator_config, config = (weights.published_config(part) for part in parts)
        write_pair(
            folder,
            generator_config,
            config,
            given,
            arrays,
            embedding_sharing=self.embedding_sharing,
            keep_delta=keep_delta,
            format=format,
        )

    def _stored_names(self) -> dict[str, str]:
        """The discriminator's parameters, and the unread table, to their names in a pair; but for shared tables."""
        names = [*weights.parameter_variables(self.discriminator)]
        names += [_POSITIONS] if self.unread_positions is not None else []
        if self.embedding_sharing == "es":
            return {name: name for name in names if name not in DELTA_NAMES}
        deltas = DELTA_NAMES if self.embedding_sharing == "gdes" else {}
        return {name: deltas.get(name, name) for name in names}


def _ordered(made: Any, told: Any) -> dict[str, Any]:
    found = made._asdict() | told._asdict()
    return {name: found[name] for name in PreTrainingOutput.all_fields if name in found}


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaForPreTraining(PreTrainingModel):
    """Replaced-token detection with DeBERTa v1."""

    config_class = DebertaConfig
    generator_class = TFDebertaForMaskedLM
    discriminator_class = TFDebertaForReplacedTokenDetection


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2ForPreTraining(PreTrainingModel):
    """Replaced-token detection with DeBERTa v2 and v3."""

    config_class = DebertaV2Config
    generator_class = TFDebertaV2ForMaskedLM
    discriminator_class = TFDebertaV2ForReplacedTokenDetection
