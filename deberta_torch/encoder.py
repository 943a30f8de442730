"""Layers and encoder (NUMERICS 4)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaWarning
from deberta_core.positions import position_index_table
from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.attention import AttentionFunction, RelativePositions
from deberta_torch.kernels.attention_functions import WITHOUT_PADDING, AttentionUsed, choose_attention
from deberta_torch.kernels.dropout import Dropout
from deberta_torch.kernels.eager import is_eager, is_traced, product_dtype
from deberta_torch.kernels.linear import Linear, linear_and_activation
from deberta_torch.kernels.triton.function import triton_attention, with_chosen_rows
from deberta_torch.kernels.triton.layer import is_plain, kernel_layer
from deberta_torch.masks import Masks, Unpadded
from deberta_torch.projections import FusedSelfAttention, SeparateSelfAttention, make_self_attention

# The last hidden state, all hidden states, and all probabilities, None for what was not asked for; and the input of the
# last layer, which is the last hidden state where that layer was left out.
EncoderOutputs = tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None, Tensor]


class ResidualOutput(nn.Module):
    """Dense, dropout, residual, LayerNorm: how both blocks of a layer end."""

    def __init__(self, config: BaseConfig, width: int) -> None:
        super().__init__()
        self.dense = Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)  # published name
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """`[B, L, width]` and `[B, L, C]` to `[B, L, C]`."""
        return self.LayerNorm(self.dropout(self.dense(hidden)) + residual)


class Attention(nn.Module):
    """Self-attention and its output projection."""

    def __init__(self, config: BaseConfig, layer: int) -> None:
        super().__init__()
        self.self = make_self_attention(config, layer)  # published name
        self.output = ResidualOutput(config, config.all_heads_size(layer))

    def forward(
        self,
        hidden: Tensor,
        masks: Masks,
        positions: RelativePositions | None,
        attend: AttentionFunction | None = None,
        query: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """`[B, K, C]`, and `query [B, Q, C]`, to `[B, Q, C]` and the probabilities `[B, H, Q, K]`, if they are made.

        Queries and residual are of `query`, which is `hidden` where it is None; keys and values are of `hidden`. With
        `rows` both `query` and what is returned are `[n, C]`, at these tokens of the flattened batch alone.
        """
        context, probabilities = self.self(hidden, masks, positions, attend, query, rows)
        return self.output(context, hidden if query is None else query), probabilities


class Intermediate(nn.Module):
    """The wide half of the feed-forward block."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.intermediate_size)
        self.activation = config.hidden_act

    def forward(self, hidden: Tensor) -> Tensor:
        """`[B, L, C]` to `[B, L, F]`."""
        return linear_and_activation(self.dense, hidden, self.activation)


class Layer(nn.Module):
    """One transformer layer."""

    def __init__(self, config: BaseConfig, number: int) -> None:
        super().__init__()
        self.attention = Attention(config, number)
        self.intermediate = Intermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size)

    def forward(
        self,
        hidden: Tensor,
        masks: Masks,
        positions: RelativePositions | None,
        attend: AttentionFunction | None = None,
        query: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """`[B, K, C]`, and `query [B, Q, C]`, to `[B, Q, C]` and the probabilities `[B, H, Q, K]`, if they are made.

        Queries and residual are of `query`, which is `hidden` where it is None; keys and values are of `hidden`. With
        `rows` both `query` and what is returned are `[n, C]`, at these tokens of the flattened batch alone.
        """
        has_rows = positions is None or positions.chosen is not None
        if has_rows and query is None and attend in WITHOUT_PADDING and is_eager(hidden) and is_plain(self, PLAIN):
            return kernel_layer(self, hidden, masks, positions, attend is triton_attention), None
        attended, probabilities = self.attention(hidden, masks, positions, attend, query, rows)
        return self.output(self.intermediate(attended), attended), probabilities


# The modules whose work may be done in other ways than theirs; not that of others, as adapters in the place of linears.
PLAIN: frozenset[type[nn.Module]] = frozenset(
    (Layer, Attention, ResidualOutput, Intermediate, FusedSelfAttention, SeparateSelfAttention)
) | {Linear, nn.Linear, nn.LayerNorm, Dropout, nn.Dropout}


class Convolution(nn.Module):
    """The n-gram induced convolution of v2 xlarge and xxlarge: it replaces the output of the first layer."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        width, kernel = config.hidden_size, config.convolution_kernel
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=config.convolution_groups)
        self.LayerNorm = nn.LayerNorm(width, config.layer_norm_eps)  # published name
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.activation = ACTIVATION_FUNCTIONS[config.convolution_act]

    def forward(self, encoder_input: Tensor, first_output: Tensor, token_mask: Tensor) -> Tensor:
        """Convolves the encoder's input and adds it to layer 0's output; all `[B, L, C]`, mask bool `[B, L]`."""
        padding = ~token_mask[:, :, None]
        convolved = self._convolve(encoder_input).masked_fill(padding, 0.0)
        convolved = self.activation(self.dropout(convolved))
        return self.LayerNorm(first_output + convolved).masked_fill(padding, 0.0)

    def _convolve(self, hidden: Tensor) -> Tensor:
        if hidden.device.type == "cpu" or hidden.dtype != torch.float32:
            return self.conv(hidden.transpose(1, 2)).transpose(1, 2)
        return convolve_by_products(self.conv, hidden)


def convolve_by_products(convolution: nn.Conv1d, hidden: Tensor) -> Tensor:
    """The convolution by matrix products: cuDNN's takes TF32, of 10 bits, unless all of torch is told otherwise.

    `[B, L, C]` to the same, of an odd kernel.
    """
    weight, groups = convolution.weight, convolution.groups  # [C, C / groups, kernel]
    reach = weight.shape[-1] // 2
    near = F.pad(hidden, (0, 0, reach, reach)).unfold(1, weight.shape[-1], 1)  # [B, L, C, kernel]
    split = near.unflatten(2, (groups, -1)).flatten(3)  # [B, L, groups, C / groups * kernel]
    products = torch.einsum("blgi,goi->blgo", split, weight.unflatten(0, (groups, -1)).flatten(2))
    assert convolution.bias is not None
    return products.flatten(2) + convolution.bias


class PackedLayers(Protocol):
    """The layers in another form, for evaluation mode. Every method returns None where it does not serve a call."""

    def __call__(
        self, hidden: Tensor, masks: Masks, output_hidden_states: bool = False, skips_last: bool = False
    ) -> EncoderOutputs | None:
        """`Encoder.forward` without probabilities; with `skips_last` always without the last layer."""

    def decode(self, hidden: Tensor, query: Tensor, masks: Masks, rows: Tensor | None = None) -> Tensor | None:
        """`Encoder.decode` of given queries; `query` is the first pass's, `[B, L, C]`, or with `rows` `[n, C]`."""

    def embed_and_encode(
        self,
        inputs: Mapping[str, Tensor | None],
        attention_mask: Tensor | None,
        output_hidden_states: bool = False,
        skips_last: bool = False,
    ) -> EncoderOutputs | None:
        """The embeddings and the layers; inputs by name are those of `Embeddings.forward`, not embeddings."""


def checkpoint_arguments(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments of `torch.utils.checkpoint.checkpoint`, of which `use_reentrant` is always False."""
    arguments = dict(given or {})
    if arguments.get("use_reentrant"):
        # Its gradients reach only tensors that are arguments themselves, and not the layers' shared relative table.
        warnings.warn(
            "use_reentrant=True would lose gradients of the relative table; use_reentrant=False is used, whose "
            "gradients are the same. Leave it out.",
            DebertaWarning,
            stacklevel=3,
        )
    return {**arguments, "use_reentrant": False}


class Encoder(nn.Module):
    """All layers, the relative table, and the convolution where configured.

    Attributes:
        attn_implementation: a name of `deberta_torch.kernels.attention_functions.ATTENTION_FUNCTIONS`.
        attention_used: what the last forward pass used, and why; None before the first, and not of traced ones.
        checkpointing: None; or the arguments of `torch.utils.checkpoint.checkpoint`, with which training forgets what
            a layer computed inside and computes it again in the backward pass; the last layer apart.
        packed: None; or what `deberta_torch.optimize` puts here, which does `forward` and `decode` in evaluation mode.
    """

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config, number) for number in range(config.num_hidden_layers))
        self.rel_embeddings = nn.Embedding(config.table_rows, config.hidden_size) if config.relative_attention else None
        self.LayerNorm = (  # published name: the norm of the relative table
            nn.LayerNorm(config.hidden_size, config.layer_norm_eps) if config.normalizes_table else None
        )
        self.conv = Convolution(config) if config.convolution_kernel else None
        self.config = config
        self.attn_implementation = "sdpa"
        self.attention_used: AttentionUsed | None = None
        self.checkpointing: dict[str, Any] | None = None
        self.packed: PackedLayers | None = None
        # The same numbers twice: reading a list waits for no device.
        self._position_rows = position_index_table(config).tolist() if config.relative_attention else []
        self.register_buffer("position_index", self._position_index(), persistent=False)

    def forward(
        self,
        hidden: Tensor,
        masks: Masks,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        skips_last: bool = False,
    ) -> EncoderOutputs:
        """Runs all layers; with `skips_last` the last one only where hidden states or probabilities are asked for.

        Returns:
            the last hidden state `[B, L, C]`; if asked for, the embedding output and every layer's output; if asked
            for, every layer's probabilities `[B, H, L, L]`; and the last layer's input `[B, L, C]`.
        """
        skips_last = skips_last and not output_hidden_states and not output_attentions
        if self.packed is not None and not output_attentions and not self.training:
            outputs = self.packed(hidden, masks, output_hidden_states, skips_last)
            if outputs is not None:
                return outputs
        # Chosen here, once: a checkpointed layer must compute the same again, when gradients are on.
        attend = self._attention_function(hidden, output_attentions)
        checkpointing = self._checkpoints()
        has_kernels = attend in WITHOUT_PADDING and not is_traced()
        batch = Unpadded.of(masks, hidden.device) if has_kernels else None
        longest = hidden.shape[1] if batch is None else batch.longest
        positions = self.relative_positions(longest, longest)
        if positions is not None and has_kernels:
            positions = with_chosen_rows(positions, longest, product_dtype(hidden))
        hidden_states, attentions = [hidden], []
        encoder_input = last_input = hidden
        if batch is not None:
            hidden, masks = batch.take(hidden), masks._replace(packed=batch)
        for number, layer in enumerate(self.layer):
            is_last = number + 1 == len(self.layer)
            if is_last:
                last_input = hidden
                if skips_last:
                    break
            # The backward pass begins with the last layer: to forget what it computed would not lower the peak.
            if checkpointing is not None and not is_last:
                hidden, probabilities = checkpoint(layer, hidden, masks, positions, attend, **checkpointing)
            else:
                hidden, probabilities = layer(hidden, masks, positions, attend)
            if number == 0 and self.conv is not None:
                padded = hidden if batch is None else batch.put_back(hidden)
                padded = self.conv(encoder_input, padded, masks.tokens)
                hidden = padded if batch is None else batch.take(padded)
            if output_hidden_states:
                hidden_states.append(hidden if batch is None else batch.put_back(hidden))
            if output_attentions:
                attentions.append(probabilities)
        if batch is not None:
            hidden, last_input = (batch.put_back(rows) for rows in (hidden, last_input))
        return (
            hidden,
            tuple(hidden_states) if output_hidden_states else None,
            tuple(attentions) if output_attentions else None,
            last_input,
        )

    def decode(self, hidden: Tensor, positions: Tensor, masks: Masks, rows: Tensor | None = None) -> Tensor:
        """The enhanced mask decoder (NUMERICS 7): the last layer twice, with queries of its own over the same keys.

        Args:
            hidden: `[B, L, C]`, the input of the last layer: keys and values of both passes.
            positions: `[B, L, C]` or `[1, L, C]`, rows of the table of absolute positions.
            masks: what may be seen.
            rows: `[n]` integers, the tokens of the flattened batch at which alone the result is wanted; None for all.

        Returns:
            `[B, L, C]`, or with `rows` `[n, C]`.

        Source:
            microsoft/DeBERTa `apps/models/masked_language_model.py`, `emd_context_layer`.
        """
        query = hidden + positions.to(hidden.device)
        query = query if rows is None else query.flatten(0, 1)[rows]
        if self.packed is not None and not self.training:
            decoded = self.packed.decode(hidden, query, masks, rows)
            if decoded is not None:
                return decoded
        table = self.relative_positions(hidden.shape[1], hidden.shape[1])
        last, attend, checkpointing = self.layer[-1], self._attention_function(hidden), self._checkpoints()
        if checkpointing is None:
            query, _ = last(hidden, masks, table, attend, query, rows)
        else:
            query, _ = checkpoint(last, hidden, masks, table, attend, query, rows, **checkpointing)
        decoded, _ = last(hidden, masks, table, attend, query, rows)
        return decoded

    def _attention_function(self, hidden: Tensor, output_attentions: bool = False) -> AttentionFunction:
        used = choose_attention(
            self.attn_implementation,
            hidden.device,
            has_dropout=self.training and self.config.attention_probs_dropout_prob > 0,
            needs_probabilities=output_attentions or self.config.mixes_heads,
            dtype=product_dtype(hidden),
            head_size=self.config.head_size,
        )
        if not is_traced():
            self.attention_used = used
        return used.function

    def _checkpoints(self) -> dict[str, Any] | None:
        return self.checkpointing if self.training and torch.is_grad_enabled() else None

    def relative_table(self, first: int = 0, last: int | None = None) -> Tensor | None:
        """Rows `first` to `last` of the relative table `[R, C]`, LayerNormed where configured.

        None without relative attention.
        """
        if self.rel_embeddings is None:
            return None
        last = self.config.table_rows if last is None else last
        table = self.rel_embeddings(torch.arange(first, last, device=self.position_index.device))
        return table if self.LayerNorm is None else self.LayerNorm(table)

    def relative_positions(self, query_length: int, key_length: int) -> RelativePositions | None:
        """The rows of the relative table that these lengths reach, by distance; None without relative attention."""
        if self.rel_embeddings is None:
            return None
        reach = len(self.position_index) // 2
        first, last = self._reached(query_length, key_length)
        ahead = torch.arange(-query_length, key_length + 1, device=self.position_index.device)  # key - query
        rows = self.position_index[(-ahead).clamp(-reach, reach) + reach]
        rows = (rows - first).clamp(0, last - first - 1)  # the outermost may be beyond, but nothing reads them
        table = self.relative_table(first, last)
        assert table is not None
        return RelativePositions(table, rows, reach)

    def reset_buffers(self, device: torch.device) -> None:
        """Makes the constant buffers again, on a device, where they were on the meta device."""
        self.position_index = self._position_index(device)

    def _reached(self, query_length: int, key_length: int) -> tuple[int, int]:
        """The first row of the table that these lengths reach, and the one after the last."""
        span = self.config.table_rows // 2
        if torch.compiler.is_compiling():  # a length may be a symbol, which no table can be asked about
            # Dynamo makes the same of `min`, and before torch 2.12 nothing of `sym_min`; export guards against `min`.
            least_of = min if torch.compiler.is_dynamo_compiling() else torch.sym_min
            return span - least_of(key_length, span), span + least_of(query_length, span)
        reach = len(self._position_rows) // 2
        least, most = max(1 - key_length, -reach), min(query_length - 1, reach)  # of query - key
        return self._position_rows[least + reach], self._position_rows[most + reach] + 1

    def _position_index(self, device: torch.device | None = None) -> Tensor:
        return torch.tensor(self._position_rows, dtype=torch.long, device=device)


def is_plain_cpu_call(hidden: Tensor) -> bool:
    """Whether a call computes numbers on the CPU, and is not recorded or traced for another time or place."""
    return hidden.device.type == "cpu" and not is_traced()
