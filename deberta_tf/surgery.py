"""Changing a model's sizes after it was made: heads, vocabulary; and what else is asked of its embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import keras
import numpy as np

from deberta_core import surgery
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.parameters import EMBEDDING, expand
from deberta_core.surgery import Surgery, near_mean
from deberta_core.tasks import task_spec
from deberta_tf.weights import merged_arrays, parameter_variables


class Resizable(keras.Model):
    """The size-changing side of a model, mixed into it.

    A Keras variable cannot change its shape, so that each of these returns a NEW model of the same class, name and
    dtype policy, not compiled yet, and leaves this one as it is: `model = model.prune_heads({0: [1]})`. What was frozen
    stays so; adapters (LoRA) are merged. A backbone inside a task model is changed through that model.

    Source:
        transformers `PreTrainedModel`, whose names and arguments these are.
    """

    config: BaseConfig
    task: ClassVar[str | None]

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> Self:
        """The model without some attention heads; the other heads compute what they did.

        Args:
            heads_to_prune: layer numbers to head numbers, both those of the whole model, also where heads are gone
                already; the probabilities of such a layer are `[B, H_left, L, L]`.

        Raises:
            ConfigError: no such layer or head, a layer would have no head left, or the heads are mixed (talking heads).
            InputError: this backbone is part of a task model.
        """
        return _operate(self, surgery.prune_heads(self.config, heads_to_prune))

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> Self:
        """The model with fresh tokens at the end of the vocabulary, or without the last ones; a masked-LM head follows.

        Args:
            new_num_tokens: the new size; None is the present one.
            pad_to_multiple_of: rounds the size up to a multiple of it.
            mean_resizing: new rows and biases are drawn close to the mean of the old ones, as in transformers since
                4.46; False draws rows from normal(0, `initializer_range`) and makes biases 0, as in a new model.

        Raises:
            ConfigError: the size is no positive integer, or the padding token would be gone.
            InputError: `pad_to_multiple_of` is no positive integer, or this backbone is part of a task model.
        """
        operation = surgery.resize_vocabulary(self.config, new_num_tokens, pad_to_multiple_of)
        return _operate(self, operation, mean_resizing)

    def trim_vocabulary(self, keep_ids: Iterable[int]) -> Self:
        """The model with some tokens only, as `DebertaV2Tokenizer.trim` chooses them; a masked-LM head follows.

        Args:
            keep_ids: the ids to keep, each once; a token's new id is its place here.

        Raises:
            InputError: an id is out of range or there twice, the padding token is missing, or this backbone is part of
                a task model.
        """
        return _operate(self, surgery.trim_vocabulary(self.config, keep_ids))

    def get_input_embeddings(self) -> keras.layers.Embedding:
        """The word embeddings; their variable `embeddings` is `[V, E]`."""
        backbone: Any = getattr(self, "deberta", self)
        return backbone.embeddings.word_embeddings

    def get_output_embeddings(self) -> keras.layers.Embedding | None:
        """The decoder of a masked-LM model: the word embeddings, to which it is tied; None for other models."""
        return self.get_input_embeddings() if task_spec(self.task).scores_words else None

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """The number of parameters.

        Args:
            only_trainable: leaves out those that are frozen.
            exclude_embeddings: leaves out the tables: words, positions, token types, relative positions.
        """
        chosen = self.trainable_weights if only_trainable else self.weights
        leaf = f"/{EMBEDDING.keras_leaf}"
        return sum(
            int(np.prod(variable.shape))
            for variable in chosen
            if not (exclude_embeddings and variable.path.endswith(leaf))
        )


def _operate(model: Any, operation: Surgery, mean_resizing: bool = False) -> Any:
    if not hasattr(model, "config_class"):
        raise InputError("this backbone is part of a task model, which must change with it. Call that model's method.")
    changed = type(model)(operation.after, name=model.name, dtype=model.dtype_policy)
    changes = {change.parameter.name: change for change in operation.changes(model.task)}
    sources, targets = merged_arrays(model), parameter_variables(changed)
    table, old = expand(changed.config, changed.task), parameter_variables(model)
    for name, target in targets.items():
        values, layout = sources[name], table[name].kind.convert
        if name in changes:
            change, fresh = changes[name], layout(keras.ops.convert_to_numpy(target)).copy()
            if mean_resizing and change.fresh:  # of a vocabulary, the first axis wherever it is one
                fresh[-change.fresh :] = near_mean(values, change.fresh, _normal)
            values = change.apply(values, fresh)
        target.assign(np.ascontiguousarray(layout(values)))
        target.trainable = old[name].trainable
    return changed


def _normal(count: int) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(keras.random.normal((count,))))
