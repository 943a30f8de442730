"""`optimize` and `restore`: the fast encoder in and out of a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from deberta_core.errors import DebertaWarning, InputError
from deberta_torch.encoder import Encoder
from deberta_torch.inference.device_encoder import DeviceEncoder
from deberta_torch.inference.encoder import PackedEncoder
from deberta_torch.inference.graphs import GRAPHS
from deberta_torch.inference.linears import device_dtype, precision_of
from deberta_torch.inference.transformers_encoder import KNOWN_VERSIONS, PackedForward, as_ours, find_encoders
from deberta_torch.inference.weight_lock import WeightLock
from deberta_torch.kernels import onednn
from deberta_torch.models import Backbone

# Where batches are recorded as graphs; elsewhere products are packed for the CPU.
GRAPH_DEVICES = ("cuda",)

Model = TypeVar("Model", bound=nn.Module)


def optimize(model: Model, dtype: torch.dtype | str | None = None, *, graphs: int = GRAPHS) -> Model:
    """Makes a model's inference fast where it is: packed weights, no padding, position rows projected once.

    The model itself is returned, and stays what it was: the same parameters, `state_dict`, training mode. In
    evaluation mode its encoder then runs on copies of the weights, which take as much memory again ("bfloat16" half of
    it, "int8" a quarter), follow the weights when those change, and have no gradients. Attention probabilities, tracing
    and other devices than the one it is on now get the usual forward pass.

    On CUDA a batch's size is recorded as a CUDA graph when it is met again, in steps, so that sizes near to each other
    share one. Masks are best left on the CPU: a mask `[B, L]` on the device is waited for, to leave its padding out.

    So are models of transformers, and of packages built upon it, which stay the other's in everything else: the
    numbers at padding, too (on CUDA they are 0), and the types of outputs. They do it where no gradients are recorded,
    and with masks `[B, L]`; all else gets transformers' forward pass.

    Any number of threads may call the model, and one may change its weights meanwhile, by `load_state_dict` or within
    `changing_weights(model)`: each call then uses wholly the old weights, or wholly the new ones.

    Args:
        model: of this package, or DeBERTa of transformers (4.57 and 5); or any module that holds such.
        dtype: of the products. On the CPU "float32", the default; "bfloat16", with float32 between the layers' blocks;
            or "int8", with one scale for each row of a weight and each call of a layer. On CUDA "float32", "bfloat16"
            or "float16", of all between the layers too; None is the model's own.
        graphs: how many sizes of batches are recorded at a time, on CUDA; the one not used for longest leaves. 0
            records none.

    Raises:
        InputError: an unknown `dtype`, one this device cannot do, or no encoder that can be optimised; or transformers'
            with parts that it does not know, as adapters.
    """
    encoders, theirs = _encoders(model), find_encoders(model)
    if not encoders and not theirs:
        raise InputError(
            f"a {type(model).__name__} holds no DeBERTa encoder of deberta_torch, nor of transformers "
            f"{' or '.join(KNOWN_VERSIONS)}."
        )
    for encoder in (*encoders, *map(as_ours, theirs)):
        if encoder.config.mixes_heads:
            raise InputError("optimize() does not know talking heads (talking_head). Use the model as it is.")
    lock = WeightLock()
    places = {encoder: next(encoder.parameters()) for encoder in (*encoders, *theirs)}
    made = {encoder: _packer(place, dtype, graphs) for encoder, place in places.items()}
    restore(model)
    embeddings = {one.encoder: one.embeddings for one in model.modules() if isinstance(one, Backbone)}
    lock.guard([module for module in model.modules() if not made.keys().isdisjoint(module.modules())])
    for encoder in encoders:
        encoder.packed = made[encoder](encoder, lock=lock, embeddings=embeddings.get(encoder))
    for other in theirs:
        other.forward = PackedForward(other, made[other](other, lock=lock, as_ours=as_ours))
    return model


def _packer(parameter: nn.Parameter, dtype: torch.dtype | str | None, graphs: int) -> Callable[..., Any]:
    """Makes the packed encoder for the device of a parameter."""
    if parameter.device.type in GRAPH_DEVICES:
        chosen = device_dtype(parameter.dtype if dtype is None else dtype)
        return partial(DeviceEncoder, dtype=chosen, device=parameter.device, graphs=graphs)
    precision = precision_of("float32" if dtype is None else dtype)
    if precision.products == torch.bfloat16 and not onednn.has_bfloat16():
        warnings.warn(
            "This CPU has no bfloat16 instructions: optimize(dtype='bfloat16') is right, but slower than 'float32'.",
            DebertaWarning,
            stacklevel=3,
        )

    def make(encoder: nn.Module, *, lock: WeightLock, embeddings: Any = None, as_ours: Any = None) -> PackedEncoder:
        return PackedEncoder(encoder, precision, lock, as_ours)

    return make


@contextmanager
def changing_weights(model: nn.Module) -> Iterator[None]:
    """What changes an optimised model's weights while other threads may call it: they wait until it is done.

    As `with changing_weights(model): optimizer.step()`. `load_state_dict` does it by itself. The model itself may be
    called within. One that is not optimised is not looked after.
    """
    with ExitStack() as stack:
        for lock in locks_of(model):
            stack.enter_context(lock.changing())
        yield


def locks_of(model: nn.Module) -> list[WeightLock]:
    """The locks of the optimised encoders that a module holds, each once."""
    packed = [*(one.packed for one in _encoders(model)), *(vars(one)["forward"].packed for one in _replaced(model))]
    return list({id(one.lock): one.lock for one in packed if isinstance(one, PackedEncoder | DeviceEncoder)}.values())


def restore(model: Model) -> Model:
    """Undoes `optimize`, and frees the packed weights; a model that is not optimised stays as it is."""
    for lock in locks_of(model):
        lock.release()
    for encoder in _encoders(model):
        encoder.packed = None
    for other in _replaced(model):
        del other.forward
    return model


def _encoders(model: nn.Module) -> list[Encoder]:
    return [module for module in model.modules() if isinstance(module, Encoder)]


def _replaced(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(vars(module).get("forward"), PackedForward)]
