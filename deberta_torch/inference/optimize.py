"""`optimize` and `restore`: the fast encoder in and out of a model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch
from torch import nn

from deberta_core.errors import DebertaWarning, InputError
from deberta_torch.encoder import Encoder
from deberta_torch.inference.encoder import PackedEncoder
from deberta_torch.inference.linears import precision_of
from deberta_torch.inference.weight_lock import WeightLock
from deberta_torch.kernels import onednn
from deberta_torch.models import PreTrainedModel

Model = TypeVar("Model", bound=nn.Module)


def optimize(model: Model, dtype: torch.dtype | str = "float32") -> Model:
    """Makes a model's inference on the CPU fast: packed weights, no padding, position rows projected once.

    The model itself is returned, and stays what it was: the same parameters, `state_dict`, training mode. In
    evaluation mode its encoder then runs on copies of the weights, which take as much memory again ("bfloat16" half of
    it, "int8" a quarter), follow the weights when those change, and have no gradients. Attention probabilities, tracing
    and other devices get the usual forward pass.

    Any number of threads may call the model, and one may change its weights meanwhile, by `load_state_dict` or within
    `changing_weights(model)`: each call then uses wholly the old weights, or wholly the new ones.

    Args:
        model: of this package; or any module that holds such.
        dtype: of the products: "float32"; "bfloat16", with float32 between the layers' blocks; or "int8", with one
            scale for each row of a weight and each call of a layer.

    Raises:
        InputError: an unknown `dtype`, one this CPU cannot do, or no encoder that can be optimised.
    """
    precision = precision_of(dtype)
    encoders = _encoders(model)
    for encoder in encoders:
        if encoder.config.mixes_heads:
            raise InputError("optimize() does not know talking heads (talking_head). Use the model as it is.")
    if precision.products == torch.bfloat16 and not onednn.has_bfloat16():
        warnings.warn(
            "This CPU has no bfloat16 instructions: optimize(dtype='bfloat16') is right, but slower than 'float32'.",
            DebertaWarning,
            stacklevel=2,
        )
    restore(model)
    lock = WeightLock()
    lock.guard([module for module in model.modules() if module is model or isinstance(module, PreTrainedModel)])
    for encoder in encoders:
        encoder.packed = PackedEncoder(encoder, precision, lock)
    return model


@contextmanager
def changing_weights(model: nn.Module) -> Iterator[None]:
    """What changes an optimised model's weights while other threads may call it: they wait until it is done.

    As `with changing_weights(model): optimizer.step()`. `load_state_dict` does it by itself. The model itself may be
    called within. One that is not optimised is not looked after.
    """
    with ExitStack() as stack:
        for lock in locks_of(model):
            stack.enter_context(lock.change())
        yield


def locks_of(model: nn.Module) -> list[WeightLock]:
    """The locks of the optimised encoders that a module holds, each once."""
    packed = [module.packed for module in model.modules() if isinstance(module, Encoder)]
    return list({id(one.lock): one.lock for one in packed if isinstance(one, PackedEncoder)}.values())


def restore(model: Model) -> Model:
    """Undoes `optimize`, and frees the packed weights; a model that is not optimised stays as it is."""
    for lock in locks_of(model):
        lock.release()
    for encoder in _encoders(model):
        encoder.packed = None
    return model


def _encoders(model: nn.Module) -> list[Encoder]:
    found = [module for module in model.modules() if isinstance(module, Encoder)]
    if not found:
        raise InputError(f"a {type(model).__name__} holds no DeBERTa encoder of deberta_torch.")
    return found
