"""The encoder for inference: packed weights, tokens without padding, layers of `deberta_torch.inference.layer`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from deberta_core.errors import InputError
from deberta_torch.encoder import PLAIN, Convolution, Encoder, EncoderOutputs, Layer, is_plain_cpu_call
from deberta_torch.inference.layer import PackedLayer
from deberta_torch.inference.linears import Precision
from deberta_torch.inference.unpadding import Packing, filled_up, pack_tokens, with_padding
from deberta_torch.inference.weight_lock import WeightLock
from deberta_torch.masks import Masks


class PackedEncoder:
    """Does an encoder's forward pass with copies of its weights, which follow the encoder's when those change.

    Any number of threads may call it. A copy or a pickle of it has no packed weights, and makes them anew.

    Args:
        encoder: whose weights to use; stays as it is.
        precision: of products and attention.
        lock: of the model's weights; held by who calls the model.
        as_ours: makes an `Encoder` on the encoder's parameters; None where it is one. Then padding, which must be 0 at
            first, gets what transformers computes there, else 0.
    """

    def __init__(
        self,
        encoder: nn.Module,
        precision: Precision,
        lock: WeightLock,
        as_ours: Callable[[nn.Module], Encoder] | None = None,
    ) -> None:
        self.precision, self.lock = precision, lock
        self._encoder, self._as_ours = encoder, as_ours
        self._lock = threading.Lock()
        self._packed: tuple[Watch, Encoder, list[PackedLayer]] | None = None

    def __call__(
        self, hidden: Tensor, masks: Masks, output_hidden_states: bool = False, skips_last: bool = False
    ) -> EncoderOutputs | None:
        """Runs all layers, or all but the last; None where the call is not one of the CPU's.

        Shape:
            hidden: `[B, L, C]`; returns the last hidden state and, if asked for, all of them, both 0 at padding.
        """
        if not is_plain_cpu_call(hidden):
            return None
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            states = self._run(hidden, masks, output_hidden_states, skips_last)
        if torch.is_grad_enabled() and hidden.requires_grad:
            states = list(RefuseGradients.apply(hidden, *states))
        last_input = states[-2] if len(states) > 1 else states[-1]
        return states[-1], tuple(states) if output_hidden_states else None, None, last_input

    def decode(self, hidden: Tensor, query: Tensor, masks: Masks, rows: Tensor | None = None) -> Tensor | None:
        """See `PackedLayers.decode`."""
        if not is_plain_cpu_call(hidden):
            return None
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            decoded = self._decode(hidden, query, masks, rows)
        if torch.is_grad_enabled() and query.requires_grad:
            (decoded,) = RefuseGradients.apply(query, decoded)
        return decoded

    def embed_and_encode(self, *_: Any) -> None:
        """See `PackedLayers.embed_and_encode`: embeddings on the CPU are as they are."""

    def _decode(self, hidden: Tensor, query: Tensor, masks: Masks, rows: Tensor | None) -> Tensor:
        packing = pack_tokens(masks)
        last, keys = self._layers()[1][-1], packing.take(hidden.flatten(0, 1).float())
        if not len(keys):  # padding alone
            return query
        if rows is None:
            queries = packing.take(query.flatten(0, 1).float())
            return packing.put_back(last.decode(keys, queries, None, packing), query)
        places = rows
        if packing.kept is not None:
            places = torch.zeros(masks.tokens.numel(), dtype=torch.long)
            places[packing.kept] = torch.arange(packing.tokens)
            places = places[rows]
        decoded = last.decode(keys, filled_up(query.float()), filled_up(places), packing)
        return decoded[: len(rows)].to(query.dtype)

    def _run(self, hidden: Tensor, masks: Masks, output_hidden_states: bool, skips_last: bool) -> list[Tensor]:
        packing = pack_tokens(masks)
        if self._as_ours is not None:
            packing = with_padding(packing, masks.tokens)
        conv, layers = self._layers()
        first = rows = packing.take(hidden.flatten(0, 1).float())
        states = [hidden]
        for number, layer in enumerate(layers[:-1] if skips_last else layers):
            if len(rows):  # a batch may be padding alone, which has no range to quantize
                rows = layer(rows, packing)
            if number == 0 and conv is not None:
                rows = _convolve(conv, first, rows, packing, masks)
            if output_hidden_states:
                states.append(packing.put_back(rows, hidden))
        return states if output_hidden_states and len(states) > 1 else [packing.put_back(rows, hidden)]

    def _layers(self) -> tuple[Convolution | None, list[PackedLayer]]:
        packed = self._packed
        if packed is None or not packed[0].sees_no_change():
            with self._lock:
                packed = self._packed
                if packed is None or not packed[0].sees_no_change():
                    packed = self._packed = (Watch(self._encoder), *self._pack())
        return packed[1].conv, packed[2]

    def _pack(self) -> tuple[Encoder, list[PackedLayer]]:
        if self._as_ours is None:
            encoder = cast(Encoder, self._encoder)
            check_modules(encoder)
        else:
            encoder = self._as_ours(self._encoder)
        table = encoder.relative_table()
        layers = (cast(Layer, layer) for layer in encoder.layer)
        return encoder, [
            PackedLayer(layer, encoder.config, table, encoder.position_index, self.precision) for layer in layers
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("_encoder", "precision", "lock", "_as_ours")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state.values())  # type: ignore[misc]


def _convolve(
    convolution: Convolution, encoder_input: Tensor, first_output: Tensor, packing: Packing, masks: Masks
) -> Tensor:
    """The convolution reads neighbours, so it runs over padded texts."""
    like = encoder_input.new_empty((*masks.tokens.shape, encoder_input.shape[-1]))
    dtype = convolution.conv.weight.dtype
    padded = (packing.put_back(values, like).to(dtype) for values in (encoder_input, first_output))
    return packing.take(convolution(*padded, masks.tokens).float().flatten(0, 1))


class RefuseGradients(torch.autograd.Function):
    """Hands tensors on; raises where a gradient would have to pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """The states `[B, L, C]`, as they are."""
        return tuple(state.view_as(state) for state in states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Says what to do."""
        raise RuntimeError(
            "An optimised encoder has no gradients in evaluation mode. Call model.train(), or deberta_torch.restore("
            "model), before the forward pass; or model.deberta.requires_grad_(False), to train a head alone."
        )


class Watch:
    """Notices that copies of a module's parameters are out of date: other modules, parameters or numbers.

    A walk over all modules would take longer than a short text; so it is done once, and its steps are checked.
    """

    def __init__(self, watched: nn.Module) -> None:
        self._modules = [
            (module._modules, name, child)
            for module in watched.modules()
            for name, child in module._modules.items()
            if child is not None
        ]
        self._parameters = [
            (module._parameters, name, parameter, *_state(parameter))
            for module in watched.modules()
            for name, parameter in module._parameters.items()
        ]

    def sees_no_change(self) -> bool:
        """Whether everything is as it was: where each parameter's numbers are, and how often they were changed."""
        for names, name, parameter, place, version in self._parameters:
            if names.get(name) is not parameter:
                return False
            if parameter is not None and (
                parameter.data_ptr() != place or (version is not None and parameter._version != version)
            ):
                return False
        return all(names.get(name) is child for names, name, child in self._modules)


def _state(parameter: Tensor | None) -> tuple[int, int | None]:
    if parameter is None:
        return 0, None
    return parameter.data_ptr(), None if parameter.is_inference() else parameter._version


def check_modules(encoder: Encoder) -> None:
    """Raises `InputError` where a layer holds a module, or a hook, that packed weights would leave out."""
    for name, module in encoder.layer.named_modules():
        if name and type(module) not in PLAIN:  # the list has no name
            raise InputError(
                f"encoder.layer.{name} is a {full_name(type(module))}, which optimize() does not know and would leave "
                f"out. Merge adapters into the weights first, or call deberta_torch.restore(model)."
            )
    check_hooks(encoder.layer, "encoder.layer.")


def check_hooks(modules: nn.Module, prefix: str) -> None:
    """Raises `InputError` where a module inside has a forward hook."""
    for name, module in modules.named_modules():
        if name and (module._forward_hooks or module._forward_pre_hooks):
            raise InputError(
                f"{prefix}{name} has a forward hook, which optimize() would leave out. Remove it, or call "
                f"deberta_torch.restore(model)."
            )


def full_name(cls: type) -> str:
    """The name of a class with its module's."""
    return f"{cls.__module__}.{cls.__qualname__}"  # other libraries' classes are called Linear, too
