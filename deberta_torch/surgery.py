"""Changing a model's sizes after it was made: heads, vocabulary; and what else is asked of its embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deberta_core import surgery
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.parameters import EMBEDDING
from deberta_core.surgery import Change, Surgery, near_mean
from deberta_core.tasks import task_spec

# The attributes in which PyTorch's modules keep the sizes of their weight, by axis.
_SIZES: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.Linear, ("out_features", "in_features")),
    (nn.Embedding, ("num_embeddings",)),
)


class Resizable(nn.Module):
    """The size-changing side of a model, mixed into it.

    The model is changed in place: device, dtype, `requires_grad` and training mode stay, and `config` is replaced by a
    new one. Parameters whose shape changes are new objects, so that an optimizer is to be made afterwards. A backbone
    inside a task model is changed through that model.

    Source:
        transformers `PreTrainedModel`, whose names and arguments these are.
    """

    base_model: Any
    config: BaseConfig
    task: ClassVar[str | None]

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Takes attention heads out of layers; the other heads compute what they did.

        Args:
            heads_to_prune: layer numbers to head numbers, both those of the whole model, also where heads are gone
                already; the probabilities of such a layer are `[B, H_left, L, L]`.

        Raises:
            ConfigError: no such layer or head, a layer would have no head left, or the heads are mixed (talking heads).
            InputError: this backbone is part of a task model.
        """
        _operate(self, surgery.prune_heads(self.config, heads_to_prune))

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """Adds fresh tokens at the end of the vocabulary, or takes the last ones away; a masked-LM head follows.

        Args:
            new_num_tokens: the new size; None is the present one.
            pad_to_multiple_of: rounds the size up to a multiple of it.
            mean_resizing: new rows and biases are drawn close to the mean of the old ones, as in transformers since
                4.46; False draws rows from normal(0, `initializer_range`) and makes biases 0, as in a new model.

        Returns:
            the input embeddings.

        Raises:
            ConfigError: the size is no positive integer, or the padding token would be gone.
            InputError: `pad_to_multiple_of` is no positive integer, or this backbone is part of a task model.
        """
        _operate(self, surgery.resize_vocabulary(self.config, new_num_tokens, pad_to_multiple_of), mean_resizing)
        return self.get_input_embeddings()

    def trim_vocabulary(self, keep_ids: Iterable[int]) -> None:
        """Keeps some tokens of the vocabulary, as `DebertaV2Tokenizer.trim` chooses them; a masked-LM head follows.

        Args:
            keep_ids: the ids to keep, each once; a token's new id is its place here.

        Raises:
            InputError: an id is out of range or there twice, the padding token is missing, or this backbone is part of
                a task model.
        """
        _operate(self, surgery.trim_vocabulary(self.config, keep_ids))

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings `[V, E]`."""
        return self.base_model.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Puts other word embeddings of the same width in place; their `padding_idx` becomes the model's.

        With another number of rows the vocabulary has another size; a masked-LM head follows, with new biases 0.

        Raises:
            ConfigError: there are too few rows for the padding token.
            InputError: the module is no embedding, or of another width; or the number of rows differs, and this
                backbone is part of a task model.
        """
        width = self.config.embedding_width
        if not isinstance(value, nn.Embedding) or value.embedding_dim != width:
            given = tuple(value.weight.shape) if isinstance(value, nn.Embedding) else type(value).__name__
            raise InputError(f"value is {given}: it must be a torch.nn.Embedding of width {width}.")
        if value.num_embeddings != self.config.vocab_size:
            self.resize_token_embeddings(value.num_embeddings, mean_resizing=False)
        value.padding_idx = self.config.pad_token_id
        self.base_model.embeddings.word_embeddings = value

    def get_output_embeddings(self) -> nn.Embedding | None:
        """The decoder of a masked-LM model: the word embeddings, to which it is tied; None for other models."""
        return self.get_input_embeddings() if task_spec(self.task).scores_words else None

    def set_output_embeddings(self, value: nn.Embedding) -> None:
        """Puts another decoder in place, which is to be the word embeddings: see `set_input_embeddings`.

        Raises:
            InputError: as there, or the model has no decoder.
        """
        if not task_spec(self.task).scores_words:
            raise InputError(f"{type(self).__name__} has no output embeddings. Use the class of masked LM.")
        self.set_input_embeddings(value)

    def get_position_embeddings(self) -> nn.Embedding | None:
        """The table of absolute positions `[max_position_embeddings, E]`; None without `position_biased_input`."""
        return self.base_model.embeddings.position_embeddings

    def tie_weights(self) -> None:
        """Does nothing: the masked-LM decoder has no weights of its own, it reads the word embeddings."""

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """The number of parameters.

        Args:
            only_trainable: leaves out those that are frozen.
            exclude_embeddings: leaves out the tables: words, positions, token types, relative positions.
        """
        tables = {id(module.weight) for module in self.modules() if isinstance(module, nn.Embedding)}
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if (parameter.requires_grad or not only_trainable) and not (exclude_embeddings and id(parameter) in tables)
        )


def _operate(model: Resizable, operation: Surgery, mean_resizing: bool = False) -> None:
    if not hasattr(model, "config_class"):
        raise InputError("this backbone is part of a task model, which must change with it. Call that model's method.")
    root = model.base_model if model.task is None else model
    for change in operation.changes(model.task):
        path, leaf = change.parameter.name.rpartition(".")[::2]
        module = root.get_submodule(path)
        parameter = getattr(module, leaf)
        values = _changed(parameter.detach(), change, operation.after.initializer_range, mean_resizing)
        setattr(module, leaf, nn.Parameter(values, requires_grad=parameter.requires_grad))
        for kind, sizes in _SIZES:
            if leaf == "weight" and isinstance(module, kind):
                setattr(module, sizes[change.axis], values.shape[change.axis])
    _set_config(model, operation.after)


def _changed(values: Tensor, change: Change, deviation: float, mean_resizing: bool) -> Tensor:
    shape = list(values.shape)
    shape[change.axis] = change.fresh
    fresh = values.new_zeros(shape)
    if mean_resizing:  # of a vocabulary, the first axis wherever it is one
        old = values.float().cpu().numpy()
        fresh.copy_(torch.from_numpy(near_mean(old, change.fresh, lambda count: torch.randn(count).numpy())))
    elif change.parameter.kind is EMBEDDING:
        fresh.normal_(0.0, deviation)
    kept = values.index_select(change.axis, torch.from_numpy(change.kept).to(values.device))
    return torch.cat([kept, fresh], change.axis)


def _set_config(model: Resizable, config: BaseConfig) -> None:
    """Gives every part of the model the configuration, and what it keeps of it besides."""
    for module in model.modules():
        if isinstance(getattr(module, "config", None), BaseConfig):
            module.config = config  # type: ignore[assignment]  # to a type checker these are tensors and modules
    backbone = model.base_model
    backbone.embeddings.word_embeddings.padding_idx = config.pad_token_id
    for number, layer in enumerate(backbone.encoder.layer):
        layer.attention.self.num_heads = config.heads_in(number)
