"""Encoders of transformers' models: which are known, ours on their parameters, and what runs in their place.

Nothing here imports transformers: classes are known by their full names. They were read and tried in the versions of
`KNOWN_VERSIONS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.errors import InputError
from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.encoder import Encoder, PackedLayers
from deberta_torch.inference.encoder import check_hooks, full_name
from deberta_torch.kernels.eager import is_traced
from deberta_torch.masks import make_masks

KNOWN_VERSIONS = ("4.57", "5")
_V1, _V2 = "transformers.models.deberta.modeling_deberta.", "transformers.models.deberta_v2.modeling_deberta_v2."
_MODELS = {f"{_V1}DebertaModel", f"{_V2}DebertaV2Model"}
_ENCODERS: dict[str, type[BaseConfig]] = {
    f"{_V1}DebertaEncoder": DebertaConfig,
    f"{_V2}DebertaV2Encoder": DebertaV2Config,
}
# The modules inside, whose work the packed layers do; activations are known by what they compute.
_PARTS = {
    *(f"{_V1}{name}" for name in ("DisentangledSelfAttention", "DebertaLayerNorm")),
    *(f"{_V1}Deberta{name}" for name in ("Layer", "Attention", "SelfOutput", "Intermediate", "Output")),
    *(f"{_V2}{name}" for name in ("DisentangledSelfAttention", "ConvLayer")),
    *(f"{_V2}DebertaV2{name}" for name in ("Layer", "Attention", "SelfOutput", "Intermediate", "Output")),
    *(f"torch.nn.modules.{name}" for name in ("linear.Linear", "dropout.Dropout", "normalization.LayerNorm")),
    *(f"torch.nn.modules.{name}" for name in ("sparse.Embedding", "conv.Conv1d", "container.ModuleList")),
}


class PackedForward:
    """Stands in the place of an encoder's `forward`: packed layers where they give the same, else its own forward.

    Attributes:
        packed: the packed layers.
    """

    def __init__(self, encoder: nn.Module, packed: PackedLayers) -> None:
        self.packed = packed
        self._encoder = encoder
        self._dropouts = [module for module in encoder.modules() if isinstance(module, nn.Dropout)]

    def __call__(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor,
        output_hidden_states: bool = True,
        output_attentions: bool = False,
        query_states: Any = None,
        relative_pos: Any = None,
        return_dict: bool = True,
    ) -> Any:
        """The encoder's forward; arguments and results are transformers'."""
        encoder = self._encoder
        if (
            output_attentions
            or query_states is not None
            or relative_pos is not None
            or is_traced()
            or self._trains(hidden_states)
            or not _is_padded_with_zeros(hidden_states, attention_mask)
        ):
            outputs = None
        else:
            batch, length = attention_mask.shape[:2]
            masks = make_masks(attention_mask, batch, length, attention_mask.device)
            outputs = self.packed(hidden_states, masks, output_hidden_states)
        if outputs is None:
            own = type(encoder).forward
            options = (output_hidden_states, output_attentions, query_states, relative_pos, return_dict)
            return own(encoder, hidden_states, attention_mask, *options)
        last, states, *_ = outputs
        if not return_dict:
            return (last,) if states is None else (last, states)
        output = sys.modules[type(encoder).__module__].BaseModelOutput
        return output(last_hidden_state=last, hidden_states=states)

    def _trains(self, hidden: Tensor) -> bool:
        """Whether something is dropped, or gradients are recorded."""
        encoder = self._encoder
        if encoder.training or any(dropout.training for dropout in self._dropouts):
            return True
        return torch.is_grad_enabled() and (
            hidden.requires_grad or any(parameter.requires_grad for parameter in encoder.parameters())
        )


def _is_padded_with_zeros(hidden: Tensor, mask: Tensor) -> bool:
    """Whether a mask `[B, L]` is 0 and 1, and hidden states are 0 where it is, as transformers' embeddings make them.

    Other masks, and encoders called by themselves, are left to transformers: so are float64 and empty batches. On
    devices, where a look would have to wait, they are taken to be so.
    """
    if mask.shape != hidden.shape[:2] or hidden.dtype == torch.float64 or not hidden.numel():
        return False
    if hidden.device.type != "cpu":
        return True
    hides = mask == 0
    return not ((mask != 1) ^ hides).any() and not hidden[hides].any()


def find_encoders(model: nn.Module) -> list[nn.Module]:
    """The encoders of transformers' DeBERTa that a module holds.

    Raises:
        InputError: it holds such a class of an unknown version, or a class derived from one that may do other things.
    """
    found = []
    for name, module in model.named_modules():
        line = [full_name(cls) for cls in type(module).__mro__]
        if _MODELS.intersection(line) and _defines_forward(type(module)) not in _MODELS:
            raise _unknown(name, module, "whose forward is its own")
        if _MODELS.intersection(line) and full_name(type(module.encoder)) not in _ENCODERS:
            raise _unknown(f"{name}.encoder", cast(nn.Module, module.encoder), "in the place of transformers' encoder")
        if _ENCODERS.keys() & set(line):
            if line[0] not in _ENCODERS:
                raise _unknown(name, module, "derived from transformers' encoder")
            found.append(module)
    if found:
        version = str(sys.modules["transformers"].__version__)
        if not any(f"{version}.".startswith(f"{known}.") for known in KNOWN_VERSIONS):
            raise InputError(
                f"optimize() does not know transformers {version}, but {' and '.join(KNOWN_VERSIONS)}. Install one of "
                f"these, or load the checkpoint with deberta_torch."
            )
    return found


def as_ours(encoder: nn.Module) -> Encoder:
    """Our encoder on the parameters of transformers', by what its modules are: its configuration may have changed.

    Raises:
        InputError: a part is one that packed layers would leave out, or differs from layer to layer.
        ConfigError: it has sizes that are not DeBERTa's.
    """
    _check_parts(encoder)
    config = _config_of(encoder)
    with torch.device("meta"):
        ours = Encoder(config)
    ours.reset_buffers(torch.device("cpu"))
    theirs = dict(encoder.named_parameters(remove_duplicate=False))
    wanted = {name: parameter.shape for name, parameter in ours.named_parameters()}
    if wrong := wanted.items() ^ {name: parameter.shape for name, parameter in theirs.items()}.items():
        name, shape = min(wrong)
        raise InputError(f"encoder.{name} {list(shape)} does not fit the other parts, so optimize() does not know it.")
    for name, parameter in theirs.items():
        owner, _, leaf = name.rpartition(".")
        setattr(ours.get_submodule(owner), leaf, parameter)
    return ours.eval()


def _config_of(encoder: Any) -> BaseConfig:
    layers = [layer.attention.self for layer in encoder.layer]
    first, norms = layers[0], [layer.output.LayerNorm for layer in encoder.layer]
    conv = getattr(encoder, "conv", None)
    fields: dict[str, Any] = {
        "hidden_size": encoder.layer[0].output.dense.out_features,
        "num_hidden_layers": len(layers),
        "intermediate_size": encoder.layer[0].intermediate.dense.out_features,
        "hidden_act": _activation(encoder.layer[0].intermediate.intermediate_act_fn),
        "layer_norm_eps": getattr(norms[0], "variance_epsilon", None) or norms[0].eps,
        "num_attention_heads": first.num_attention_heads,
        "attention_head_size": first.attention_head_size,
        "pos_att_type": tuple(first.pos_att_type),
        "relative_attention": encoder.relative_attention,
    }
    for owner, names in (
        (encoder, ("max_relative_positions", "position_buckets")),
        (first, ("talking_head", "share_att_key")),
    ):
        fields |= {name: getattr(owner, name) for name in names if hasattr(owner, name)}
    if hasattr(encoder, "LayerNorm"):
        fields["norm_rel_ebd"] = "layer_norm"
    if conv is not None:
        fields |= {"conv_kernel_size": conv.conv.kernel_size[0], "conv_groups": conv.conv.groups}
        fields["conv_act"] = conv.conv_act
    for layer in encoder.layer[1:]:
        own = layer.attention.self
        same = all(getattr(own, name) == getattr(first, name) for name in ("num_attention_heads", "pos_att_type"))
        if not same or _activation(layer.intermediate.intermediate_act_fn) != fields["hidden_act"]:
            raise InputError("The layers of this encoder differ from one another, so optimize() does not know it.")
    return _ENCODERS[full_name(type(encoder))](**fields)


def _activation(function: Callable[[Tensor], Tensor]) -> str:
    """The name of the activation that computes the same."""
    values = torch.linspace(-30, 30, 1201)
    with torch.no_grad():
        computed = function(values)
        for name, known in ACTIVATION_FUNCTIONS.items():
            if (known(values) - computed).abs().max() < 1e-6:
                return name
    raise InputError(f"optimize() does not know what {function} computes. Use the model as it is.")


def _check_parts(encoder: nn.Module) -> None:
    for name, module in encoder.named_modules():
        if name and not name.endswith("intermediate_act_fn") and full_name(type(module)) not in _PARTS:
            raise _unknown(f"encoder.{name}", module, "which it would leave out: merge adapters into the weights first")
        if name and "forward" in vars(module):
            raise _unknown(f"encoder.{name}", module, "whose forward was replaced")
    check_hooks(encoder, "encoder.")


def _defines_forward(cls: type) -> str:
    return next(full_name(base) for base in cls.__mro__ if "forward" in vars(base))


def _unknown(name: str, module: nn.Module, why: str) -> InputError:
    return InputError(
        f"{name or 'the model'} is a {full_name(type(module))}, {why}; optimize() knows transformers' own classes of "
        f"{' and '.join(KNOWN_VERSIONS)} alone, and guesses nothing. Use the model as it is."
    )
