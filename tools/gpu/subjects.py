"""What is measured: backbones of v3-base's shape with the same random weights, ours and others'."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import deberta_torch
from deberta_core.config import DebertaV2Config

V3_BASE: dict[str, Any] = {
    "vocab_size": 128100,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "max_relative_positions": -1,
    "position_buckets": 256,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "type_vocab_size": 0,
    "layer_norm_eps": 1e-7,
    "pad_token_id": 0,
}
TINY: dict[str, Any] = {
    **V3_BASE, "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "position_buckets": 8,
}  # fmt: skip

# A call of a subject: token ids `[B, L]` and a mask `[B, L]`, or None, to the last hidden state.
Call = Callable[[Tensor, Tensor | None], Any]


def find_peers(folder: Path | None) -> None:
    """Unpacks the wheels of a folder, and puts them on the path, after what is installed."""
    if folder is None:
        return
    site = Path(tempfile.mkdtemp(prefix="peers-"))
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    sys.path.append(str(site))


def settings(is_tiny: bool) -> dict[str, Any]:
    """The configuration as in a config.json."""
    return dict(TINY if is_tiny else V3_BASE)


def ours(options: dict[str, Any], device: torch.device, dtype: torch.dtype, **changes: Any) -> Any:
    """Our backbone, its weights drawn on the device."""
    torch.manual_seed(0)
    with torch.device(device):
        model = deberta_torch.DebertaV2Model(DebertaV2Config.from_dict({**options, **changes}))
    return model.to(dtype).eval()


def transformers_model(options: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Any:
    """The backbone of transformers, likewise."""
    import transformers

    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.DebertaV2Model(transformers.DebertaV2Config(**options))
    return model.to(device, dtype).eval()


def flashdeberta_model(options: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Any:
    """The backbone of transformers with FlashDeBERTa's attention, as its own class has it."""
    from flashdeberta import FlashDisentangledSelfAttention

    model = transformers_model(options, device, dtype)
    for layer in model.encoder.layer:
        with torch.device(device):
            own = FlashDisentangledSelfAttention(model.config).to(device, dtype)
        own.load_state_dict(layer.attention.self.state_dict(), strict=False)
        layer.attention.self = own.eval()
    return model


def disentangled_flash_model(
    options: dict[str, Any], device: torch.device, dtype: torch.dtype, lengths: Any = None, **more: Any
) -> Any:
    """The backbone of transformers with DisentangledFlash's encoder."""
    from disentangled_flash import optimize_deberta

    backend = {} if device.type == "cuda" else {"backend": "torch"}
    return optimize_deberta(transformers_model(options, device, dtype), sequence_lengths=lengths, **{**backend, **more})


def call_of(model: nn.Module) -> Call:
    """A call of a backbone."""

    def call(ids: Tensor, mask: Tensor | None) -> Any:
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask)[0]

    return call


def prepared_call(model: Any) -> Call:
    """DisentangledFlash's padded call: the length's tables are chosen before."""

    def call(ids: Tensor, mask: Tensor | None) -> Any:
        with torch.inference_mode():
            model.encoder.activate_shape(ids.shape[1])
            return model(input_ids=ids, attention_mask=mask)[0]

    return call


def packed_call(model: Any) -> Call:
    """DisentangledFlash's call without padding, by the functions its page names."""
    from disentangled_flash import pack_padded_with_info, unpack_packed

    def call(ids: Tensor, mask: Tensor | None) -> Any:
        with torch.inference_mode():
            mask = torch.ones_like(ids) if mask is None else mask
            hidden = model.embeddings(input_ids=ids, mask=mask)
            tokens, starts, info = pack_padded_with_info(hidden, mask)
            encoded = model.encoder.forward_packed(
                tokens, starts, info.max_seqlen, output_hidden_states=False, packed_info=info
            )
            return unpack_packed(encoded[0], starts, ids.shape[1], packed_info=info)[0]

    return call


def without_positions(model: Any) -> Call:
    """The limit: the same layers through SDPA, with no positions at all and one product for query, key and value."""
    fused = [layer.attention.self.fused_content() for layer in model.encoder.layer]

    def call(ids: Tensor, mask: Tensor | None) -> Any:
        with torch.inference_mode():
            hidden = model.embeddings(None, ids)
            for layer, (weight, bias) in zip(model.encoder.layer, fused, strict=True):
                inner = layer.attention.self
                parts = nn.functional.linear(hidden, weight, bias).unflatten(-1, (3, inner.num_heads, inner.head_size))
                query, key, value = parts.permute(2, 0, 3, 1, 4)
                context = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
                attended = layer.attention.output(context, hidden)
                hidden = layer.output(layer.intermediate(attended), attended)
            return hidden

    return call
