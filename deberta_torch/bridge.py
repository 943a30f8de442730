"""Models and tokenizers of this package as transformers' own, for what asks for its classes.

transformers is imported where it is used, and only there.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, ClassVar

from torch import nn

from deberta_core import DebertaV2TokenizerFast
from deberta_core.errors import InputError
from deberta_core.tasks import task_spec
from deberta_core.tokenization.tokenizer import Tokenizer
from deberta_torch.models import PreTrainedModel

_FAMILIES = {"deberta": "Deberta", "deberta-v2": "DebertaV2"}
# Outputs whose names differ in transformers.
_OUTPUTS = {
    "MultipleChoiceOutput": "MultipleChoiceModelOutput",
    "QuestionAnsweringOutput": "QuestionAnsweringModelOutput",
}
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_OPTIONS = ("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces")


def as_transformers(model: PreTrainedModel, tokenizer: Tokenizer | None = None) -> Any:
    """A model as a `transformers.PreTrainedModel`, which computes with the model itself.

    It has the model's parts, and so its parameters, under the names of transformers' `state_dict`; a configuration and
    outputs of transformers' classes; and the name of transformers' class. `Trainer`, pipelines and PEFT take it.
    `save_pretrained` writes a folder that both packages load. `model.wrapped` is the model given, in step with it.

    Args:
        model: of this package.
        tokenizer: of this package, to be made a `transformers.PreTrainedTokenizerFast` of the same tokens and ids.

    Returns:
        the model; with a tokenizer, a pair of both.

    Raises:
        InputError: the model or the tokenizer is none of this package's.
        ImportError: transformers is not installed.
    """
    if not isinstance(model, PreTrainedModel) or not hasattr(type(model), "config_class"):
        raise InputError(f"as_transformers() takes a model of deberta_torch, not a {type(model).__name__}.")
    kind: Any = type(model)
    wrapped = _class_for(kind)(model)
    return wrapped if tokenizer is None else (wrapped, _fast_tokenizer(tokenizer))


class _Bridge(nn.Module):
    """What a model of transformers does with one of ours; mixed into a subclass of transformers' base class.

    Attributes:
        wrapped: ours. It is no part of this module, but has the same parts, in the same dict: what is put into the one
            is in the other.
        kind: ours, the class.
        output_kind: transformers' class of outputs.
        argument_names: of `forward`, in order.
        accepts_loss_kwargs: for Trainer, which else takes `forward`'s further options for its own.
    """

    config: Any
    wrapped: PreTrainedModel
    kind: ClassVar[type[PreTrainedModel]]
    output_kind: ClassVar[type]
    argument_names: ClassVar[tuple[str, ...]]
    accepts_loss_kwargs: ClassVar[bool] = False
    config_class: ClassVar[Any]

    def __init__(self, model: PreTrainedModel) -> None:
        config = self.config_class.from_dict(model.config.to_dict())
        config.architectures = [type(self).__name__]
        if model.task == "question_answering":
            config.num_labels = 2  # start and end, whatever was there before: transformers makes a head of this size
        super().__init__(config)  # of transformers' class, which comes next
        vars(self).update(wrapped=model, _modules=model._modules, training=model.training)
        self.post_init()  # type: ignore[operator]

    def _run(self, *arguments: Any, **keywords: Any) -> Any:
        """Ours, with the configuration's defaults, and an output of transformers."""
        keywords |= zip(self.argument_names, arguments, strict=False)
        for name in ("output_attentions", "output_hidden_states", "return_dict"):
            if keywords.get(name) is None:
                keywords[name] = getattr(self.config, name)
        whole = keywords.pop("return_dict")
        model = self.wrapped
        if model._modules is not self._modules:  # a replica, as DataParallel makes them
            model = copy.copy(model)
            vars(model)["_modules"] = self._modules
        output = model(**keywords)
        return self.output_kind(**output._asdict()) if whole else tuple(output)

    def train(self, mode: bool = True) -> Any:
        """See `nn.Module.train`."""
        self.wrapped.train(mode)
        return super().train(mode)

    def load_state_dict(self, state_dict: Mapping[str, Any], *arguments: Any, **keywords: Any) -> Any:
        """See `nn.Module.load_state_dict`; names of tied weights may be there or not."""
        return self.wrapped.load_state_dict(state_dict, *arguments, **keywords)

    @classmethod
    def from_pretrained(cls, path: str | Path, *_: Any, **keywords: Any) -> Any:
        """Ours, read by `deberta_torch`, and wrapped."""
        return cls(cls.kind.from_pretrained(path, **keywords))  # type: ignore[arg-type]

    def init_weights(self) -> None:
        """Does nothing: the weights are the model's."""

    def tie_weights(self, *_: Any, **__: Any) -> None:
        """Does nothing: the masked-LM decoder has no weights of its own."""

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.wrapped.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """Puts other word embeddings in place."""
        self.wrapped.set_input_embeddings(value)
        self.config.vocab_size = self.wrapped.config.vocab_size

    def get_output_embeddings(self) -> Any:
        """The decoder of a masked-LM model, which is the word embeddings; else None."""
        return self.wrapped.get_output_embeddings()

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Module:
        """See `Resizable.resize_token_embeddings`."""
        embeddings = self.wrapped.resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        self.config.vocab_size = self.wrapped.config.vocab_size
        return embeddings

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """See `PreTrainedModel.gradient_checkpointing_enable`; the other arguments are transformers 5's.

        Raises:
            InputError: some layers alone, or activations moved away, are asked for.
        """
        if every_n_layers != 1 or offload:
            raise InputError("every_n_layers and offload are transformers' own. Leave them at 1 and False.")
        self.wrapped.gradient_checkpointing_enable(gradient_checkpointing_kwargs)

    def gradient_checkpointing_disable(self) -> None:
        """Undoes `gradient_checkpointing_enable`."""
        self.wrapped.gradient_checkpointing_disable()

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether `gradient_checkpointing_enable` is in force."""
        return self.wrapped.is_gradient_checkpointing

    def __reduce__(self) -> tuple[Any, ...]:
        return _empty, (self.kind,), self.__dict__


@functools.cache
def _class_for(kind: Any) -> type[_Bridge]:
    transformers = _transformers()
    name = f"{_FAMILIES[kind.config_class.model_type]}PreTrainedModel"
    output = task_spec(kind.task).output.__name__

    def forward(self: _Bridge, *arguments: Any, **keywords: Any) -> Any:
        return self._run(*arguments, **keywords)

    signature = inspect.signature(kind.forward)
    vars(forward)["__signature__"] = signature  # by which Trainer chooses columns and labels
    forward.__doc__ = kind.forward.__doc__
    members = {
        "kind": kind,
        "output_kind": getattr(transformers.modeling_outputs, _OUTPUTS.get(output, output)),
        "argument_names": tuple(signature.parameters)[1:],
        "forward": forward,
        "__module__": __name__,
        "__doc__": f"{kind.__module__}.{kind.__qualname__} as a model of transformers.",
    }
    return type(kind.__name__, (_Bridge, getattr(transformers, name)), members)


def _empty(kind: Any) -> _Bridge:
    """A wrapper that is filled from a copy or a pickle."""
    cls = _class_for(kind)
    return cls.__new__(cls)


def _fast_tokenizer(tokenizer: Tokenizer) -> Any:
    if not isinstance(tokenizer, Tokenizer):
        raise InputError(f"as_transformers() takes a tokenizer of deberta_torch, not a {type(tokenizer).__name__}.")
    options = {name: getattr(tokenizer, name) for name in (*_ROLES, *_OPTIONS)}
    if tokenizer.additional_special_tokens:
        options["additional_special_tokens"] = tokenizer.additional_special_tokens
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder, legacy_format=False)
        if not tokenizer.layout.has_tokenizer_json:
            DebertaV2TokenizerFast.from_pretrained(folder).save_pretrained(folder)
        return _transformers().PreTrainedTokenizerFast(
            tokenizer_file=str(Path(folder) / "tokenizer.json"),
            model_input_names=list(tokenizer.model_input_names),
            **options,
        )


def _transformers() -> ModuleType:
    try:
        import transformers
    except ModuleNotFoundError as problem:
        if problem.name != "transformers":
            raise
        raise ImportError(
            "as_transformers() needs transformers. Install it with: pip install 'deberta-dual[transformers]'"
        ) from None
    return transformers
