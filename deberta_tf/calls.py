"""How a model is called: with a tensor, a list, a dict or keywords, checked once, before Keras sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from deberta_core.inputs import ignores_padding
from deberta_core.tasks import TaskSpec
from deberta_tf.inputs import name_inputs, without_padding


class Called(keras.Model):
    """The calling side of a model, mixed into it.

    Attributes:
        spec: the row of the model's task.
        options: the arguments of a call that are no tensors.
    """

    spec: TaskSpec
    options: ClassVar[tuple[str, ...]] = ("output_attentions", "output_hidden_states", "return_dict")

    @property
    def label_names(self) -> tuple[str, ...]:
        """What a call takes besides the inputs of every model."""
        return tuple(self.spec.labels)

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Raises InputError for wrong inputs and labels, given by name."""
        raise NotImplementedError

    def __call__(self, inputs: Any = None, *, training: bool | None = None, **keywords: Any) -> Any:
        """Calls the model with a tensor, a list, a tuple, a dict or keywords; see `call` for the names.

        Args:
            inputs: `input_ids`, or a list or tuple in the order input_ids, attention_mask, token_type_ids,
                position_ids, inputs_embeds, or a dict of these and labels. NumPy arrays are welcome, in a dict and
                as keywords nested lists too.
            training: whether dropout is on.
            **keywords: inputs by name, `output_attentions`, `output_hidden_states`, `return_dict`; and
                `labels_at_padding`: labels of tokens that are not -100 at padding are an "error", or with "ignore" do
                not count.

        Raises:
            InputError: an unknown name, a wrong shape, or a value out of range.
        """
        if isinstance(inputs, Mapping):  # transformers' users write the options among the inputs
            keywords = {name: inputs[name] for name in self.options if name in inputs} | keywords
            inputs = {name: value for name, value in inputs.items() if name not in self.options}
        options = {name: keywords.pop(name) for name in self.options if name in keywords}
        ignores = ignores_padding(keywords.pop("labels_at_padding", "error"))
        named = name_inputs(inputs, keywords, self.label_names)
        if ignores and named.get("attention_mask") is not None:
            named = without_padding(self.spec, named)
        self.check(named)
        if training is not None:
            options["training"] = training
        return super().__call__(**named, **options)

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Keras' `stateless_call`, in which JAX trains, by way of a call: that names the inputs and sets the mode."""
        values = [*trainable_variables, *non_trainable_variables]
        mapping = list(zip((*self.trainable_variables, *self.non_trainable_variables), values, strict=True))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            losses = (self.losses,) if return_losses else ()
        return outputs, [scope.get_current_value(one) for one in self.non_trainable_variables], *losses

    def named_inputs(self, inputs: Any) -> dict[str, Any]:
        """Inputs and labels by name, from any form of the first argument."""
        return name_inputs(inputs, {}, self.label_names)
