"""Embeddings and encoder for inference on accelerators: weights cast once, no padding, CUDA graphs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deberta_torch.embeddings import Embeddings
from deberta_torch.encoder import Convolution, Encoder, EncoderOutputs, Layer
from deberta_torch.inference.device_attention import PackedAttention, choose_attention
from deberta_torch.inference.device_layer import DeviceLayer
from deberta_torch.inference.encoder import RefuseGradients, Watch, check_modules
from deberta_torch.inference.graphs import Graphs
from deberta_torch.inference.layouts import Layout
from deberta_torch.inference.weight_lock import WeightLock
from deberta_torch.kernels.eager import is_traced
from deberta_torch.masks import Masks
from deberta_torch.plans import Bucket, Plan, bucket_of, make_plan

# Larger batches keep the device busy for longer than Python takes to call it: a graph would only take memory.
_GRAPH_TOKENS = 1 << 16
_HIDDEN = "hidden"


class _Packed(NamedTuple):
    watch: Watch
    attention: type[PackedAttention]
    layers: list[DeviceLayer]
    convolution: Convolution | None
    graphs: dict[tuple[tuple[str, ...], bool], Graphs]  # by the names of the inputs, and whether the last layer is left


class DeviceEncoder:
    """Does the forward pass of an encoder, or of a backbone, with copies of its weights, which follow the model's.

    Any number of threads and streams may call it. A copy or a pickle of it has no weights, and makes them anew.

    Args:
        encoder: whose weights to use; stays as it is.
        dtype: of weights, products and hidden states between the layers.
        device: where the encoder is; calls elsewhere are not served.
        lock: of the model's weights; held by who calls the model.
        embeddings: of the backbone; None where the encoder is called by itself.
        as_ours: makes an `Encoder` on the encoder's parameters; None where it is one.
        graphs: how many sizes of batches are recorded at a time; 0 records none.
    """

    def __init__(
        self,
        encoder: nn.Module,
        dtype: torch.dtype,
        device: torch.device,
        lock: WeightLock,
        embeddings: Embeddings | None = None,
        as_ours: Callable[[nn.Module], Encoder] | None = None,
        graphs: int = 0,
    ) -> None:
        self.dtype, self.lock = dtype, lock
        self._encoder, self._embeddings, self._as_ours, self._capacity = encoder, embeddings, as_ours, graphs
        self._device = device
        self._lock = threading.Lock()
        self._packed: _Packed | None = None

    def __call__(
        self, hidden: Tensor, masks: Masks, output_hidden_states: bool = False, skips_last: bool = False
    ) -> EncoderOutputs | None:
        """See `PackedLayers`; what is returned is 0 at padding. A mask on the device is waited for."""
        mask = masks.tokens if masks.keys.shape[2] == 1 else masks.keys
        return self._serve({_HIDDEN: hidden}, mask, output_hidden_states, skips_last, hidden)

    def embed_and_encode(
        self,
        inputs: Mapping[str, Tensor | None],
        attention_mask: Tensor | None,
        output_hidden_states: bool = False,
        skips_last: bool = False,
    ) -> EncoderOutputs | None:
        """See `PackedLayers`. A mask that is on the device is waited for; one on the CPU is not."""
        embeddings, ids = self._embeddings, inputs["input_ids"]
        if embeddings is None or embeddings.training or ids is None:
            return None
        named = {"input_ids": ids}
        if embeddings.token_type_embeddings is not None and inputs["token_type_ids"] is not None:
            named["token_type_ids"] = inputs["token_type_ids"]
        if embeddings.adds_positions:
            positions = inputs["position_ids"]
            named["position_ids"] = torch.arange(ids.shape[1], device=ids.device) if positions is None else positions
        named = {name: part.expand(ids.shape) for name, part in named.items()}
        like = embeddings.word_embeddings.weight
        return self._serve(named, attention_mask, output_hidden_states, skips_last, like)

    @property
    def recorded(self) -> int:
        """How many sizes of batches are recorded now."""
        return 0 if self._packed is None else sum(map(len, self._packed.graphs.values()))

    def decode(self, *_: Any) -> None:
        """See `PackedLayers.decode`: the model's own is used."""

    def _serve(
        self, named: dict[str, Tensor], mask: Tensor | None, wants_states: bool, skips_last: bool, like: Tensor
    ) -> EncoderOutputs | None:
        """Computes `[B, L, ...]` inputs; what is returned has the dtype of `like`."""
        first = next(iter(named.values()))
        if first.device != self._device or is_traced() or (mask is not None and mask.ndim != 2):
            return None
        is_captured = first.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        if mask is not None and (is_captured or not mask.numel()):
            return None
        plan = make_plan(None if mask is None else mask.detach().cpu(), *first.shape[:2])
        if plan is None:
            return None
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(first.device.type, enabled=False):
            batch = _Batch(named, plan, like.dtype)
            states = self._compute(batch, wants_states, skips_last, is_captured)
        if torch.is_grad_enabled() and like.requires_grad:
            states = list(RefuseGradients.apply(like, *states))
        last_input = states[-2] if len(states) > 1 else states[-1]
        return states[-1], tuple(states) if wants_states else None, None, last_input

    def _compute(self, batch: _Batch, wants_states: bool, skips_last: bool, is_captured: bool) -> list[Tensor]:
        while True:
            packed = self._packed or self._pack()
            computed = None
            if self._capacity and not wants_states and not is_captured and batch.plan.tokens <= _GRAPH_TOKENS:
                computed = self._replay(packed, batch, skips_last)
            if computed is None:
                states = packed_states(packed, self._embeddings, batch.names, batch.rows, batch.layout, skips_last)
                computed = [batch.put_back(rows) for rows in (states if wants_states else states[-1:])]
            # Looked at only now, since the device is at work already: mostly nothing has changed.
            if packed.watch.sees_no_change():
                return computed
            for graphs in packed.graphs.values():
                graphs.wait()
            if self._packed is packed:
                self._packed = None

    def _replay(self, packed: _Packed, batch: _Batch, skips_last: bool) -> list[Tensor] | None:
        bucket = bucket_of(batch.plan, packed.attention.bits)
        graphs = packed.graphs.get((batch.names, skips_last))
        if graphs is None:
            compute = partial(_last_state, packed, self._embeddings, batch.names, skips_last)
            graphs = packed.graphs.setdefault((batch.names, skips_last), Graphs(compute, self._capacity))
        computed = graphs.run(bucket, batch.fills(bucket), batch.flat, partial(batch.fill, bucket), batch.put_back)
        return None if computed is None else [computed]

    def _pack(self) -> _Packed:
        with self._lock:
            if self._packed is None:
                with torch.inference_mode(False), torch.no_grad():
                    self._packed = self._make()
            return self._packed

    def _make(self) -> _Packed:
        watched = self._encoder if self._embeddings is None else nn.ModuleList([self._embeddings, self._encoder])
        watch = Watch(watched)  # before its numbers are read
        if self._as_ours is None:
            encoder = cast(Encoder, self._encoder)
            check_modules(encoder)
        else:
            encoder = self._as_ours(self._encoder)
            encoder.reset_buffers(self._device)
        table, index, dtype = encoder.relative_table(), encoder.position_index, self.dtype
        attention = choose_attention(self._device, dtype, encoder.config.head_size)
        layers = [
            DeviceLayer(layer, encoder.config, attention(layer.attention.self, table, index, dtype), dtype)
            for layer in (cast(Layer, layer) for layer in encoder.layer)
        ]
        return _Packed(watch, attention, layers, encoder.conv, {})

    def __getstate__(self) -> dict[str, Any]:
        names = ("_encoder", "dtype", "_device", "lock", "_embeddings", "_as_ours", "_capacity")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state.values())  # type: ignore[misc]


class _Batch:
    """The tensors of one call, `[B, L, ...]` by name, and what is done with them without padding."""

    def __init__(self, named: dict[str, Tensor], plan: Plan, dtype: torch.dtype) -> None:
        self.plan, self.names = plan, tuple(named)
        self.flat = [part.flatten(0, 1) for part in named.values()]
        self._dtype, self._device = dtype, self.flat[0].device
        self._kept = None if plan.kept is None else self._moved(plan.kept)

    @property
    def rows(self) -> list[Tensor]:
        """The inputs without padding."""
        return self.flat if self._kept is None else [part[self._kept] for part in self.flat]

    @property
    def layout(self) -> Layout:
        """Where the texts are among them."""
        plan = self.plan
        if plan.kept is None:
            starts = torch.arange(plan.batch + 1, dtype=torch.int32, device=self._device) * plan.length
        else:
            starts = self._moved(plan.starts.astype(np.int32))
        return Layout(starts, plan.tokens, plan.longest, plan.kept is None)

    def fills(self, bucket: Bucket) -> bool:
        """Whether the batch has no padding, and the bucket is no larger."""
        plan = self.plan
        return plan.kept is None and bucket == (plan.batch, plan.tokens, plan.longest)

    def fill(self, bucket: Bucket, inputs: Sequence[Tensor], starts: Tensor) -> None:
        """Writes the rows and the starts of texts into a graph's tensors."""
        for own, part in zip(inputs, self.flat, strict=True):
            if self._kept is None:
                own[: self.plan.tokens].copy_(part)
            else:
                torch.index_select(part, 0, self._kept, out=own[: self.plan.tokens])
        if not self.fills(bucket):
            more = bucket.texts - self.plan.batch
            starts.copy_(self._moved(np.pad(self.plan.starts, (0, more), mode="edge").astype(np.int32)))

    def put_back(self, rows: Tensor) -> Tensor:
        """`[T, C]`, or more rows, to `[B, L, C]` in memory of its own, 0 at padding."""
        shape = (self.plan.batch, self.plan.length, rows.shape[-1])
        rows = rows[: self.plan.tokens]
        if self._kept is None:
            return rows.to(self._dtype, copy=True).view(shape)
        padded = rows.new_zeros((shape[0] * shape[1], shape[2]), dtype=self._dtype)
        return padded.index_copy_(0, self._kept, rows.to(self._dtype)).view(shape)

    def _moved(self, numbers: NDArray[Any]) -> Tensor:
        return torch.from_numpy(numbers).to(self._device, non_blocking=True)


def packed_states(
    packed: _Packed,
    embeddings: Embeddings | None,
    names: tuple[str, ...],
    inputs: Sequence[Tensor],
    layout: Layout,
    skips_last: bool,
) -> list[Tensor]:
    """What the layers begin with, and each layer's output, `[T, C]`; with `skips_last` without the last one's."""
    named = dict(zip(names, inputs, strict=True))
    if embeddings is None or _HIDDEN in named:
        hidden = named[_HIDDEN]
    else:
        hidden = embeddings(None, **{name: part[None] for name, part in named.items()})[0]
    states = [first := hidden]
    for number, layer in enumerate(packed.layers[:-1] if skips_last else packed.layers):
        hidden = layer(hidden.to(layer.dtype), layout)
        if number == 0 and packed.convolution is not None:
            hidden = _convolve(packed.convolution, first, hidden, layout)
        states.append(hidden)
    return states


def _last_state(
    packed: _Packed,
    embeddings: Embeddings | None,
    names: tuple[str, ...],
    skips_last: bool,
    inputs: Sequence[Tensor],
    layout: Layout,
) -> Tensor:
    return packed_states(packed, embeddings, names, inputs, layout, skips_last)[-1]


def _convolve(convolution: Convolution, encoder_input: Tensor, first_output: Tensor, layout: Layout) -> Tensor:
    """The convolution reads neighbours, so it runs over padded texts, whose padding is 0."""
    tokens, dtype = layout.tokens, convolution.conv.weight.dtype
    padded = (
        layout.pad(rows).masked_fill(~tokens[:, :, None], 0.0).to(dtype) for rows in (encoder_input, first_output)
    )
    return layout.unpad(convolution(*padded, tokens)).to(first_output.dtype)
