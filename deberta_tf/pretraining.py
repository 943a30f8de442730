"""Replaced-token detection (NUMERICS 8): a generator fills masks, and a discriminator finds what it filled in wrong."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
from keras import ops

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.outputs import make_output
from deberta_tf.checks import is_jax_traced
from deberta_tf.distribution import replica_count
from deberta_tf.losses import labelled_tokens
from deberta_tf.masks import make_masks
from deberta_tf.task_models import LmModel, ReplacedTokenModel


class Generated(NamedTuple):
    """What a generator makes of masked texts."""

    loss: Any  # a scalar, of masked LM
    logits: Any  # [N, V], of the labelled tokens; [B, L, V] where JAX traces
    input_ids: Any  # [B, L], the texts with drawn tokens in place of the masks
    labels: Any  # [B, L], 1 where a token is not the true one, 0 where it is, -100 at padding


class PreTraining(keras.Model):
    """A generator and a discriminator, which share their embeddings.

    Attributes:
        generator: the masked-LM model.
        discriminator: the model of replaced-token detection, which can be called by itself too. With `gdes` its own
            word table holds what is added to the generator's; with `es` it has no use.
        embedding_sharing: "gdes", "es" or "none".
        rtd_lambda: what the discriminator's loss is multiplied with in the sum.
    """

    generator_class: ClassVar[type[LmModel]]
    discriminator_class: ClassVar[type[ReplacedTokenModel]]

    def __init__(
        self,
        config: BaseConfig,
        generator_config: BaseConfig,
        embedding_sharing: str = "gdes",
        rtd_lambda: float = 50.0,
        temperature: float = 1.0,
        never_drawn: Collection[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config, self.generator_config = config, generator_config
        self.embedding_sharing, self.rtd_lambda, self.temperature = embedding_sharing, rtd_lambda, temperature
        self.never_drawn = tuple(never_drawn)
        self.generator = self.generator_class(generator_config, name="generator", dtype=self.dtype_policy)
        self.discriminator = self.discriminator_class(config, name="discriminator", dtype=self.dtype_policy)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.drawn = np.isin(np.arange(config.vocab_size), self.never_drawn, invert=True)
        self.share_embeddings()
        self.built = True

    def share_embeddings(self) -> None:
        own, others = self.discriminator.deberta.embeddings, self.generator.deberta.embeddings
        tables = ["word_embeddings"] + (["position_embeddings"] if self.config.position_biased_input else [])
        if self.embedding_sharing == "none":
            return
        shares = self.embedding_sharing == "es"
        for table in tables:
            getattr(own, table).embeddings.assign(ops.zeros_like(getattr(own, table).embeddings))
            getattr(own, table).trainable = not shares

        def look_up(table: str, ids: Any) -> Any:
            rows = getattr(others, table)(ids)
            return rows if shares else ops.stop_gradient(rows) + getattr(own, table)(ids)

        own.look_up = look_up

    def generate(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        labels: Any = None,
        corrupted_ids: Any = None,
    ) -> Generated:
        labelled_only = not is_jax_traced(labels)
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            "labels": labels,
        }
        found = self.generator(inputs, labelled_logits_only=labelled_only, return_dict=True)
        is_labelled = ops.cast(labels, "int32") >= 0
        if corrupted_ids is None:
            drawn = draw_tokens(found.logits, self.drawn, self.temperature, self.seed_generator)
            if labelled_only:
                rows = labelled_tokens({"labels": labels})
                batch, length = ops.shape(labels)
                drawn = ops.reshape(ops.scatter(rows[:, None], drawn, (batch * length,)), (batch, length))
            corrupted_ids = ops.where(is_labelled, drawn, ops.cast(input_ids, "int32"))
        corrupted_ids = ops.cast(corrupted_ids, "int32")
        replaced = ops.logical_and(is_labelled, corrupted_ids != ops.cast(labels, "int32"))
        tokens = make_masks(attention_mask, *ops.shape(input_ids)).tokens
        replaced = ops.where(tokens, ops.cast(replaced, "int32"), IGNORED_LABEL)
        return Generated(found.loss, found.logits, corrupted_ids, replaced)


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
