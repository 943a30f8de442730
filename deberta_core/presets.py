"""The published sizes, as literal configurations; reading a size is reading a row."""

from __future__ import annotations

from typing import Any

from deberta_core.arguments import row_of
from deberta_core.errors import ConfigError

# What all published v1 checkpoints share.
_V1_SHARED: dict[str, Any] = {
    "relative_attention": True,
    "pos_att_type": ("c2p", "p2c"),
    "position_biased_input": False,
}
# What all published v2, v3 and mDeBERTa checkpoints share.
_V2_SHARED: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 256,
    "pos_att_type": ("p2c", "c2p"),
    "position_biased_input": False,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}
_CONVOLUTION: dict[str, Any] = {"conv_kernel_size": 3, "conv_act": "gelu", "attention_head_size": 64}


def _size(vocabulary: int, hidden: int, layers: int, heads: int, intermediate: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
    }


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "deberta": {
        "deberta-base": _V1_SHARED | _size(50265, 768, 12, 12, 3072),
        "deberta-large": _V1_SHARED | _size(50265, 1024, 24, 16, 4096),
        "deberta-xlarge": _V1_SHARED | _size(50265, 1024, 48, 16, 4096),
    },
    "deberta-v2": {
        "deberta-v2-xlarge": _V2_SHARED | _CONVOLUTION | _size(128100, 1536, 24, 24, 6144),
        "deberta-v2-xxlarge": _V2_SHARED | _CONVOLUTION | _size(128100, 1536, 48, 24, 6144),
        "deberta-v3-xsmall": _V2_SHARED | _size(128100, 384, 12, 6, 1536),
        "deberta-v3-small": _V2_SHARED | _size(128100, 768, 6, 12, 3072),
        "deberta-v3-base": _V2_SHARED | _size(128100, 768, 12, 12, 3072),
        "deberta-v3-large": _V2_SHARED | _size(128100, 1024, 24, 16, 4096),
        "mdeberta-v3-base": _V2_SHARED | _size(251000, 768, 12, 12, 3072),
    },
}


def preset_fields(model_type: str, name: str) -> dict[str, Any]:
    """The fields of a published size; its name may be the hub's, such as `microsoft/deberta-v3-base`.

    Raises:
        ConfigError: no such preset for this model type; the message lists them.
    """
    own = name.removeprefix("microsoft/") if isinstance(name, str) else name
    return row_of(PRESETS[model_type], f"{model_type} preset", own, ConfigError)
