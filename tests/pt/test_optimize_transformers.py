"""What of `optimize` for transformers' models can be tested without transformers; `tools/clients` has the rest."""

import sys
import types

import pytest
import torch
from torch import nn

from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_torch import optimize, restore
from deberta_torch.inference import weight_lock
from deberta_torch.inference.transformers_encoder import PackedForward, find_encoders
from deberta_torch.inference.unpadding import pack_tokens, with_padding
from deberta_torch.inference.weight_lock import WeightLock
from deberta_torch.masks import make_masks
from tests.pt.optimized import MASKS

MODULE = "transformers.models.deberta_v2.modeling_deberta_v2"


def named(name: str, *bases: type, **members: object) -> type:
    """A class with the name of one of transformers'."""
    return type(name, bases or (nn.Module,), {"__module__": MODULE, **members})


class Width(nn.Module):
    """A stand-in for a part of a layer: 8 numbers wide."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(8, 8), nn.LayerNorm(8, 1e-7)


def forward(self, hidden_states, attention_mask, *_: object):
    return (hidden_states + 1,)


def stand_in(activation=nn.functional.gelu, **attention: object) -> nn.Module:
    """One layer with the names, classes and attributes of transformers' encoder."""
    encoder = named("DebertaV2Encoder", forward=forward)()
    layer = named("DebertaV2Layer")()
    layer.attention, layer.intermediate = named("DebertaV2Attention")(), named("DebertaV2Intermediate")()
    layer.attention.self = named("DisentangledSelfAttention")()
    for name in ("query_proj", "key_proj", "value_proj"):
        setattr(layer.attention.self, name, nn.Linear(8, 8))
    vars(layer.attention.self).update(
        {"num_attention_heads": 2, "attention_head_size": 4, "pos_att_type": [], "share_att_key": True, **attention}
    )
    layer.attention.output, layer.output = named("DebertaV2SelfOutput", Width)(), named("DebertaV2Output", Width)()
    layer.intermediate.dense, layer.intermediate.intermediate_act_fn = nn.Linear(8, 8), activation
    encoder.layer, encoder.relative_attention = nn.ModuleList([layer]), False
    return encoder.eval()


@pytest.fixture
def transformers(monkeypatch):
    module = types.ModuleType("transformers")
    module.__version__ = "4.57.1"
    output = types.ModuleType(MODULE)
    output.BaseModelOutput = dict
    monkeypatch.setitem(sys.modules, "transformers", module)
    monkeypatch.setitem(sys.modules, MODULE, output)
    return module


@pytest.mark.parametrize("form", ["right", "left", "holes", "an empty text", "only empty texts"])
def test_every_token_has_its_row_and_padding_the_mean_of_its_text(form):
    mask = MASKS[form]().bool()
    packing = with_padding(pack_tokens(make_masks(mask, 3, 17, mask.device)), mask)
    hidden = torch.randn(3, 17, 4) * mask[:, :, None]
    assert torch.equal(packing.put_back(packing.take(hidden.flatten(0, 1)), hidden), hidden)
    padded = (~mask).any(dim=1)
    means = packing.averages @ packing.take(hidden.flatten(0, 1))[: packing.tokens]
    assert_close(means.numpy(), hidden[padded].mean(dim=1).numpy(), quantity="hidden", name="means")


def test_a_stand_in_is_computed_by_packed_layers_and_restored(transformers):
    encoder = stand_in()
    holder = nn.ModuleDict({"inside": encoder})
    before, state = dict(vars(encoder)), encoder.state_dict()
    hidden, mask = torch.randn(3, 17, 8), MASKS["right"]()
    hidden *= mask[:, :, None]
    optimize(holder)
    assert isinstance(encoder.forward, PackedForward)
    assert encoder.state_dict().keys() == state.keys()
    with torch.no_grad():
        output = encoder(hidden, mask)
        assert torch.equal(output["hidden_states"][0], hidden)
        assert torch.equal(encoder(hidden, mask, return_dict=False)[0], output["last_hidden_state"])
        for left in ((hidden, mask[:, None]), (hidden + 1, mask), (hidden, mask * 2), (hidden, mask, True, True)):
            assert torch.equal(encoder(*left)[0], left[0] + 1)
        encoder.train()
        assert torch.equal(encoder(hidden, mask)[0], hidden + 1)
        encoder.eval()
    assert torch.equal(encoder(hidden, mask)[0], hidden + 1)  # its parameters want gradients
    restore(holder)
    assert vars(encoder).keys() == before.keys()
    assert not encoder._forward_pre_hooks


def test_what_is_not_known_is_refused(transformers):
    class Adapter(nn.Linear):
        pass

    changed = stand_in()
    changed.layer[0].output.dense = Adapter(8, 8)
    patched = stand_in()
    patched.layer[0].output.forward = patched.layer[0].output.forward
    hooked = stand_in()
    hooked.layer[0].register_forward_hook(lambda *_: None)
    derived = type("Mine", (type(stand_in()),), {})()
    model = named("DebertaV2Model", encoder=nn.Linear(1, 1), forward=forward)()
    for encoder, message in (
        (changed, r"encoder.layer.0.output.dense is a \S+Adapter, which it would leave out: merge adapters"),
        (patched, "encoder.layer.0.output is a .* whose forward was replaced"),
        (hooked, "encoder.layer.0 has a forward hook"),
        (derived, r"is a \S+Mine, derived from transformers' encoder"),
        (stand_in(activation=nn.functional.elu), "does not know what .* computes"),
        (model, "encoder is a torch.nn.modules.linear.Linear, in the place of transformers' encoder"),
        (type("Mine", (type(model),), {"forward": forward})(), "Mine, whose forward is its own"),
        (nn.Linear(1, 1), "a Linear holds no DeBERTa encoder of deberta_torch, nor of transformers 4.57 or 5"),
    ):
        with pytest.raises(InputError, match=message):
            optimize(encoder)
        assert not isinstance(vars(encoder).get("forward"), PackedForward)
    transformers.__version__ = "4.30.0"
    with pytest.raises(InputError, match=r"does not know transformers 4\.30\.0, but 4\.57 and 5"):
        optimize(stand_in())
    assert find_encoders(nn.Linear(1, 1)) == []


def test_a_graph_neither_begins_nor_ends_a_call(monkeypatch):
    lock = WeightLock()
    lock.begin_call()
    with monkeypatch.context() as patch:
        patch.setattr(weight_lock, "is_traced", lambda: True)
        lock.begin_call()
        lock.end_call()
    assert list(lock._calls.values()) == [1]
    lock.end_call()
    assert not lock._calls
