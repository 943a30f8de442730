"""The model's side towards code written for transformers: other names, and what notebooks and `Trainer` call."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.names.models import MODEL_ATTRIBUTES
from deberta_core.names.rows import Accepted, Refused, Row
from deberta_torch.layers import initialize


class ModelNames(nn.Module):
    """Attributes and methods of transformers' `PreTrainedModel`; further ones are set from `MODEL_ATTRIBUTES` below.

    They are members of the class: through a `__getattr__` every look at a part of a module would pass.

    Attributes:
        warnings_issued: where trainers note what they have warned of.
    """

    base_model: Any
    config: BaseConfig

    def __init__(self) -> None:
        super().__init__()
        self.warnings_issued: dict[str, bool] = {}
        self._grad_hook: Any = None

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """Inputs that every model takes."""
        return {"input_ids": torch.tensor([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]]) % self.config.vocab_size}

    @classmethod
    def can_generate(cls) -> bool:
        """False: an encoder generates no text."""
        return False

    def init_weights(self) -> None:
        """Draws fresh weights for every part, by `_init_weights`."""
        self.apply(self._init_weights)

    def post_init(self) -> None:
        """What models of transformers call at the end of `__init__`: `init_weights`."""
        self.init_weights()

    def _init_weights(self, module: nn.Module) -> None:
        """Draws the parameters that a module owns itself; subclasses may draw others."""
        initialize(module, self.config.initializer_range)

    def enable_input_require_grads(self) -> None:
        """Makes the word embeddings' output need gradients, so that they flow through a frozen model's layers."""
        self.disable_input_require_grads()
        words = self.base_model.embeddings.word_embeddings
        self._grad_hook = words.register_forward_hook(lambda module, inputs, output: output.requires_grad_(True))

    def disable_input_require_grads(self) -> None:
        """Undoes `enable_input_require_grads`."""
        if self._grad_hook is not None:
            self._grad_hook.remove()
            self._grad_hook = None

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """What transformers 5 calls `gradient_checkpointing_enable`.

        Raises:
            InputError: some layers only, or another place for what is kept, is asked for.
        """
        if every_n_layers != 1 or offload:
            raise InputError(
                f"every_n_layers={every_n_layers} and offload={offload} are not taken: every layer is computed again, "
                f"and what is kept stays on its device. Leave both out."
            )
        model: Any = self
        model.gradient_checkpointing_enable(activation_checkpointing_kwargs)

    def activation_checkpointing_disable(self) -> None:
        """Undoes `activation_checkpointing_enable`."""
        model: Any = self
        model.gradient_checkpointing_disable()

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """The bytes of the parameters, and of the buffers unless they are left out."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _member(name: str, row: Row) -> Any:
    """What a row is as a member of the class; a refused method raises when it is called."""
    if isinstance(row, Accepted):
        return row.reads_as
    if isinstance(row, Refused):
        return _refusal(f"{name} is not taken over. {row.instead}")
    return property(attrgetter(row.ours), doc=f"`{row.ours}`.")


def _refusal(message: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *arguments: Any, **keywords: Any) -> NoReturn:
        raise InputError(message)

    return refuse


for _name, _row in MODEL_ATTRIBUTES.items():
    setattr(ModelNames, _name, _member(_name, _row))
